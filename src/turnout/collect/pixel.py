"""The query string of a GET pixel → an event, as a POST would have carried it (`collect.md` §9). Pure.

Strategy. The shape of the event follows from the keys alone, and the pages of a site send few sequences of keys:
`_shape` applies the rules once for a sequence, `decode` then only puts the values in their places.

What must stay true: nothing a client sends raises; work and memory grow with the length of the query, whatever its
brackets say; a credential never becomes a property.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from turnout.collect.convert import Event
from turnout.collect.percent import pairs

PAIRS = 1_000
"""Pairs of one query that can become properties."""
SEGMENTS = 10
"""Bracketed segments of one key."""
ELEMENT = "[]"
"""In a path that is asked about: any element of an array."""

IsArray = Callable[[tuple[str, ...]], bool]
"""Whether the catalogue types a path as an array, such as `("items", "[]", "product", "colors")`."""

_CACHED_PAIRS, _CACHED_CHARACTERS, _CACHED_KEY_CHARACTERS = 128, 8_192, 128
_INDEX_DIGITS = 18
"""Longer numbers are text: indexes stay below the modulus of `hash(int)`, so no two of them share a hash."""

_Segment = str | int | None
"""A member's name, an index, or None for `[]`."""
_Place = int | list["_Place"] | dict[str, "_Place"]
"""A scalar, as the position of its pair in the query, or what holds some."""


class Decoded(NamedTuple):
    """What a query holds: the event, the pairs that are not part of it, and what was odd, each code once."""

    event: Event
    credentials: tuple[tuple[str, str], ...]
    """The `tc_*` and `token` pairs, decoded: the same for every request of an installation."""
    warnings: tuple[str, ...]


def decode(query: bytes | str, is_array: IsArray = lambda _: False) -> Decoded:
    """The event in a raw query string (without `?`), by the rules of §9. All values are text. Never raises.

    `is_array` tells of a path of names, with `ELEMENT` for an index, whether the catalogue says array: only there
    gaps between indexes are closed. It must be one and the same function for all calls, and pure.
    """
    raw = query.encode("utf-8", "replace") if isinstance(query, str) else query
    text = raw.decode("utf-8", "replace")
    keys, values, repaired = pairs(text)
    cached = len(keys) <= _CACHED_PAIRS and len(text) <= _CACHED_CHARACTERS
    shape = _cached_shape(keys, is_array) if cached else _shape(keys, is_array)
    return Decoded(
        _filled(shape.event, values),
        tuple([(keys[i], values[i]) for i in shape.credentials]),
        (*shape.warnings, "text_repaired") if repaired else shape.warnings,
    )


class _Shape(NamedTuple):
    """What a sequence of keys means, with positions in it for the values."""

    event: dict[str, _Place]
    credentials: tuple[int, ...]
    warnings: tuple[str, ...]


def _filled(places: dict[str, _Place], values: tuple[str, ...]) -> Event:
    return {name: values[place] if isinstance(place, int) else _inner(place, values) for name, place in places.items()}


def _inner(place: _Place, values: tuple[str, ...]) -> object:
    if isinstance(place, dict):
        return _filled(place, values)
    if isinstance(place, int):
        return values[place]
    return [_inner(element, values) for element in place]


class _Container:
    """An array or object in the making. `next` is the index that `[]` takes: the highest so far + 1."""

    __slots__ = ("indexes", "names", "next")

    def __init__(self) -> None:
        self.names: dict[str, int | _Container] = {}
        self.indexes: dict[int, int | _Container] = {}
        self.next = 0

    def get(self, segment: _Segment) -> "int | _Container | None":
        """The member there; None if there is none yet, as always at `[]`."""
        if isinstance(segment, str):
            return self.names.get(segment)
        return None if segment is None else self.indexes.get(segment)

    def set(self, segment: _Segment, member: "int | _Container") -> None:
        """Put a member, in place of the one that may be there (rule 5)."""
        if isinstance(segment, str):
            self.names[segment] = member
            return
        index = self.next if segment is None else segment
        self.indexes[index] = member
        self.next = max(self.next, index + 1)


