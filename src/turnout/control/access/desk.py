"""Where tokens are made and revoked, each time with a line in the activity log first."""

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
    """For one operator, whose doings have this `origin`. Raises `ControlUnavailableError`."""

    def __init__(self, database: Database, origin: str) -> None:
        self._tokens, self._activity, self._origin = Tokens(database), Activity(database), origin

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
        about = {"name": name, "role": role, "scopes": token.own_scopes, "expires_ms": expires_ms}
        self._record("tokens.create", token, now_ms, about)
        self._tokens.add(token, credential)
        return token, credential

    def revoke(self, token_id: str, now_ms: int) -> bool:
        """End a token for good; whether there was one to end."""
        found = self._tokens.find(token_id)
        if found is None or found[0].revoked_ms is not None:
            return False
        self._record("tokens.revoke", found[0], now_ms, {"name": found[0].name})
        return self._tokens.revoke(token_id, now_ms)

    def all(self) -> list[Token]:
        """Every token there ever was, the oldest first."""
        return self._tokens.all()

    def _record(self, action: str, token: Token, now_ms: int, properties: Mapping[str, object]) -> None:
        for site in token.sites:
            self._activity.add(
                Entry(
                    at_ms=now_ms,
                    site=site,
                    origin=self._origin,
                    feature="tokens",
                    action=action,
                    subject=token.id,
                    properties=properties,
                )
            )


@contextmanager
def opened(data_dir: Path, origin: str) -> Iterator[Desk]:
    """The desk of a data directory."""
    database = Database.of(data_dir)
    try:
        yield Desk(database, origin)
    finally:
        database.close()
