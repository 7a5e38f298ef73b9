"""Where tokens are kept."""

from sqlalchemy import Row, insert, select, update

from turnout.control.access.database import Database
from turnout.control.access.tables import tokens
from turnout.control.access.token import Credential, Token

_USE_MS = 60_000
"""How exactly the last use is known: a write per request would cost more than the request."""


class Tokens:
    """Every call raises `ControlUnavailableError` when the store can't be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: Token, credential: Credential) -> None:
        """Keep a new token: its digest, never its secret."""
        row = {
            "id": token.id,
            "name": token.name,
            "role": token.role,
            "scopes": " ".join(token.own_scopes),
            "sites": " ".join(token.sites),
            "digest": credential.digest,
            "created_ms": token.created_ms,
            "expires_ms": token.expires_ms,
        }
        with self._database.connection() as connection:
            connection.execute(insert(tokens).values(row))

    def find(self, token_id: str) -> tuple[Token, str] | None:
        """A token and its digest, revoked and expired ones too."""
        with self._database.connection() as connection:
            row = connection.execute(select(tokens).where(tokens.c.id == token_id)).one_or_none()
        return (_token(row), row.digest) if row is not None else None

    def all(self) -> list[Token]:
        """Every token there ever was, the oldest first."""
        with self._database.connection() as connection:
            return [_token(row) for row in connection.execute(select(tokens).order_by(tokens.c.id))]

    def change(self, token: Token) -> None:
        """Keep what is new of a token, apart from its secret."""
        values = {
            "name": token.name,
            "role": token.role,
            "scopes": " ".join(token.own_scopes),
            "sites": " ".join(token.sites),
            "expires_ms": token.expires_ms,
        }
        with self._database.connection() as connection:
            connection.execute(update(tokens).where(tokens.c.id == token.id).values(values))

    def renew(self, credential: Credential) -> None:
        """Give a token another secret; the one from before ends now."""
        with self._database.connection() as connection:
            connection.execute(update(tokens).where(tokens.c.id == credential.id).values(digest=credential.digest))

    def revoke(self, token_id: str, now_ms: int) -> bool:
        """End a token now; whether there was one to end."""
        change = update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_ms.is_(None))
        with self._database.connection() as connection:
            return connection.execute(change.values(revoked_ms=now_ms)).rowcount > 0

    def used(self, token: Token, now_ms: int) -> None:
        """Remember that a token was used, to the minute."""
        if token.last_used_ms is not None and now_ms - token.last_used_ms < _USE_MS:
            return
        with self._database.connection() as connection:
            connection.execute(update(tokens).where(tokens.c.id == token.id).values(last_used_ms=now_ms))


def _token(row: Row[tuple[object, ...]]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        role=row.role,
        sites=tuple(row.sites.split()),
        own_scopes=tuple(row.scopes.split()),
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        revoked_ms=row.revoked_ms,
        last_used_ms=row.last_used_ms,
    )
