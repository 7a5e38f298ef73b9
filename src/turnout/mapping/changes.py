"""Rows of `properties`, compiled (`processing.md` §4.3, §8.1).

What must stay true: a row does all that it says, or nothing. Values are computed before the first is written, and
what exceeds a bound (`formulas.md` §11) leaves the event alone, with a warning in the run. The bounds hold for a
row over all elements of an array together. What is written shares nothing with the rest of the event.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias, cast

import msgspec

from turnout.formula import FAILED, Formula, Run, compile_formula
from turnout.formula.errors import LimitError
from turnout.formula.limits import RESULT_BYTES, WORK
from turnout.formula.paths import present, split, steps, walk
from turnout.formula.source import Source
from turnout.formula.tree import walk as nodes
from turnout.mapping.places import Place, places
from turnout.model.change import Change

Event: TypeAlias = dict[str, object]
Apply: TypeAlias = Callable[[Event, Run], None]
"""Changes the event in place. Never raises; surprises leave warnings in the run."""
WriteRow: TypeAlias = Callable[[Source, str], None]
"""Writes what a row does to the object with this atom, in a function that has `run`, and what it reads as `event`."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_NUMBER_BYTES = 8


def compiled(change: Change) -> Apply:
    """What a row does. Raises `FormulaError` for a formula that cannot work."""
    to = Source("def change(target, run):")
    to.line("event = run.event")
    writer(change)(to, "target")
    return cast("Apply", to.function())


def writer(change: Change) -> WriteRow:
    """How a row is written. Raises `FormulaError` for a formula that cannot work."""
    match change.action:
        case "set":
            return setter(change.property, change.other)
        case "map":
            return _called(_map(change.property, change.other))
        case "delete":
            return _delete(change.property)
        case "rename":
            return _rename(change.property, change.other)


def setter(target: str, text: str, nulls: bool = True) -> WriteRow:
    """Sets a property to the value of a formula; without `nulls`, where that is null nothing is set.

    What it changes may be another object than the event that the run reads. Raises `FormulaError` as `compiled`.
    """
    formula = compile_formula(text)

    def put(to: Source, holder: str, name: str) -> None:
        value = formula.write(to)
        with to.block(f"if {value} is not {to.name(FAILED)}{'' if nulls else f' and {value} is not None'}:"):
            to.line(f"{holder}[{to.name(name)}] = {value}")

    return _in_objects(target, put, _set_each(target, formula, nulls))


_InObject: TypeAlias = Callable[[Source, str, str], None]
"""Writes what is done to the property of this name of the object with this atom."""


def _called(apply: Apply) -> WriteRow:
    return lambda to, target: to.line(to.call(apply, target, "run"))


def _in_objects(path: str, change: _InObject, otherwise: Apply) -> WriteRow:
    """Where a path leads through nothing but objects, `change` is written; all else is left to a function."""
    *containers, name = split(path)
    if not containers:
        return lambda to, target: change(to, target, name)

    def write(to: Source, target: str) -> None:
        holder = to.let(target)
        for container in containers:
            to.line(f"{holder} = {holder}.get({to.name(container)}) if type({holder}) is dict else None")
        with to.block(f"if type({holder}) is dict:"):
            change(to, holder, name)
        with to.block("else:"):
            to.line(to.call(otherwise, target, "run"))

    return write


def _set_each(target: str, formula: Formula, nulls: bool) -> Apply:
    """At every place that the path leads to; in an array, with the value for each element."""
    parts = split(target)
    path = steps(parts)
    # Elements that a path leads on into are objects, for which the array's own path does not matter.
    inside = compile_formula(formula.text, within=parts[0]) if len(parts) > 1 else formula
    turn = 1 + sum(1 for _ in nodes(formula.tree))

    def each(event: Event, run: Run) -> None:
        found = places(event, path)
        spent = 0
        values: list[object] = []
        for place in found:
            if place.elements:
                element, _, number = place.elements[-1]
                value = inside.value(run, element, number)
            else:
                value = formula.value(run)
            spent += turn + WORK - run.left
            if spent > WORK and len(found) > 1:
                run.warn("limit", "too much work for one formula over an array")
                return
            if value is FAILED:
                return
            values.append(value)
        if not nulls:
            kept = [(place, value) for place, value in zip(found, values, strict=True) if value is not None]
            found, values = [place for place, _ in kept], [value for _, value in kept]
        if len(found) == 1:
            found[0].put(values[0])
        else:
            _put(found, values, run)

    return each


