"""Where accounts are made, changed and removed, and links to them given out, each with a line in the activity log.

The log tells of an account by its id: e-mail addresses and names are personal data.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from turnout.control.access import ids
from turnout.control.access.account import PREFIX, Account, Language
from turnout.control.access.accounts import Accounts
from turnout.control.access.activity import Activity, Entry
from turnout.control.access.database import Database
from turnout.control.access.links import Links
from turnout.control.access.scopes import Role


class AccountDesk:
    """For one operator: `by` tells whose doings they are. Raises `ControlUnavailableError`."""

    def __init__(self, database: Database, origin: str, *, by: str = "", address: str = "") -> None:
        self._accounts, self._links, self._activity = Accounts(database), Links(database), Activity(database)
        self._origin, self._by, self._address = origin, by, address

    def create(
        self,
        *,
        email: str,
        first_name: str = "",
        last_name: str = "",
        language: Language = "en",
        role: Role,
        scopes: Sequence[str] = (),
        sites: Sequence[str],
        now_ms: int,
    ) -> tuple[Account, str]:
        """A new account, and the text of the link at which its owner gives it a password.

        `email` is as `account.address` gives it. Raises `EmailTakenError`.
        """
        account = Account(
            id=ids.fresh(PREFIX, now_ms),
            email=email,
            first_name=first_name,
            last_name=last_name,
            language=language,
            role=role,
            own_scopes=tuple(sorted(set(scopes))),
            sites=tuple(dict.fromkeys(sites)),
            created_ms=now_ms,
        )
        self._accounts.add(account, self._told("accounts.create", account, now_ms, {"after": told(account)}))
        return account, self._links.issue(account.id, now_ms)

    def change(self, before: Account, after: Account, now_ms: int) -> None:
        """Keep `after` in the place of `before`. Raises `EmailTakenError`, `LastAdministratorError`."""
        about = {"before": told(before), "after": told(after)}
        self._accounts.change(after, self._told("accounts.update", after, now_ms, about, before.sites))

    def remove(self, account: Account, now_ms: int) -> bool:
        """Remove an account; whether it was there. Raises `LastAdministratorError`."""
        about = {"before": told(account)}
        return self._accounts.remove(account.id, self._told("accounts.delete", account, now_ms, about))

    def link(self, account: Account, now_ms: int) -> str:
        """The text of a new link at which the owner of an account gives it a password; one from before ends."""
        for entry in self._told("accounts.link", account, now_ms, {}):
            self._activity.add(entry)
        return self._links.issue(account.id, now_ms)

    def all(self) -> list[Account]:
        """Every account, the oldest first."""
        return self._accounts.all()

    def by_email(self, email: str) -> Account | None:
        """The account with an e-mail address, as `account.address` gives it."""
        return self._accounts.by_email(email)

    def _told(
        self, action: str, account: Account, now_ms: int, properties: Mapping[str, object], sites: Sequence[str] = ()
    ) -> list[Entry]:
        return entries(action, account, now_ms, properties, sites, self._origin, self._by, self._address)


def entries(
    action: str,
    account: Account,
    now_ms: int,
    properties: Mapping[str, object],
    sites: Sequence[str],
    origin: str,
    by: str,
    address: str,
) -> list[Entry]:
    """What the activity log tells of something that concerns an account: a line for each of its sites, and `sites`."""
    return [
        Entry(
            at_ms=now_ms,
            site=site,
            token=by,
            origin=origin,
            address=address,
            feature="accounts",
            action=action,
            subject=account.id,
            properties=properties,
        )
        for site in dict.fromkeys((*account.sites, *sites))
    ]


def told(account: Account) -> dict[str, object]:
    """What the activity log tells of an account."""
    return {
        "role": account.role,
        "scopes": account.own_scopes,
        "sites": account.sites,
        "language": account.language,
        "disabled": account.disabled,
    }


@contextmanager
def opened(data_dir: Path, origin: str) -> Iterator[AccountDesk]:
    """The desk of a data directory."""
    database = Database.of(data_dir)
    try:
        yield AccountDesk(database, origin)
    finally:
        database.close()
