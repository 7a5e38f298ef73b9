"""Shapes of events, compiled into checks: once per configuration, and only for the events that come.

What is the same in many events, as `user`, is compiled once: shapes that are the same object have the same check.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from turnout.model.specification import Actions, Property, Specification
from turnout.process import checkers, formats, values
from turnout.process.checkers import WELCOME, Checker, EventRule, Field, Finding, ListRule, Strangers
from turnout.specification.catalogue import CATALOGUE, STANDARD, Listed
from turnout.specification.shape import EXEMPT, EventShape, Members, Shape, Shapes, standard

_SCALARS: dict[str, tuple[values.Convert, tuple[type, ...]]] = {
    "string": (values.string, (str,)),
    "id": (values.identifier, (str,)),
    "number": (values.number, (int, float)),
    "integer": (values.integer, (int,)),
    "boolean": (values.boolean, (bool,)),
}
"""By kind: how to convert to it, and the types that it has already."""
_STRANGERS = {
    "accept": Strangers(told=True, omitted=False),
    "ignore": WELCOME,
    "omit": Strangers(told=True, omitted=True),
    "omit_silently": Strangers(told=False, omitted=True),
}

Moment = Literal["once", "before", "after"]
"""When an event is checked: once, or before it is enriched (its values), and again after (what is required)."""


class EventChecker(NamedTuple):
    """What to run for one event name: `shape` over the whole event, then `rules`."""

    shape: Checker
    rules: tuple[EventRule, ...] = ()


class Compiler:
    """Makes the checks of one set of actions. Keeps what it made, so let go of it with the configuration."""

    def __init__(self, actions: Actions, *, specified: bool, moment: Moment = "once") -> None:
        """`specified`: elements are checked to the last, because what is there may be removed or refused."""
        self._moment = moment
        self._demanding = actions.missing != "ignore"
        self._omit = actions.format == "omit"
        self._strangers = _STRANGERS[actions.properties]
        self._thorough = specified
        self._known: dict[tuple[str, int, bool], tuple[Members, dict[str, Field]]] = {}

    def event(self, shape: EventShape, *, strangers: bool = True) -> EventChecker:
        """The check of an event. Without `strangers` it welcomes properties that the shape does not have."""
        if self._moment == "after":
            needed = _needed(shape.members, "") if self._demanding else {}
            return EventChecker(checkers.object_of("", needed), tuple(self._rules(shape)))
        fields = self._fields("", shape.members, strangers)
        own = self._strangers if strangers else WELCOME
        return EventChecker(checkers.object_of("", fields, strangers=own), tuple(self._rules(shape)))

    def _rules(self, shape: EventShape) -> Iterator[EventRule]:
        for rule in shape.rules if self._demanding and self._moment != "before" else ():
            if rule.any_of_required:
                yield checkers.any_required(rule.any_of_required)
            # What is required anyway is reported once.
            if names := [name for name in rule.then_required if not shape.members[name].required]:
                yield checkers.required_with(rule.if_any_present, names)
        if shape.one_currency and self._moment != "after":
            yield checkers.one_currency

    def _fields(self, at: str, members: Members, strangers: bool) -> dict[str, Field]:
        key = (at, id(members), strangers)
        if key not in self._known:
            prefix = f"{at}." if at else ""
            fields = {name: self._field(f"{prefix}{name}", shape, strangers) for name, shape in members.items()}
            # With the members, or their id might come to mean others.
            self._known[key] = (members, fields)
        return self._known[key][1]

    def _field(self, at: str, shape: Shape, strangers: bool) -> Field:
        listed = shape.property
        unflagged = isinstance(listed, Listed) and listed.unflagged
        omit = self._omit and not unflagged
        strangers = strangers and at != EXEMPT
        each = [self._kind(at, kind, shape, omit, strangers) for kind in listed.kinds]
        check = each[0]
        if len(each) > 1:
            alternatives = zip(listed.kinds, map(_types, listed.kinds), each, strict=True)
            check = checkers.one_of(at, list(alternatives), omit=omit)
        if unflagged:
            check = checkers.unflagged(check)
        plain = _plain(listed.kinds[0], listed) if len(each) == 1 else None
        other_names = listed.other_names if isinstance(listed, Listed) else ()
        required = self._demanding and self._moment != "before" and shape.required
        return Field(check, plain, required, listed.nullable, other_names)

    def _kind(self, at: str, kind: str, shape: Shape, omit: bool, strangers: bool) -> Checker:
        listed = shape.property
        structure, _, inner = kind.partition("<")
        if inner:
            element = inner.rstrip(">")
            # Paths start anew inside a list: the list puts its own in front.
            each = self._kind("", element, shape, omit, strangers)
            whole = ListRule(listed.min_items, listed.max_items, structure == "set")
            plain = _plain(element, listed)
            return checkers.list_of(at, element, each, plain, whole, omit=omit, thorough=self._thorough)
        if kind == "any":
            return checkers.anything
        if kind == "object":
            fields = self._fields(at, shape.members, strangers)
            # An object of which nothing is declared may hold anything.
            own = self._strangers if strangers and fields else WELCOME
            return checkers.object_of(at, fields, strict=shape.strict, omit=omit, strangers=own)
        convert, (exact, *_) = _SCALARS[kind]
        checker = checkers.typed(at, convert, kind, omit=omit)
        if (form := formats.of(listed, kind)) is None:
            return checker
        # An empty text says "nothing to tell", as the referrer of a direct visit.
        may_be_empty = isinstance(listed, Listed) and not (self._demanding and shape.required)
        return checkers.formatted(at, checker, exact, form, may_be_empty=may_be_empty, omit=omit)


def _needed(members: Members, at: str) -> dict[str, Field]:
    """Of an object's members those that are required, or in which something is."""
    prefix = f"{at}." if at else ""
    needed: dict[str, Field] = {}
    for name, shape in members.items():
        # Paths start anew inside a list: the list puts its own in front.
        inside = _needed(shape.members, f"{prefix}{name}" if "object" in shape.property.kinds else "")
        if not shape.required and not inside:
            continue
        check: Checker = checkers.anything
        if inside:
            check = checkers.object_of(f"{prefix}{name}", inside, strict=False)
            if "object" not in shape.property.kinds:
                check = checkers.each_of(f"{prefix}{name}", checkers.object_of("", inside, strict=False))
        listed = shape.property
        other_names = listed.other_names if isinstance(listed, Listed) else ()
        needed[name] = Field(check, None, shape.required, listed.nullable, other_names)
    return needed


