"""Shapes: for each event name of a site the tree of its properties (`processing.md` §5.1).

A standard event has its own properties, and what the site adds. A definition of the site applies to every event that
has the property already, or the object that it is in: one of `user.card` to all of them. Others are there in the
events that name them.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

import msgspec

from turnout.model.specification import Property, Specification
from turnout.specification.catalogue import CATALOGUE, STANDARD, Listed, Rule

EXEMPT = "context"
"""Libraries, the collector and the pipeline write here: nothing in it counts as unspecified."""
_HASHES: Mapping[str, Property] = {
    "md5": Property(type="string", format="md5_hex"),
    "sha256": Property(type="string", format="sha256_hex"),
}


class ShapeError(Exception):
    """A property that cannot be as it is written; the text says why, `path` which."""

    def __init__(self, path: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.path, self.message, self.fix = path, message, fix


class Shape(NamedTuple):
    """A property in its place. `members` are those of the object, or of each object of a list; none: anything.

    Not `strict`: what is no object passes unseen.
    """

    property: Property
    required: bool
    members: "Members"
    strict: bool = True

    @property
    def holds_objects(self) -> bool:
        """Whether a path may lead on into it."""
        return any(kind.rpartition("<")[2].rstrip(">") == "object" for kind in self.property.kinds)


Members = Mapping[str, Shape]

_IMPLIED = Shape(Property(type="object"), required=False, members={})


class EventShape(NamedTuple):
    """An event's properties, and the conditions over several of them."""

    members: Members
    rules: tuple[Rule, ...] = ()
    one_currency: bool = False
    """Whether all its items are in one currency."""


def expanded(listed: Mapping[str, Listed]) -> dict[str, Shape]:
    """The shapes of properties of the catalogue, its structures expanded. A dotted name implies an object."""
    shapes: dict[str, Shape] = {}
    implied: dict[str, dict[str, Listed]] = {}
    for name, entry in listed.items():
        parent, dot, leaf = name.partition(".")
        if dot:
            implied.setdefault(parent, {})[leaf] = entry
        else:
            shapes[name] = Shape(entry, bool(entry.required), structure(entry.schema) if entry.schema else {})
    for parent, inner in implied.items():
        shapes[parent] = _IMPLIED._replace(members=expanded(inner), strict=False)
    return shapes


@cache
def structure(name: str) -> Members:
    """A structure of the catalogue; always the same object."""
    return expanded(CATALOGUE.schemas[name])


@cache
def standard(name: str) -> EventShape:
    """A standard event as the catalogue has it."""
    event = STANDARD[name]
    members = {**structure("event"), **expanded(event.properties)}
    return EventShape(members, event.rules, "items" in event.properties)


@cache
def standard_properties() -> Members:
    """Every property of any standard event; where they differ, it may be anything."""
    return merged(standard(name).members for name in CATALOGUE.events)


def merged(several: Iterable[Members]) -> dict[str, Shape]:
    """All members, none required; those that differ between the trees may be anything."""
    found: dict[str, Shape] = {}
    for members in several:
        for name, shape in members.items():
            known = found.get(name)
            if known is None:
                found[name] = shape._replace(required=False, members=merged([shape.members]))
            else:
                members_of_both = merged([known.members, shape.members])
                found[name] = Shape(_shared(known.property, shape.property), False, members_of_both)
    return found


def _shared(one: Property, other: Property) -> Property:
    """What holds for both."""
    if msgspec.structs.replace(one, required=None) == msgspec.structs.replace(other, required=None):
        return one
    if one.kinds == other.kinds:
        return Property(type=one.type, nullable=one.nullable or other.nullable)
    return Property(type="any")


def find(members: Members, path: str) -> Shape | None:
    """The shape at a path."""
    name, dot, rest = path.partition(".")
    shape = members.get(name)
    return find(shape.members, rest) if shape is not None and dot else shape


