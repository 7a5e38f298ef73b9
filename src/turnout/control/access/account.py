"""A person who may use the interface and, by its session, the API."""

import re
from typing import Literal

import msgspec

from turnout.control.access.scopes import Role, granted
from turnout.control.access.token import ALL_SITES, Token

PREFIX = "usr_"
LONGEST_EMAIL, LONGEST_NAME = 255, 50
Language = Literal["en", "fr"]
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about an account but its password. Times are in ms."""

    id: str
    email: str
    """As `address` gives it."""
    first_name: str = ""
    last_name: str = ""
    language: Language = "en"
    role: Role
    own_scopes: tuple[str, ...] = ()
    """Only with the role `custom`."""
    sites: tuple[str, ...] = (ALL_SITES,)
    created_ms: int
    last_login_ms: int | None = None
    disabled: bool = False
    has_password: bool = False
    """Not before its owner has followed the link of the invitation."""

    @property
    def scopes(self) -> frozenset[str]:
        """What its owner may do, on each of its sites."""
        return granted(self.role, self.own_scopes)

    @property
    def state(self) -> Literal["active", "invited", "disabled"]:
        """Whether its owner can log in, and if not, why."""
        return "disabled" if self.disabled else "active" if self.has_password else "invited"

    @property
    def administers(self) -> frozenset[str]:
        """The sites on which its owner can do everything today."""
        return frozenset(self.sites) if self.state == "active" and "admin" in self.scopes else frozenset()

    def token(self) -> Token:
        """What its owner may do, as operations ask for it."""
        return Token(
            id=self.id,
            name=self.email,
            role=self.role,
            sites=self.sites,
            own_scopes=self.own_scopes,
            created_ms=self.created_ms,
            last_used_ms=self.last_login_ms,
        )


def address(text: str) -> str | None:
    """An e-mail address in the one way in which it is kept and compared; None if it is none."""
    found = text.strip().lower()
    return found if len(found) <= LONGEST_EMAIL and found.isprintable() and _EMAIL.fullmatch(found) else None
