"""Where accounts are kept.

What must stay true: no site loses its last administrator who can log in. Whoever is removed, disabled or has a new
password has no session from before. An unknown e-mail address, a wrong password and an account that is closed get
one answer after the same work.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, Row, delete, false, insert, select, update
from sqlalchemy.exc import IntegrityError

from turnout.control.access import passwords
from turnout.control.access.account import Account
from turnout.control.access.activity import Entry, write
from turnout.control.access.database import Database
from turnout.control.access.tables import accounts, links, sessions
from turnout.control.access.token import ALL_SITES
from turnout.model.errors import EmailTakenError, LastAdministratorError


class Accounts:
    """Every call raises `ControlUnavailableError` when the store can't be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, account: Account, told: Iterable[Entry] = ()) -> None:
        """Keep a new account, without a password. Raises `EmailTakenError`.

        Here and below `told` is what the activity log tells of it, if and only if it is done.
        """
        with self._database.connection() as connection:
            insert_account(connection, account)
            _tell(connection, told)

    def find(self, account_id: str) -> Account | None:
        """The account with an id."""
        with self._database.connection() as connection:
            row = connection.execute(select(accounts).where(accounts.c.id == account_id)).one_or_none()
        return account_of(row) if row is not None else None

    def by_email(self, email: str) -> Account | None:
        """The account with an e-mail address, as `account.address` gives it."""
        with self._database.connection() as connection:
            row = connection.execute(select(accounts).where(accounts.c.email == email)).one_or_none()
        return account_of(row) if row is not None else None

    def all(self) -> list[Account]:
        """Every account, the oldest first."""
        with self._database.connection() as connection:
            return _all(connection)

    def change(self, account: Account, told: Iterable[Entry] = ()) -> None:
        """Keep what is new of an account, apart from its password and logins; disabling ends its sessions.

        Raises `EmailTakenError`, `LastAdministratorError`.
        """
        with self._database.connection() as connection:
            before = _all_alone(connection)
            try:
                connection.execute(update(accounts).where(accounts.c.id == account.id).values(_row(account)))
            except IntegrityError as error:
                raise EmailTakenError(f"there is an account with the e-mail address {account.email}") from error
            if account.disabled:
                _forget(connection, account.id)
            _check_administrators(connection, before)
            _tell(connection, told)

    def remove(self, account_id: str, told: Iterable[Entry] = ()) -> bool:
        """Remove an account with its sessions and links; whether there was one. Raises `LastAdministratorError`."""
        with self._database.connection() as connection:
            before = _all_alone(connection)
            done = connection.execute(delete(accounts).where(accounts.c.id == account_id)).rowcount > 0
            _forget(connection, account_id)
            _check_administrators(connection, before)
            _tell(connection, told if done else ())
        return done

    def set_password(self, account_id: str, sealed: str, told: Iterable[Entry] = (), keep: str = "") -> None:
        """Give an account another password, as `passwords.sealed` gives it.

        Its sessions end, but for the one with the digest `keep`; so do its links.
        """
        with self._database.connection() as connection:
            put_password(connection, account_id, sealed, keep)
            _tell(connection, told)

    def check(self, email: str, password: str) -> Account | None:
        """The account whose owner knows its password; None for everybody else."""
        with self._database.connection() as connection:
            row = connection.execute(select(accounts).where(accounts.c.email == email)).one_or_none()
        kept = row.password if row is not None and row.password is not None else passwords.NOBODYS
        right = passwords.same(password, kept)
        return account_of(row) if right and row is not None and not row.disabled else None

    def logged_in(self, account_id: str, now_ms: int) -> None:
        """Remember when the owner of an account logged in."""
        with self._database.connection() as connection:
            connection.execute(update(accounts).where(accounts.c.id == account_id).values(last_login_ms=now_ms))


def insert_account(connection: Connection, account: Account, sealed: str | None = None) -> None:
    """A new account in a transaction. Raises `EmailTakenError`."""
    row = {**_row(account), "id": account.id, "created_ms": account.created_ms, "password": sealed}
    try:
        connection.execute(insert(accounts).values(row))
    except IntegrityError as error:
        raise EmailTakenError(f"there is an account with the e-mail address {account.email}") from error


def put_password(connection: Connection, account_id: str, sealed: str, keep: str = "") -> None:
    """Another password in a transaction; see `Accounts.set_password`."""
    connection.execute(update(accounts).where(accounts.c.id == account_id).values(password=sealed))
    _forget(connection, account_id, keep)


def account_of(row: Row[tuple[object, ...]]) -> Account:
    """The account in a row."""
    return Account(
        id=row.id,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        language=row.language,
        role=row.role,
        own_scopes=tuple(row.scopes.split()),
        sites=tuple(row.sites.split()),
        created_ms=row.created_ms,
        last_login_ms=row.last_login_ms,
        disabled=row.disabled,
        has_password=row.password is not None,
    )


def _row(account: Account) -> dict[str, object]:
    return {
        "email": account.email,
        "first_name": account.first_name,
        "last_name": account.last_name,
        "language": account.language,
        "role": account.role,
        "scopes": " ".join(account.own_scopes),
        "sites": " ".join(account.sites),
        "disabled": account.disabled,
    }


def _all(connection: Connection) -> list[Account]:
    return [account_of(row) for row in connection.execute(select(accounts).order_by(accounts.c.id))]


def _all_alone(connection: Connection) -> list[Account]:
    """Every account, and until this transaction ends nobody else changes any."""
    # SQLite locks with the first statement that writes, whether or not there is something to write.
    connection.execute(update(accounts).where(false()).values(disabled=False))
    return _all(connection)


def _tell(connection: Connection, told: Iterable[Entry]) -> None:
    for entry in told:
        write(connection, entry)


def _forget(connection: Connection, account_id: str, keep: str = "") -> None:
    """End an account's sessions, but for one, and its links."""
    connection.execute(delete(sessions).where(sessions.c.account == account_id, sessions.c.digest != keep))
    connection.execute(delete(links).where(links.c.account == account_id))


def _check_administrators(connection: Connection, before: list[Account]) -> None:
    """Raise, and so undo the transaction, if a change left a site without an administrator that had one."""
    after = frozenset[str]().union(*(one.administers for one in _all(connection)))
    if ALL_SITES in after:
        return
    for site in sorted(frozenset[str]().union(*(one.administers for one in before)) - after):
        which = "every site" if site == ALL_SITES else f"site {site}"
        raise LastAdministratorError(f"nobody else can log in as administrator of {which}: make another one first")