class Shapes:
    """The shapes of a site. Raises `ShapeError` for properties that don't go together."""

    def __init__(self, specification: Specification) -> None:
        self._specification = specification
        self._laid: dict[tuple[int, str], tuple[Members, dict[str, Shape]]] = {}
        """By the identity of the structure that was overlaid, and its place."""
        self._definitions: dict[str, Shape] = {}
        for path in sorted(specification.properties, key=_depth):
            _define(self._definitions, path, specification.properties[path])
            self._declared(path)

    def of(self, name: str) -> EventShape | None:
        """The shape of the events of this name; None if the specification has none."""
        own = self._specification.events.get(name)
        known = standard(name) if self._specification.standard and name in STANDARD else None
        if own is None and known is None:
            return None
        if known is None:
            known = EventShape(structure("event"))
        members = self._overlaid(known.members)
        if own is None:
            return known._replace(members=members)
        for path in sorted(own.properties, key=_depth):
            self._put(members, path, own.properties[path])
        waived = {path for path, one in own.properties.items() if one.required is False}
        rules = tuple(rule for rule in known.rules if not waived & {*rule.any_of_required, *rule.then_required})
        return known._replace(members=members, rules=rules)

    def base(self) -> EventShape:
        """What every event has, whatever its name: the types of `user` and `context`, nothing required."""
        shared = self._overlaid({name: structure("event")[name] for name in ("user", "context")})
        return EventShape(merged([shared]))

    def common(self) -> EventShape:
        """Every property that is declared anywhere, none required; where declarations differ it may be anything."""
        known = standard_properties() if self._specification.standard else structure("event")
        defined = {name: shape for name in self._definitions if (shape := self._declared(name)) is not None}
        each = (self.of(name) for name in self._specification.events)
        own = [shape.members for shape in each if shape is not None]
        return EventShape(merged([self._overlaid(known), defined, *own]))

    def _overlaid(self, members: Members) -> dict[str, Shape]:
        """An event's members with the site's definitions of those that it has."""
        laid = dict(members)
        for name, shape in members.items():
            definition = self._definitions.get(name)
            if definition is not None or name == "user":
                laid[name] = self._laid_over(shape, definition, name)
        return laid

    def _laid_over(self, shape: Shape, definition: Shape | None, path: str) -> Shape:
        entry, inner = (definition.property, definition.members) if definition is not None else (Property(), {})
        top = shape if entry.required is None else shape._replace(required=entry.required)
        if entry.type:
            top = top._replace(property=entry, strict=True)
        if not top.holds_objects:
            if inner:
                raise _leads_through(f"{path}.{next(iter(inner))}", path, top)
            return top._replace(members={})
        kept = self._laid.get((id(shape.members), path))
        if kept is None:
            inside = dict(shape.members)
            for name, one in inner.items():
                here = f"{path}.{name}"
                inside[name] = self._laid_over(inside[name], one, here) if name in inside else _placed(one, here)
            if path == "user":
                _add_hashes(inside)
            kept = self._laid[id(shape.members), path] = (shape.members, inside)
        return top._replace(members=kept[1])

    def _put(self, members: dict[str, Shape], path: str, entry: Property, above: str = "") -> None:
        """Write a property into an event; `path` leads on from `above`. Objects that are missing are made."""
        name, dot, rest = path.partition(".")
        here = f"{above}.{name}" if above else name
        known = members.get(name)
        if dot:
            parent = known or self._declared(here) or _IMPLIED
            if not parent.holds_objects:
                raise _leads_through(f"{here}.{rest}", here, parent)
            inside = dict(parent.members)
            self._put(inside, rest, entry, here)
            members[name] = parent._replace(members=inside)
            return
        required = entry.required if entry.required is not None else known is not None and known.required
        if entry.type:
            shape = Shape(entry, required, known.members if known is not None else {})
            members[name] = shape if shape.holds_objects else shape._replace(members={})
            return
        declared = known or self._declared(here)
        if declared is None:
            raise _undefined(here)
        members[name] = declared._replace(required=required)

    def _declared(self, path: str) -> Shape | None:
        """What a property is that an event names for the first time: what the site and the standard events say."""
        definition, known = find(self._definitions, path), find(standard_properties(), path)
        if known is not None:
            return self._laid_over(known, definition, path)
        return _placed(definition, path) if definition is not None else None


def _define(definitions: dict[str, Shape], path: str, entry: Property, above: str = "") -> None:
    """Add a definition to a tree of them. One without a type keeps that of what it is laid over."""
    name, dot, rest = path.partition(".")
    here = f"{above}.{name}" if above else name
    known = definitions.get(name, Shape(Property(), False, {}))
    if not dot:
        definitions[name] = known._replace(property=entry)
        return
    if known.property.type and not known.holds_objects:
        raise _leads_through(f"{here}.{rest}", here, known)
    inside = dict(known.members)
    _define(inside, rest, entry, here)
    definitions[name] = known._replace(members=inside)


def _placed(definition: Shape, path: str) -> Shape:
    """A definition where nothing was before."""
    members = {name: _placed(one, f"{path}.{name}") for name, one in definition.members.items()}
    entry = definition.property
    if not entry.type and not members:
        raise _undefined(path)
    return Shape(entry if entry.type else _IMPLIED.property, bool(entry.required), members)


def _depth(path: str) -> int:
    return path.count(".")


def _undefined(path: str) -> ShapeError:
    return ShapeError(path, "has no type, and is not defined elsewhere", "give it a type here")


def _leads_through(path: str, through: str, shape: Shape) -> ShapeError:
    kinds = " or ".join(shape.property.kinds)
    return ShapeError(path, f"leads through {through}, which is of type {kinds}", "only objects have properties")


def _add_hashes(members: dict[str, Shape]) -> None:
    """Any text about a user may be sent as its hash instead (`events.md`)."""
    for name, shape in list(members.items()):
        if shape.property.kinds == ("string",) and not name.endswith(tuple(_HASHES)):
            for kind, hashed in _HASHES.items():
                members.setdefault(f"{name}_{kind}", Shape(hashed, False, {}))
