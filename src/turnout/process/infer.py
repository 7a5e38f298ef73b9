"""A specification from events that were seen (`turnout spec infer`): the present one, widened until it takes them all.

What must stay true: nothing that is declared becomes stricter, and every value that came fits what is proposed. What
does not fit is found by the checks themselves, so both know the same rules.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from turnout.model.specification import Actions, EventSpecification, Property, Specification
from turnout.process.checkers import Finding
from turnout.process.compile import Checks
from turnout.process.formats import FORMATS
from turnout.specification.shape import Shapes, find

ENOUGH = 20
"""So often a property must have come before it is called required, or of a format."""
_EVENTS = 1000
_MEMBERS = 200
"""An object with more different names is a table with keys of its own: what is in it is not declared."""
_CATEGORIES = 10
_EXAMPLES = 3
_FORMATS = ("uuid", "email", "date", "iso8601", "url", "md5_hex", "sha256_hex", "e164")
_PERSONAL = ("email", "e164")
_TELLING = Actions(missing="accept", format="accept", events="accept", properties="accept")
_ORDER = ("string", "number", "integer", "boolean", "object")

_decode = msgspec.json.Decoder(dict[str, object]).decode

Change = Literal["event", "property", "type", "optional", "left"]


class Difference(msgspec.Struct, frozen=True):
    """What is proposed: an event or a property that is new, another type, no longer required; or what can't be.

    It concerns `count` of `seen` events. `examples` are of categories only, never of what may be personal.
    """

    change: Change
    event: str
    path: str
    message: str
    count: int
    seen: int
    examples: tuple[str, ...] = ()


class _Seen:
    """The values that came at one place."""

    def __init__(self) -> None:
        self.count = 0
        """Without nulls."""
        self.kinds: Counter[str] = Counter()
        self.members: dict[str, _Seen] = {}
        self.elements: _Seen | None = None
        self.formats = set(_FORMATS)
        self.personal = False
        self.texts: set[str] = set()

    def see(self, value: object) -> None:
        """Take a value in."""
        if value is None:
            self.kinds["null"] += 1
            return
        self.count += 1
        match value:
            case bool():
                self.kinds["boolean"] += 1
            case int():
                self.kinds["integer"] += 1
            case float():
                self.kinds["number"] += 1
            case str():
                self.kinds["string"] += 1
                self._see_text(value)
            case dict():
                self.kinds["object"] += 1
                for name, item in value.items():
                    if name in self.members or len(self.members) <= _MEMBERS:
                        self.members.setdefault(name, _Seen()).see(item)
            case list():
                self.kinds["array"] += 1
                self.elements = self.elements or _Seen()
                for item in value:
                    self.elements.see(item)

    def _see_text(self, text: str) -> None:
        fitting = {name for name in _FORMATS if FORMATS[name].test(text)}
        self.formats &= fitting
        self.personal = self.personal or bool(fitting & set(_PERSONAL))
        if len(self.texts) <= _CATEGORIES:
            self.texts.add(text)

    @property
    def inner(self) -> "Mapping[str, _Seen]":
        """The members of the object, or of the objects in the list; none if they have keys of their own."""
        holder = self.elements if self.elements is not None and self.elements.members else self
        declarable = len(holder.members) <= _MEMBERS and all(map(_is_name, holder.members))
        return holder.members if declarable else {}

    def types(self) -> set[str]:
        """The types of the values, nulls left out."""
        found = _scalars(self.kinds)
        if "array" in self.kinds:
            elements = _scalars(self.elements.kinds) if self.elements is not None else set()
            whole = "any" if self.elements is None or self.elements.kinds.keys() & {"null", "array"} else ""
            found.add(f"array<{whole or (elements.pop() if len(elements) == 1 else 'any')}>")
        return found


def _scalars(kinds: Mapping[str, int]) -> set[str]:
    found = set(kinds) - {"null", "array"}
    return found - {"integer"} if {"integer", "number"} <= found else found


def _is_name(name: str) -> bool:
    return bool(name.strip()) and "." not in name and not name.isdecimal()


class Observer:
    """Takes events in, one after the other, and proposes."""

    def __init__(self, present: Specification) -> None:
        """`present` is what is declared already. Raises `ShapeError` if it does not hold together."""
        self._present = present
        self._checks = Checks(present, _TELLING)
        self._events: dict[str, _Seen] = {}
        self._found: dict[str, Counter[tuple[str, str]]] = {}
        self._new: set[str] = set()

    def see(self, payload: bytes) -> None:
        """Take an event in, as JSON. What is none, has no name, or one too many, is passed over."""
        try:
            event = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        name = event.get("event_name")
        if not isinstance(name, str) or not name.strip() or (name not in self._events and len(self._events) >= _EVENTS):
            return
        if name not in self._events:
            self._events[name], self._found[name] = _Seen(), Counter()
            self._declare(name)
        self._events[name].see(event)
        findings: list[Finding] = []
        checker = self._checks.of(name)
        checker.shape(event, findings)
        for rule in checker.rules:
            rule(event, findings)
        self._found[name].update({(_plain(finding.path), finding.rule) for finding in findings})

    def _declare(self, name: str) -> None:
        """An event that nobody has declared is checked as one of which nothing is declared."""
        if Shapes(self._present).of(name) is None:
            self._new.add(name)
            self._present = msgspec.structs.replace(
                self._present, events={**self._present.events, name: EventSpecification()}
            )
            self._checks = Checks(self._present, _TELLING)

    def propose(self) -> tuple[Specification, list[Difference]]:
        """A specification that takes all events, and how it differs from the present one."""
        events = dict(self._present.events)
        differences: list[Difference] = []
        for name, seen in sorted(self._events.items()):
            if name in self._new:
                differences.append(Difference("event", name, "", "new event", seen.count, seen.count))
            added = dict(self._changes(name, seen, differences))
            if added or name in self._new:
                own = events.get(name, EventSpecification())
                both = {**own.properties, **added}
                kept = {path: one for path, one in both.items() if not _covered(path, added)}
                events[name] = msgspec.structs.replace(own, properties=kept)
        return msgspec.structs.replace(self._present, events=events), differences

    def _changes(self, name: str, seen: _Seen, differences: list[Difference]) -> Iterator[tuple[str, Property]]:
        """The properties that an event must have besides, or otherwise."""
        shape = Shapes(self._present).of(name)
        assert shape is not None
        found, own = self._found[name], self._present.events.get(name, EventSpecification()).properties
        for path, rule in sorted(found):
            count = found[path, rule]
            known, at = find(shape.members, path), _at(seen, path)
            if rule == "unspecified_property" and at is not None and all(map(_is_name, path.split("."))):
                yield from _new(name, path, at, _parent_count(seen, path), differences)
            elif rule == "missing_required" and known is not None:
                if (path, "format") not in found:
                    yield path, msgspec.structs.replace(own.get(path, Property()), required=False)
                message = "no longer required: it is missing"
                differences.append(Difference("optional", name, path, message, count, seen.count))
            elif rule == "format" and known is not None and at is not None:
                kinds = _joined({*known.property.kinds, *at.types()})
                before, after = " or ".join(known.property.kinds), " or ".join(kinds)
                message = f"{before} becomes {after}" if before != after else f"any {after}: its rules do not hold"
                differences.append(Difference("type", name, path, message, count, seen.count))
                waived = (path, "missing_required") in found or own.get(path, Property()).required is False
                required = False if waived else known.required or None
                yield path, msgspec.structs.replace(_typed(kinds), required=required, pii=known.property.pii)
            else:
                message = f"{rule}, which no specification can allow"
                differences.append(Difference("left", name, path, message, count, seen.count))


def _new(
    event: str, path: str, seen: _Seen, parents: int, differences: list[Difference]
) -> Iterator[tuple[str, Property]]:
    """A property that was not declared, and what is in it."""
    if not seen.count:
        return
    kinds = _joined(seen.types())
    sure = seen.count >= ENOUGH
    personal = seen.personal or (path.startswith("user.") and kinds == ("string",))
    form = next((one for one in _FORMATS if one in seen.formats), None) if sure and kinds == ("string",) else None
    required = True if sure and seen.count == parents else None
    yield path, msgspec.structs.replace(_typed(kinds), required=required, format=form, pii=personal)
    message = " or ".join(kinds) + (f", {form}" if form else "") + (", personal" if personal else "")
    examples = _examples(seen) if not personal and not path.startswith("user.") else ()
    differences.append(Difference("property", event, path, message, seen.count, parents, examples))
    if kinds in (("object",), ("array<object>",)):
        holder = seen.elements if kinds != ("object",) and seen.elements is not None else seen
        for name, inner in seen.inner.items():
            yield from _new(event, f"{path}.{name}", inner, holder.kinds["object"], differences)


def _typed(kinds: tuple[str, ...]) -> Property:
    return Property(type=kinds[0] if len(kinds) == 1 else kinds)


def _joined(kinds: Iterable[str]) -> tuple[str, ...]:
    """Types of which one fits whatever fits one of these."""
    found = {"string" if kind == "id" else kind for kind in kinds}
    lists = {kind for kind in found if "<" in kind}
    if len(lists) > 1:
        found = (found - lists) | {"array<any>"}
    if len(found) > 1 and found & {"any", "object"}:
        return ("any",)
    if {"integer", "number"} <= found:
        found.discard("integer")
    return tuple(sorted(found, key=lambda kind: (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), kind)))


def _examples(seen: _Seen) -> tuple[str, ...]:
    """Values that come again and again: a category's words, not somebody's."""
    few = len(seen.texts) <= _CATEGORIES and seen.kinds["string"] >= ENOUGH
    return tuple(sorted(seen.texts, key=len)[:_EXAMPLES]) if few else ()


def _plain(path: str) -> str:
    """The path of a property, without the places in lists."""
    return ".".join(part for part in path.split(".") if not part.isdecimal())


def _at(seen: _Seen, path: str) -> _Seen | None:
    """What was seen at a path."""
    here: _Seen | None = seen
    for name in path.split("."):
        if here is None:
            return None
        holder = here if name in here.members or here.elements is None else here.elements
        here = holder.members.get(name)
    return here


def _parent_count(seen: _Seen, path: str) -> int:
    parent, _, _ = path.rpartition(".")
    holder = _at(seen, parent) if parent else seen
    if holder is not None and holder.elements is not None and not holder.kinds["object"]:
        holder = holder.elements
    return holder.kinds["object"] if holder is not None else 0


def _covered(path: str, added: Mapping[str, Property]) -> bool:
    """Whether a property lies inside of one that is none with properties any more."""
    return any(path.startswith(f"{other}.") and one.type and not _holds(one) for other, one in added.items())


def _holds(one: Property) -> bool:
    return any("object" in kind for kind in one.kinds)
