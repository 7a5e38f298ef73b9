"""One-time links: the way to a first password, or to another one.

What must stay true: a link opens once, whoever races; a new link of an account ends the one before; only hashes are
kept. The link of the first start makes the first administrator, and only while there is no account.
"""

import hashlib
import secrets
from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, delete, func, insert, or_, select

from turnout.control.access.account import Account
from turnout.control.access.accounts import account_of, insert_account, put_password
from turnout.control.access.activity import Entry, write
from turnout.control.access.database import Database
from turnout.control.access.tables import accounts, links

KEPT_MS = 24 * 3_600_000


class Link(msgspec.Struct, frozen=True):
    """A link that still opens. `account` None: it makes the first account. `expires_ms` None: never."""

    account: Account | None
    expires_ms: int | None


class Links:
    """Every call raises `ControlUnavailableError` when the store can't be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(self, account_id: str | None, now_ms: int) -> str:
        """The text of a new link of an account, or (None) for the first start, which does not expire."""
        text = secrets.token_urlsafe(32)
        row = {
            "digest": _digest(text),
            "account": account_id,
            "expires_ms": None if account_id is None else now_ms + KEPT_MS,
        }
        with self._database.connection() as connection:
            connection.execute(delete(links).where(or_(links.c.account.is_(account_id), links.c.expires_ms <= now_ms)))
            connection.execute(insert(links).values(row))
        return text

    def first(self, now_ms: int) -> str | None:
        """The text of a new link of the first start; None once there is an account."""
        with self._database.connection() as connection:
            if _any_account(connection):
                return None
        return self.issue(None, now_ms)

    def look(self, text: str, now_ms: int) -> Link | None:
        """What a link opens; it stays unused. None: nothing (any more)."""
        with self._database.connection() as connection:
            row = connection.execute(select(links).where(links.c.digest == _digest(text))).one_or_none()
            if row is None or (row.expires_ms is not None and row.expires_ms <= now_ms):
                return None
            if row.account is None:
                return None if _any_account(connection) else Link(None, None)
            owner = connection.execute(select(accounts).where(accounts.c.id == row.account)).one_or_none()
        return Link(account_of(owner), row.expires_ms) if owner is not None and not owner.disabled else None

    def redeem(self, text: str, account_id: str, sealed: str, now_ms: int, told: Iterable[Entry] = ()) -> bool:
        """Use a link of an account: it has this password now, as `passwords.sealed` gives it, and no session from
        before. Whether the link still opened."""
        with self._database.connection() as connection:
            if not _taken(connection, text, account_id, now_ms):
                return False
            put_password(connection, account_id, sealed)
            for entry in told:
                write(connection, entry)
        return True

    def redeem_first(self, text: str, account: Account, sealed: str, now_ms: int, told: Iterable[Entry] = ()) -> bool:
        """Use the link of the first start: keep the first account. Whether the link still opened."""
        with self._database.connection() as connection:
            if not _taken(connection, text, None, now_ms) or _any_account(connection):
                return False
            insert_account(connection, account, sealed)
            for entry in told:
                write(connection, entry)
        return True


def _taken(connection: Connection, text: str, account_id: str | None, now_ms: int) -> bool:
    """Whether this transaction has used the link: another one that tries waits, and finds it gone."""
    of = links.c.account.is_(None) if account_id is None else links.c.account == account_id
    fresh = or_(links.c.expires_ms.is_(None), links.c.expires_ms > now_ms)
    return connection.execute(delete(links).where(links.c.digest == _digest(text), of, fresh)).rowcount > 0


def _any_account(connection: Connection) -> bool:
    return bool(connection.scalar(select(func.count()).select_from(accounts)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
