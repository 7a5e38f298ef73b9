"""What a destination requires of an event's content before it may have it (`processing.md` §7.2, §7.3)."""

from collections.abc import Mapping
from typing import Literal

import msgspec


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """Consent categories, as text, of which the user must have granted all, or any."""

    categories: tuple[str, ...]
    mode: Literal["all", "any"] = "all"

    def met_by(self, granted: tuple[str, ...]) -> bool:
        """Whether these granted categories are enough. Without categories nothing is required."""
        if self.mode == "any" and self.categories:
            return any(category in granted for category in self.categories)
        return all(category in granted for category in self.categories)


class Requirement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What must hold for an event to pass: a consent, then a filter, written as a formula."""

    consent: Consent | None = None
    filter: str = ""


NOTHING = Requirement()
_IDS = (str, int)
"""Exact types, as the JSON decoder gives them: a boolean is no id."""


def granted(event: Mapping[str, object]) -> tuple[str, ...]:
    """The consent categories that an event carries, as text: `1` and `"1"` are the same.

    `user.consent_categories` is a list of ids, or one id. If anything in it is neither text nor a whole number,
    nothing counts as granted.
    """
    user = event.get("user")
    categories = user.get("consent_categories") if isinstance(user, dict) else None
    items = categories if isinstance(categories, list) else [categories]
    if not all(type(item) in _IDS for item in items):
        return ()
    return tuple(text for item in items if (text := str(item)))
