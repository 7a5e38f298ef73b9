"""The standard events, as data. `standard_events.json` is made by `tools/catalogue.py` from their documentation;
`version` in it is the documentation's. What the words in it mean is documented there."""

from importlib.resources import files

import msgspec

from turnout.model.specification import Property


class Listed(Property, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One property as the catalogue lists it."""

    schema: str | None = None
    """The structure that an object, or each element of a list of them, has."""
    unflagged: bool = False
    """Converted as the others, and never told."""
    other_names: tuple[str, ...] = ()
    """What clients send in its place."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A condition over several properties: either the first field is set, or the other two."""

    any_of_required: tuple[str, ...] = ()
    if_any_present: tuple[str, ...] = ()
    then_required: tuple[str, ...] = ()


class Standard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One standard event."""

    properties: dict[str, Listed]
    rules: tuple[Rule, ...] = ()
    aliases: tuple[str, ...] = ()


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    version: str
    schemas: dict[str, dict[str, Listed]]
    events: dict[str, Standard]


CATALOGUE = msgspec.json.decode(
    files("turnout.specification").joinpath("standard_events.json").read_bytes(), type=Catalogue
)

STANDARD: dict[str, Standard] = {
    name: event for event_name, event in CATALOGUE.events.items() for name in (event_name, *event.aliases)
}
"""By event name, aliases included."""