def _plain(kind: str, listed: Property) -> type | None:
    return _SCALARS[kind][1][0] if kind in _SCALARS and formats.of(listed, kind) is None else None


def _types(kind: str) -> tuple[type, ...]:
    if kind == "object":
        return (dict,)
    return _SCALARS[kind][1] if kind in _SCALARS else (list,) if "<" in kind else ()


class Checks:
    """The checks of a site in one environment: `of` an event name."""

    def __init__(self, specification: Specification, actions: Actions, moment: Moment = "once") -> None:
        """Raises `ShapeError` if the specification's properties don't go together."""
        self.actions, self._moment = actions, moment
        self._shapes, self._compiler = Shapes(specification), Compiler(actions, specified=True, moment=moment)
        self._known: dict[str, EventChecker] = {}
        self._unspecified: EventChecker | None = None

    def of(self, name: str) -> EventChecker:
        """The check of this event, compiled when the first one comes."""
        checker = self._known.get(name)
        if checker is not None:
            return checker
        shape = self._shapes.of(name)
        if shape is not None:
            checker = self._known[name] = self._compiler.event(shape)
            return checker
        # One for all, or names that clients make up would fill the memory.
        if self._unspecified is None:
            self._unspecified = self._stranger()
        return self._unspecified

    def _stranger(self) -> EventChecker:
        if self.actions.events == "common":
            return self._compiler.event(self._shapes.common())
        checker = self._compiler.event(self._shapes.base(), strangers=False)
        told = self.actions.events != "ignore" and self._moment != "after"
        return checker if not told else checker._replace(rules=(*checker.rules, _unspecified))


def _unspecified(event: dict[str, object], findings: list[Finding]) -> None:
    findings.append(Finding("event_name", "unspecified_event", "{event} event is not in the specification"))


_DEFAULT = Compiler(Actions(), specified=False)

DEFAULT: dict[str, EventChecker] = {
    name: checker
    for event_name, event in CATALOGUE.events.items()
    for checker in (_DEFAULT.event(standard(event_name)),)
    for name in (event_name, *event.aliases)
}
"""For sites without a specification: the check of each standard event, by name, aliases included."""

CUSTOM = _DEFAULT.event(Shapes(Specification(standard=False)).base())
"""For every other name: nothing is required, and what is known of `user` and `context` has its type."""

assert set(DEFAULT) == set(STANDARD)
