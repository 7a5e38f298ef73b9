"""Sessions: who has logged in, until they log out or stay away.

The secret is 256 random bits in a cookie; its hash is kept. The CSRF token is made of the secret, so only who reads
pages of that session knows it, and nothing more has to be kept.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, insert, or_, select, update

from turnout.control.access.account import Account
from turnout.control.access.accounts import account_of
from turnout.control.access.database import Database
from turnout.control.access.tables import accounts, sessions
from turnout.model.errors import ControlUnavailableError

COOKIE = "turnout_session"
CSRF_HEADER = "x-csrf-token"
IDLE_MS, LONGEST_MS = 12 * 3_600_000, 7 * 86_400_000
_USE_MS = 60_000
"""How exactly the last use is known: a write per request would cost more than the request."""
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


class Opened(NamedTuple):
    """A new session: what goes into the cookie, and what changes must send along."""

    secret: str
    csrf: str


class Sessions:
    """Every call raises `ControlUnavailableError` when the store can't be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, account_id: str, now_ms: int) -> Opened:
        """A new session of an account."""
        secret = secrets.token_urlsafe(32)
        row = {"digest": digest(secret), "account": account_id, "opened_ms": now_ms, "used_ms": now_ms}
        with self._database.connection() as connection:
            connection.execute(delete(sessions).where(_over(now_ms)))
            connection.execute(insert(sessions).values(row))
        return Opened(secret, csrf(secret))

    def find(self, secret: str, now_ms: int) -> tuple[Account, str] | None:
        """Whose session this is, and its CSRF token; None if it is over, or none."""
        if not is_secret(secret):
            return None
        own = sessions.c.digest == digest(secret)
        wanted = select(sessions.c.used_ms, accounts).join_from(sessions, accounts, sessions.c.account == accounts.c.id)
        with self._database.connection() as connection:
            row = connection.execute(wanted.where(own, ~_over(now_ms), ~accounts.c.disabled)).one_or_none()
        if row is None:
            return None
        if now_ms - row.used_ms >= _USE_MS:
            self._touch(own, now_ms)
        return account_of(row), csrf(secret)

    def close(self, secret: str) -> None:
        """End a session."""
        with self._database.connection() as connection:
            connection.execute(delete(sessions).where(sessions.c.digest == digest(secret)))

    def close_all(self, account_id: str) -> None:
        """End every session of an account."""
        with self._database.connection() as connection:
            connection.execute(delete(sessions).where(sessions.c.account == account_id))

    def _touch(self, own: ColumnElement[bool], now_ms: int) -> None:
        try:
            with self._database.connection() as connection:
                connection.execute(update(sessions).where(own).values(used_ms=now_ms))
        except ControlUnavailableError:
            # A full disk must not keep anybody from looking.
            return


def is_secret(text: str) -> bool:
    """Whether a text has the form of a session's secret."""
    return _FORM.fullmatch(text) is not None


def digest(secret: str) -> str:
    """What is kept of a session's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def csrf(secret: str) -> str:
    """The CSRF token of a session."""
    return hmac.new(secret.encode(), b"turnout csrf", hashlib.sha256).hexdigest()


def _over(now_ms: int) -> ColumnElement[bool]:
    return or_(sessions.c.used_ms <= now_ms - IDLE_MS, sessions.c.opened_ms <= now_ms - LONGEST_MS)