class _Builder:
    """Applies the rules to one sequence of keys."""

    def __init__(self, is_array: IsArray) -> None:
        self.warnings: dict[str, None] = {}
        self.root = _Container()
        self._is_array = is_array

    def put(self, key: str, position: int) -> None:
        """Find the place of a pair (rules 3, 5, 6, 8)."""
        path = _cached_path(key) if len(key) <= _CACHED_KEY_CHARACTERS else _path(key)
        if path is None:
            self.warnings["malformed_key"] = None
            path = (key,)
        if len(path) > SEGMENTS + 1:
            self.warnings["key_too_deep"] = None
            return
        holder = self.root
        for segment in path[:-1]:
            inner = holder.get(segment)
            if isinstance(inner, int):
                self.warnings["query_key_conflict"] = None
                return
            if inner is None:
                inner = _Container()
                holder.set(segment, inner)
            holder = inner
        before = holder.get(path[-1])
        if isinstance(before, _Container):
            self.warnings["query_key_conflict"] = None
            return
        if before is not None:
            self.warnings["duplicate_query_key"] = None
        holder.set(path[-1], position)

    def event(self) -> dict[str, _Place]:
        """What the pairs add up to (rule 7)."""
        event: dict[str, _Place] = {}
        for name, member in self.root.names.items():
            # What is in `properties` will be lifted to the root (§5.2): that is where the catalogue has it.
            event[name] = self._finished(member, () if name == "properties" else (name,))
        for holder in (event, event.get("properties")):
            user = holder.get("user") if isinstance(holder, dict) else None
            if isinstance(user, dict) and isinstance(categories := user.get("consent_categories"), int):
                user["consent_categories"] = [categories]
        return event

    def _finished(self, member: int | _Container, path: tuple[str, ...]) -> _Place:
        if isinstance(member, int):
            return member
        names, indexes = member.names, member.indexes
        dense = member.next == len(indexes)
        if not names and (dense or self._is_array(path)):
            if not dense:
                self.warnings["sparse_array"] = None
            return [self._finished(indexes[index], (*path, ELEMENT)) for index in sorted(indexes)]
        if names and indexes:
            self.warnings["mixed_array_object"] = None
        members = {**{str(index): inner for index, inner in indexes.items()}, **names}
        return {name: self._finished(inner, (*path, name)) for name, inner in members.items()}


def _shape(keys: tuple[str, ...], is_array: IsArray) -> _Shape:
    builder = _Builder(is_array)
    credentials: list[int] = []
    room = PAIRS
    for position, key in enumerate(keys):
        if key.startswith(("tc_", "token")) and _is_credential(key):
            credentials.append(position)
        elif key and room:
            room -= 1
            builder.put(key, position)
        elif key:
            builder.warnings["too_many_pairs"] = None
    # In this order: finishing adds warnings.
    event = builder.event()
    return _Shape(event, tuple(credentials), tuple(builder.warnings))


_cached_shape = lru_cache(512)(_shape)


def _is_credential(key: str) -> bool:
    """Rule 4, whatever brackets follow the name."""
    return key.startswith("tc_") or key.partition("[")[0] == "token"


def _path(key: str) -> tuple[_Segment, ...] | None:
    """The name and segments of a key; None if its brackets are not those of rule 3."""
    name, bracket, rest = key.partition("[")
    if not bracket:
        return None if "]" in key else (key,)
    segments = rest[:-1].split("][")
    if not name or "]" in name or not rest.endswith("]") or any("[" in part or "]" in part for part in segments):
        return None
    return (name, *map(_segment, segments))


_cached_path = lru_cache(4096)(_path)


def _segment(text: str) -> _Segment:
    if not text:
        return None
    canonical = text.isascii() and text.isdigit() and (text[0] != "0" or text == "0")
    return int(text) if canonical and len(text) <= _INDEX_DIGITS else text
