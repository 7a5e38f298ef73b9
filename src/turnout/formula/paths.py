"""Property paths (`formulas.md` §4), split once and then walked.

A name met on an array is read from each of its elements, and so is the rest of the path: `items.ratings.0` is the
first rating of every item. A number met on an array picks one element. Walking through anything else gives null.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from turnout.formula.run import Run

Read: TypeAlias = Callable[[Run, object], object]
Step: TypeAlias = tuple[str, int | None]
_NOWHERE = 2**31


def steps(parts: Sequence[str]) -> tuple[Step, ...]:
    """The segments of a path, each with the index that it is on an array."""
    return tuple((part, _index(part)) for part in parts)


def split(path: str) -> list[str]:
    """A dotted path as its segments."""
    return path.split(".")


def reader(parts: Sequence[str]) -> Read:
    """A function that reads this path from a value; missing is None."""
    path = steps(parts)
    if len(path) == 1:
        (name, _), *_ = path
        return lambda run, value: value.get(name) if type(value) is dict else walk(run, value, path, 0)
    return lambda run, value: walk(run, value, path, 0)


def event_reader(parts: Sequence[str]) -> Callable[[Run], object]:
    """As `reader`, from the event of a run."""
    path = steps(parts)
    first = parts[0]
    if len(path) == 1:
        return lambda run: run.event.get(first)
    if len(path) == 2:
        second = parts[1]

        def two(run: Run) -> object:
            value = run.event.get(first)
            return value.get(second) if type(value) is dict else walk(run, value, path, 1)

        return two
    second, third = parts[1], parts[2]
    rest = len(path) > 3

    def three(run: Run) -> object:
        value = run.event.get(first)
        if type(value) is dict:
            value = value.get(second)
            if type(value) is dict:
                value = value.get(third)
                return walk(run, value, path, 3) if rest else value
        return None if value is None else walk(run, run.event, path, 0)

    return three


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
