"""Where tokens are made, changed and revoked, each time with a line in the activity log first."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from turnout.control.access import token as tokens_module
from turnout.control.access.activity import Activity, Entry
from turnout.control.access.database import Database
from turnout.control.access.scopes import Role
from turnout.control.access.token import Credential, Token
from turnout.control.access.tokens import Tokens


class Desk:
    """For one operator: `by` tells whose doings they are. Raises `ControlUnavailableError`."""

    def __init__(self, database: Database, origin: str, *, by: str = "", address: str = "") -> None:
        self._tokens, self._activity = Tokens(database), Activity(database)
        self._origin, self._by, self._address = origin, by, address

    def issue(
        self,
        *,
        name: str,
        role: Role,
        scopes: Sequence[str],
        sites: Sequence[str],
        expires_ms: int | None,
        now_ms: int,
    ) -> tuple[Token, Credential]:
        """A new token. Its credential is nowhere else; `scopes` count only with the role `custom`."""
        credential = tokens_module.mint(now_ms)
        token = Token(
            id=credential.id,
            name=name,
            role=role,
            own_scopes=tuple(sorted(set(scopes))),
            sites=tuple(dict.fromkeys(sites)),
            created_ms=now_ms,
            expires_ms=expires_ms,
        )
        self._record("tokens.create", token.sites, token.id, now_ms, {"after": _told(token)})
        self._tokens.add(token, credential)
        return token, credential

    def change(self, before: Token, after: Token, now_ms: int) -> None:
        """Keep `after` in the place of `before`; the secret stays."""
        concerned = tuple(dict.fromkeys((*before.sites, *after.sites)))
        about = {"before": _told(before), "after": _told(after)}
        self._record("tokens.update", concerned, after.id, now_ms, about)
        self._tokens.change(after)

    def renew(self, token: Token, now_ms: int) -> Credential:
        """A new secret for a token; the one from before ends now."""
        self._record("tokens.rotate", token.sites, token.id, now_ms, {"name": token.name})
        credential = tokens_module.renewed(token.id)
        self._tokens.renew(credential)
        return credential

    def revoke(self, token_id: str, now_ms: int) -> bool:
        """End a token for good; whether there was one to end."""
        found = self._tokens.find(token_id)
        if found is None or found[0].revoked_ms is not None:
            return False
        self._record("tokens.revoke", found[0].sites, token_id, now_ms, {"name": found[0].name})
        return self._tokens.revoke(token_id, now_ms)

    def all(self) -> list[Token]:
        """Every token there ever was, the oldest first."""
        return self._tokens.all()

    def _record(
        self, action: str, sites: Sequence[str], token_id: str, now_ms: int, properties: Mapping[str, object]
    ) -> None:
        for site in sites:
            self._activity.add(
                Entry(
                    at_ms=now_ms,
                    site=site,
                    token=self._by,
                    origin=self._origin,
                    address=self._address,
                    feature="tokens",
                    action=action,
                    subject=token_id,
                    properties=properties,
                )
            )


def _told(token: Token) -> dict[str, object]:
    """What the activity log tells of a token."""
    return {"name": token.name, "role": token.role, "scopes": token.own_scopes, "expires_ms": token.expires_ms}


@contextmanager
def opened(data_dir: Path, origin: str) -> Iterator[Desk]:
    """The desk of a data directory."""
    database = Database.of(data_dir)
    try:
        yield Desk(database, origin)
    finally:
        database.close()
