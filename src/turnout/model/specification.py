"""What a site says its events look like, and what to do with those that do not (`processing.md` §5.1, §5.2)."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Missing = Literal["accept", "ignore", "reject"]
Misfit = Literal["accept", "omit", "reject"]
Stranger = Literal["accept", "ignore", "omit", "omit_silently"]
StrangeEvent = Literal["common", "accept", "ignore", "reject"]

SCALARS = ("string", "number", "integer", "boolean", "object", "any")
TYPES = (*SCALARS, *(f"array<{one}>" for one in SCALARS), *(f"set<{one}>" for one in SCALARS))
"""What a property may be. A set is an array whose repeated values are removed."""

FormatName = Literal[
    "date", "e164", "email", "iana_tz", "iso3166-1", "iso4217", "iso8601", "lang", "md5_hex", "ms_timestamp",
    "sha256_hex", "url", "uuid",
]  # fmt: skip

Count = Annotated[int, Meta(ge=0)]
Label = Annotated[str, Meta(max_length=255)]


class Actions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens in an environment to what does not fit. The defaults lose nothing.

    `accept` keeps and tells, `ignore` keeps and is silent, `omit` removes and tells, `omit_silently` removes,
    `reject` refuses the whole event. `common` checks an event that nobody declared by all declared properties.
    """

    missing: Missing = "accept"
    """A required property is not there."""
    format: Misfit = "accept"
    """A value is not of its type, or breaks a rule of its property."""
    events: StrangeEvent = "ignore"
    """The specification has no event of this name."""
    properties: Stranger = "ignore"
    """The specification has no such property in this event."""


class Property(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A property: its type, or several of which one must fit, and rules with the meaning of JSON Schema.

    Without a type it is what it is elsewhere: the site's own definition, or the standard one. Rules on values hold
    for each element of an array; those on items for the array. `required` None keeps what is known already.
    """

    type: str | tuple[str, ...] = ()
    required: bool | None = None
    nullable: bool = False
    """Whether null is a value; everywhere else null is the same as missing."""
    format: FormatName | None = None
    enum: tuple[str | int | float, ...] = ()
    pattern: str | None = None
    min_length: Count | None = None
    max_length: Count | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_items: Count | None = None
    max_items: Count | None = None
    pii: bool = False
    """Whether it tells who a person is."""
    label: Label = ""
    description: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types as a tuple."""
        return (self.type,) if isinstance(self.type, str) else self.type


class EventSpecification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event of the site, or what it adds to a standard one. Properties are by path: `items.product.price`."""

    properties: Mapping[str, Property] = {}
    label: Label = ""
    description: str = ""


class Specification(msgspec.Struct, frozen=True, kw_only=True):
    """All of a site. `properties` are definitions that every event shares which names them without a type."""

    actions: Mapping[str, Actions] = {}
    """By environment; one that is not there has the defaults."""
    standard: bool = True
    """Whether the standard events belong to it."""
    properties: Mapping[str, Property] = {}
    events: Mapping[str, EventSpecification] = {}

    def of(self, environment: str) -> Actions:
        """What happens in this environment."""
        return self.actions.get(environment, _DEFAULT)


_DEFAULT = Actions()
