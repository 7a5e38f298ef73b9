"""Places in an event that a path leads to, for writing (`processing.md` §4.3, paths).

A name met on an array leads into each of its elements, a number to one of them. Finding changes nothing: objects
that are missing on the way are made when something is put there. Nothing is put through a text, number or truth
value, nor past the end of an array.
"""

from collections.abc import Sequence
from typing import NamedTuple

from turnout.formula.paths import Step


class Element(NamedTuple):
    """An element of an array on the way, its `number` from 0: the path goes on in it from its segment `at`."""

    value: object
    at: int
    number: int


class Place(NamedTuple):
    """What the segment `at` of `path` names in `holder`; the last segment, or one whose value is missing.

    `elements` are those passed on the way, the innermost last.
    """

    holder: dict[str, object] | list[object]
    path: Sequence[Step]
    at: int
    elements: tuple[Element, ...]

    @property
    def last(self) -> bool:
        """Whether nothing is missing on the way to the last segment."""
        return self.at == len(self.path) - 1

    def put(self, value: object) -> None:
        """Write the value there, in the objects that it needs."""
        for name, _ in reversed(self.path[self.at + 1 :]):
            value = {name: value}
        name, index = self.path[self.at]
        if isinstance(self.holder, dict):
            self.holder[name] = value
        elif index is not None:
            self.holder[index] = value

    def remove(self) -> None:
        """Take away what is there, if anything is."""
        if not self.last:
            return
        name, index = self.path[self.at]
        if isinstance(self.holder, dict):
            self.holder.pop(name, None)
        elif index is not None:
            del self.holder[index]


def places(value: object, path: Sequence[Step], at: int = 0) -> list[Place]:
    """Every place that the path leads to from its segment `at` on, beginning in `value`."""
    found: list[Place] = []
    _find(value, path, at, (), found)
    return found


def _find(value: object, path: Sequence[Step], at: int, elements: tuple[Element, ...], found: list[Place]) -> None:
    end = len(path) - 1
    while True:
        name, index = path[at]
        inner: object
        if isinstance(value, dict):
            inner = value.get(name)
        elif not isinstance(value, list):
            return
        elif index is None:
            for number, one in enumerate(value):
                _find(one, path, at, (*elements, Element(one, at, number)), found)
            return
        elif index < len(value):
            inner = value[index]
        else:
            return
        if at == end or inner is None:
            found.append(Place(value, path, at, elements))
            return
        value, at = inner, at + 1
