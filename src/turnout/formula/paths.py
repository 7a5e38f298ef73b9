"""Property paths (`formulas.md` §4), split once and then walked.

A name met on an array is read from each of its elements, and so is the rest of the path: `items.ratings.0` is the
first rating of every item. A number met on an array picks one element. Walking through anything else gives null.
"""

from collections.abc import Sequence
from typing import TypeAlias

from turnout.formula.run import Run
from turnout.formula.source import Source

Step: TypeAlias = tuple[str, int | None]
_NOWHERE = 2**31
_DIRECT = 4
"""Segments that are read by lines of their own; what is deeper is left to `walk`."""


def steps(parts: Sequence[str]) -> tuple[Step, ...]:
    """The segments of a path, each with the index that it is on an array."""
    return tuple((part, _index(part)) for part in parts)


def split(path: str) -> list[str]:
    """A dotted path as its segments."""
    return path.split(".")


def read(to: Source, value: str, parts: Sequence[str]) -> str:
    """Write how a path is read from a value known by its atom, an object or null; gives what it leads to."""
    path = to.name(steps(parts))
    result = to.let(f"{value}.get({to.name(parts[0])})")

    def on(place: int) -> None:
        if place == len(parts):
            return
        if place == _DIRECT:
            to.line(f"{result} = {to.call(walk, 'run', result, path, str(place))}")
            return
        with to.block(f"if type({result}) is dict:"):
            to.line(f"{result} = {result}.get({to.name(parts[place])})")
            on(place + 1)
        with to.block(f"elif {result} is not None:"):
            to.line(f"{result} = {to.call(walk, 'run', result, path, str(place))}")

    on(1)
    return result


def walk(run: Run, value: object, path: tuple[Step, ...], at: int) -> object:
    """What is at the end of a path, from its step `at` on."""
    for place in range(at, len(path)):
        name, index = path[place]
        if type(value) is dict:
            value = value.get(name)
        elif type(value) is list:
            if index is None:
                run.spend(len(value))
                return [walk(run, one, path, place) for one in value]
            value = value[index] if index < len(value) else None
        else:
            return None
    return value


def present(run: Run, value: object, path: tuple[Step, ...], at: int = 0) -> bool:
    """Whether the path leads somewhere, be it to null; across an array: for at least one element."""
    for place in range(at, len(path)):
        name, index = path[place]
        if type(value) is dict:
            if name not in value:
                return False
            value = value[name]
        elif type(value) is list:
            if index is None:
                run.spend(len(value))
                return any(present(run, one, path, place) for one in value)
            if index >= len(value):
                return False
            value = value[index]
        else:
            return False
    return True


def by_name(run: Run, name: str) -> object:
    """`GET`: the property of exactly this name, else what the dotted path leads to."""
    if name in run.event:
        return run.event[name]
    return walk(run, run.event, steps(split(name)), 0) if "." in name else None


def _index(part: str) -> int | None:
    if not (part.isascii() and part.isdigit()):
        return None
    return int(part) if len(part) < 10 else _NOWHERE
