"""Which properties the events of a site have: what is specified, and what has come lately. Reads the inspector."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from turnout.control.inspector import incoming
from turnout.control.inspector.inspector import Inspector
from turnout.control.inspector.segment import Row, Span
from turnout.control.inspector.terms import field_term
from turnout.model.config import Snapshot
from turnout.model.specification import Specification
from turnout.specification.shape import Members, Shapes

_RECORDS = 300
_MOST = 2_000
_DEEPEST = 16
_IDS = ("id", "array<id>", "set<id>")
"""What the standard events call texts that may be sent as numbers."""
_KINDS: Mapping[type, str] = {str: "string", bool: "boolean", int: "number", float: "number", dict: "object"}


class Known(msgspec.Struct, kw_only=True):
    """A property, by its path without indexes."""

    path: str
    types: set[str]
    specified: bool = False
    seen: int = 0
    pii: bool = False
    label: str = ""
    description: str = ""


def known_properties(inspector: Inspector, snapshot: Snapshot, site: str, event_name: str) -> list[Known]:
    """Those of events of this name, of all if it is empty, in the order of their paths; 2,000 at most."""
    specification = snapshot.specifications.get(site, Specification())
    found = {one.path: one for one in _specified(_members(specification, event_name), "")}
    for event in _latest(inspector, site, event_name):
        for path, kinds in _paths(event).items():
            if (one := found.get(path)) is None:
                one = found[path] = Known(path=path, types=set())
            if not one.specified:
                one.types |= kinds
            one.seen += 1
    first = sorted(found.values(), key=lambda one: (not one.seen, one.path))[:_MOST]
    return sorted(first, key=lambda one: one.path)


def _members(specification: Specification, event_name: str) -> Members:
    """The shape of these events, or what any has."""
    shapes = Shapes(specification)
    shape = shapes.of(event_name) if event_name else shapes.common()
    return (shape or shapes.base()).members


def _specified(members: Members, above: str, depth: int = 0) -> Iterator[Known]:
    for name, shape in members.items():
        path = f"{above}.{name}" if above else name
        entry = shape.property
        yield Known(
            path=path,
            types={one.replace("id", "string") if one in _IDS else one for one in entry.kinds},
            specified=True,
            pii=entry.pii,
            label=entry.label,
            description=entry.description,
        )
        if depth < _DEEPEST:
            yield from _specified(shape.members, path, depth + 1)


def _latest(inspector: Inspector, site: str, event_name: str) -> Iterable[incoming.Event]:
    sought = {"site": site} | ({"event_name": event_name} if event_name else {})
    match = " AND ".join(f'"{field_term(name, value)}"' for name, value in sought.items())

    def read(row: Row) -> incoming.Event | None:
        record = incoming.decode(row.document)
        # The shape of what was refused is not known.
        wanted = record.site == site and event_name in ("", record.name) and record.status != "rejected"
        return record.event if wanted else None

    return inspector.incoming.search(match, Span(), read, _RECORDS, examined=2 * _RECORDS).items


def _paths(event: Mapping[str, object]) -> dict[str, set[str]]:
    """Every path of an event with the types of what is there; null has none."""
    found: dict[str, set[str]] = {}
    _walk(event, "", found, 0)
    return found


def _walk(value: object, path: str, found: dict[str, set[str]], depth: int) -> None:
    if isinstance(value, dict) and depth < _DEEPEST:
        for name, member in value.items():
            inner = f"{path}.{name}" if path else name
            found.setdefault(inner, set()).update(_kinds(member))
            _walk(member, inner, found, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _walk(one, path, found, depth + 1)


def _kinds(value: object) -> set[str]:
    if isinstance(value, list):
        kinds = {_KINDS.get(type(one), "any") for one in value if one is not None}
        return {f"array<{kinds.pop() if len(kinds) == 1 else 'any'}>"}
    return {_KINDS[type(value)]} if type(value) in _KINDS else set()