def _map(target: str, source: str) -> Apply:
    path, read = steps(split(target)), _reader(target, source)

    def run_map(event: Event, run: Run) -> None:
        found = read(event, run, places(event, path))
        _put([one.place for one in found], [one.value for one in found], run)

    return run_map


def _delete(target: str) -> WriteRow:
    path = steps(split(target))

    def each(event: Event, run: Run) -> None:
        for place in places(event, path):
            place.remove()

    return _in_objects(target, lambda to, holder, name: to.line(f"{holder}.pop({to.name(name)}, None)"), each)


def _rename(source: str, target: str) -> WriteRow:
    *containers, old = split(source)
    if split(target)[:-1] != containers:
        return _called(_move(source, target))
    path, new = steps(split(source)), split(target)[-1]

    def each(event: Event, run: Run) -> None:
        for place in places(event, path):
            if place.last and isinstance(place.holder, dict) and old in place.holder:
                place.holder[new] = place.holder.pop(old)

    def write(to: Source, holder: str, name: str) -> None:
        with to.block(f"if {to.name(name)} in {holder}:"):
            to.line(f"{holder}[{to.name(new)}] = {holder}.pop({to.name(name)})")

    return _in_objects(source, write, each)


def _move(source: str, target: str) -> Apply:
    path, target_path, read = steps(split(source)), steps(split(target)), _reader(target, source)

    def move(event: Event, run: Run) -> None:
        found = read(event, run, places(event, target_path))
        values = _copies([one.value for one in found], run)
        if values is None:
            return
        for base, at in {id(one.base): (one.base, one.at) for one in found}.values():
            for place in places(base, path, at):
                place.remove()
        for one, value in zip(found, values, strict=True):
            one.place.put(value)

    return move


class _Found(NamedTuple):
    """The value for a place, read from `base` by the segments of its path from `at` on."""

    place: Place
    base: object
    at: int
    value: object


def _reader(target: str, source: str) -> Callable[[Event, Run, Iterable[Place]], list[_Found]]:
    """Reads the source for each place of a target; places without one are left out.

    Where both paths cross the same array, an element's value comes from that element.
    """
    path = steps(split(source))
    together = 0
    for one, other in zip(split(source)[:-1], split(target), strict=False):
        if one != other:
            break
        together += 1
    paired = {at for at in range(1, together + 1) if path[at][1] is None}

    def read(event: Event, run: Run, found: Iterable[Place]) -> list[_Found]:
        run.left = WORK
        values: list[_Found] = []
        try:
            for place in found:
                base, at = next(((value, at) for value, at, _ in reversed(place.elements) if at in paired), (event, 0))
                if present(run, base, path, at):
                    values.append(_Found(place, base, at, walk(run, base, path, at)))
        except LimitError as error:
            run.warn("limit", str(error))
            return []
        return values

    return read


def _put(found: list[Place], values: list[object], run: Run) -> None:
    copies = _copies(values, run)
    if copies is not None:
        for place, value in zip(found, copies, strict=True):
            place.put(value)


def _copies(values: list[object], run: Run) -> list[object] | None:
    """Deep copies; None, with a warning, if they are larger together than a result may be."""
    left = RESULT_BYTES
    copies: list[object] = []
    for value in values:
        if isinstance(value, list | dict):
            text = _encode(value)
            left -= len(text)
            copies.append(_decode(text))
        else:
            left -= len(value) if isinstance(value, str) else _NUMBER_BYTES
            copies.append(value)
        if left < 0:
            run.warn("limit", f"values larger than {RESULT_BYTES} bytes")
            return None
    return copies
