"""Where people come in and go out: login, logout, the first account, passwords. Each leaves a line in the activity log.

What must stay true: an address that was wrong too often is not asked any more; what is wrong tells nothing of which
accounts there are. Failed logins are recorded ten at once and then ten a minute, whoever fails: a flood of them is
not to fill the disk.
"""

import msgspec

from turnout.control.access import ids, passwords, sessions
from turnout.control.access.account import LONGEST_NAME, PREFIX, Account, Language
from turnout.control.access.account import address as email_address
from turnout.control.access.account_desk import entries, told
from turnout.control.access.accounts import Accounts
from turnout.control.access.activity import Activity, Entry
from turnout.control.access.database import Database
from turnout.control.access.gate import LoginRefusedError
from turnout.control.access.links import Link, Links
from turnout.control.access.logins import Logins
from turnout.control.access.sessions import Opened, Sessions
from turnout.control.access.token import ALL_SITES
from turnout.model.errors import AccountFieldError

_ORIGIN, _FAILED = "ui", "accounts.login_failed"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """What the first administrator says of themself."""

    email: str
    first_name: str = ""
    last_name: str = ""
    language: Language = "en"


class Door:
    """Safe in threads. Every call raises `ControlUnavailableError` when the store can't be used.

    `address` is where a request comes from; times are in ms.
    """

    def __init__(self, database: Database, logins: Logins) -> None:
        """`logins` counts what is wrong, here and at the gate."""
        self._accounts, self._links, self._sessions = Accounts(database), Links(database), Sessions(database)
        self._activity, self._logins, self._recorded = Activity(database), logins, Logins()

    def login(self, email: str, password: str, address: str, now_ms: int) -> Opened:
        """A session for whoever knows the password. Raises `LoginRefusedError`."""
        self._let_try(address, now_ms)
        known = email_address(email)
        account = self._accounts.check(known or "", password)
        if account is None:
            self._logins.failed(address, now_ms)
            self._record_failure(self._accounts.by_email(known) if known is not None else None, address, now_ms)
            raise LoginRefusedError("UNKNOWN_LOGIN")
        return self._opened(account, address, now_ms)

    def session(self, secret: str, now_ms: int) -> tuple[Account, str] | None:
        """Whose session this is, and its CSRF token; None if it is over, or none."""
        return self._sessions.find(secret, now_ms)

    def logout(self, secret: str, address: str, now_ms: int) -> None:
        """End a session, if it is one."""
        found = self._sessions.find(secret, now_ms)
        if found is not None:
            self._record("accounts.logout", found[0], address, now_ms)
            self._sessions.close(secret)

    def look(self, link: str, address: str, now_ms: int) -> Link:
        """What a one-time link is for; it stays unused. Raises `LoginRefusedError`."""
        self._let_try(address, now_ms)
        found = self._links.look(link, now_ms)
        if found is None:
            self._logins.failed(address, now_ms)
            raise LoginRefusedError("UNKNOWN_LINK")
        return found

    def welcome(self, link: str, person: Person, password: str, address: str, now_ms: int) -> Opened:
        """Use the link of the first start: make the first administrator, of every site, and log them in.

        Raises `AccountFieldError` (the link stays unused), `LoginRefusedError`.
        """
        email = email_address(person.email)
        if email is None:
            raise AccountFieldError("email", f"{person.email!r} is no e-mail address")
        for field, name in (("first_name", person.first_name), ("last_name", person.last_name)):
            if len(name) > LONGEST_NAME:
                raise AccountFieldError(field, f"a name has at most {LONGEST_NAME} characters")
        _check(password)
        if self.look(link, address, now_ms).account is not None:
            raise LoginRefusedError("UNKNOWN_LINK")
        account = Account(
            id=ids.fresh(PREFIX, now_ms),
            email=email,
            first_name=person.first_name.strip(),
            last_name=person.last_name.strip(),
            language=person.language,
            role="admin",
            sites=(ALL_SITES,),
            created_ms=now_ms,
        )
        log = self._told("accounts.create", account, address, now_ms, {"after": told(account)})
        if not self._links.redeem_first(link, account, passwords.sealed(password), now_ms, log):
            raise LoginRefusedError("UNKNOWN_LINK")
        return self._opened(account, address, now_ms)

    def accept(self, link: str, password: str, address: str, now_ms: int) -> Opened:
        """Use the link of an account: give it this password, end its sessions, and log its owner in.

        Raises `AccountFieldError` (the link stays unused), `LoginRefusedError`.
        """
        _check(password)
        account = self.look(link, address, now_ms).account
        if account is None:
            raise LoginRefusedError("UNKNOWN_LINK")
        log = self._told("accounts.password", account, address, now_ms)
        if not self._links.redeem(link, account.id, passwords.sealed(password), now_ms, log):
            raise LoginRefusedError("UNKNOWN_LINK")
        return self._opened(account, address, now_ms)

    def change_password(self, secret: str, old: str, new: str, address: str, now_ms: int) -> None:
        """Give the account of a session another password; its other sessions end.

        Raises `AccountFieldError` for a new one that can't be, `LoginRefusedError` for a wrong old one or a session
        that is over.
        """
        found = self._sessions.find(secret, now_ms)
        if found is None:
            raise LoginRefusedError("UNKNOWN_SESSION")
        account, _ = found
        _check(new)
        self._let_try(address, now_ms)
        if self._accounts.check(account.email, old) is None:
            self._logins.failed(address, now_ms)
            self._record_failure(account, address, now_ms)
            raise LoginRefusedError("UNKNOWN_LOGIN")
        log = self._told("accounts.password", account, address, now_ms)
        self._accounts.set_password(account.id, passwords.sealed(new), log, keep=sessions.digest(secret))

    def _opened(self, account: Account, address: str, now_ms: int) -> Opened:
        self._record("accounts.login", account, address, now_ms)
        self._accounts.logged_in(account.id, now_ms)
        return self._sessions.open(account.id, now_ms)

    def _let_try(self, address: str, now_ms: int) -> None:
        if wait_ms := self._logins.wait_ms(address, now_ms):
            raise LoginRefusedError("REQUEST_LIMIT_REACHED", wait_ms)

    def _record(self, action: str, account: Account, address: str, now_ms: int) -> None:
        for entry in self._told(action, account, address, now_ms):
            self._activity.add(entry)

    def _record_failure(self, account: Account | None, address: str, now_ms: int) -> None:
        if self._recorded.wait_ms("", now_ms):
            return
        self._recorded.failed("", now_ms)
        if account is not None:
            self._record(_FAILED, account, address, now_ms)
            return
        # Not what was typed: it may be a password.
        self._activity.add(
            Entry(at_ms=now_ms, site=ALL_SITES, origin=_ORIGIN, address=address, feature="accounts", action=_FAILED)
        )

    def _told(
        self, action: str, account: Account, address: str, now_ms: int, properties: dict[str, object] | None = None
    ) -> list[Entry]:
        by = "" if action == _FAILED else account.id
        return entries(action, account, now_ms, properties or {}, (), _ORIGIN, by, address)


def _check(password: str) -> None:
    if problem := passwords.problem(password):
        raise AccountFieldError("password", problem)
