"""One person within a site, and which events are theirs (`user-api.md` §9).

A person is known by user ids, anonymous ids and e-mail addresses. Events carry them as text or as numbers, plain or as
MD5 or SHA-256, in version 2 form (`user.id`) or, where an event was refused as it came, in version 1 form
(`properties.user.id`). All of that is looked for; an id or address anywhere else is not.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import md5, sha256

import msgspec

_USER, _EMAIL = ("id",), ("email",)
_VISITOR = ("consistent_anonymous_id", "tcId", "tcid", "tc_id")
_FORMS = ("", "_md5", "_sha256")
_SAFE = re.compile(rb"[a-z0-9@._+-]+")
"""What stands in JSON as it is, unless it is written as `\\u….`"""


class Names(msgspec.Struct, frozen=True):
    """Whom an event names: ids and addresses, as text."""

    users: frozenset[str]
    visitors: frozenset[str]
    emails: frozenset[str]


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody. `visitors` are anonymous ids that were found together with the others.

    Somebody else may have used the same device: what names another user or address is not this person's on account of
    `visitors` alone. `anonymous_ids` are meant as they are.
    """

    user_ids: tuple[str, ...] = ()
    anonymous_ids: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    visitors: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All ids and addresses, as they were given."""
        return (*self.user_ids, *self.anonymous_ids, *self.emails, *self.visitors)

    def matcher(self) -> Callable[[Mapping[str, object]], bool]:
        """Whether an event is this person's: a function, because it is made once for many."""
        users, emails = _forms(self.user_ids), _forms(map(_address, self.emails))
        anonymous, visitors = _forms(self.anonymous_ids), _forms(self.visitors)

        def matches(event: Mapping[str, object]) -> bool:
            names = named(event)
            if names.users & users or names.emails & emails or names.visitors & anonymous:
                return True
            return bool(names.visitors & visitors) and not names.users and not names.emails

        return matches

    def mentioned(self) -> Callable[[str], bool]:
        """Whether some text that is no event has an id or address of this person in it, as a word of its own."""
        given = _forms((*self.user_ids, *self.anonymous_ids, *map(_address, self.emails)))
        words = "|".join(map(re.escape, sorted(given, key=len, reverse=True)))
        pattern = re.compile(rf"(?<![\w@.-])(?:{words or '(?!)'})(?![\w@-])", re.IGNORECASE)
        return lambda text: pattern.search(text) is not None

    def suspect(self) -> Callable[[bytes], bool]:
        """Whether some bytes may hold an event of this person: true far too often, but never wrongly false."""
        given = _forms((*self.user_ids, *self.anonymous_ids, *self.visitors, *map(_address, self.emails)))
        needles = {
            max(_SAFE.findall(one.encode("utf-8", "surrogatepass").lower()), key=len, default=b"") for one in given
        }

        def may_hold(data: bytes) -> bool:
            lower = data.lower()
            return b"\\u" in lower or any(needle in lower for needle in needles)

        return may_hold


def named(event: Mapping[str, object]) -> Names:
    """Whom this event names."""
    users = [user for place in (event, _inside(event, "properties")) if (user := _inside(place, "user"))]
    device = _inside(_inside(event, "context"), "device") or _inside(event, "device")
    sdk_id = _text(device.get("sdk_id"))
    return Names(
        frozenset(_values(users, _USER)),
        frozenset((*_values(users, _VISITOR), *([sdk_id] if sdk_id else []))),
        frozenset(map(_address, _values(users, _EMAIL))),
    )


def _values(users: Iterable[Mapping[str, object]], fields: Iterable[str]) -> Iterator[str]:
    names = [field + form for field in fields for form in _FORMS]
    return (text for user in users for name in names if (text := _text(user.get(name))))


def _forms(values: Iterable[str]) -> frozenset[str]:
    """Values as they are, and hashed."""
    plain = [value for value in values if value]
    hashes = [kind(value.encode("utf-8", "surrogatepass")).hexdigest() for value in plain for kind in (md5, sha256)]
    return frozenset((*plain, *hashes))


def _inside(value: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _text(value: object) -> str:
    """An id as text: 42, 42.0 and "42" are the same."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _address(text: str) -> str:
    return text.strip().lower()
