"""The rules by which a JSON body is put together from rows (`destinations.md` §7)."""

import copy
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

_Container = dict[str, object] | list[object]

_INDEX = re.compile(r"0|[1-9][0-9]*")


def is_index(segment: str) -> bool:
    """Whether a segment of a dotted key names a place in a list."""
    return _INDEX.fullmatch(segment) is not None


def place(item: dict[str, object], path: Sequence[str], value: object) -> None:
    """Set a copy of `value` at `path`, making objects and lists on the way and replacing what is in its way.

    A segment that is a number makes a list (missing places are null), unless an object is already there.
    """
    here: _Container = item
    for segment, following in itertools.pairwise(path):
        below = _get(here, segment)
        if isinstance(below, dict) or (isinstance(below, list) and is_index(following)):
            here = below
            continue
        fresh: _Container = [] if is_index(following) else {}
        _set(here, segment, fresh)
        here = fresh
    # A copy, because a later row may reach into this one.
    _set(here, path[-1], copy.deepcopy(value))


def flatten(item: Mapping[str, object]) -> dict[str, object]:
    """`item` as one flat object: keys joined with `_`, each `-` in them replaced by `_`, lists by index.

    Of two values that get the same key the later one stays. An empty object or list stays as it is.
    """
    return dict(_leaves("", item)) if item else {}


def _get(container: _Container, segment: str) -> object:
    if isinstance(container, dict):
        return container.get(segment)
    return container[int(segment)] if int(segment) < len(container) else None


def _set(container: _Container, segment: str, value: object) -> None:
    if isinstance(container, dict):
        container[segment] = value
        return
    index = int(segment)
    container.extend([None] * (index + 1 - len(container)))
    container[index] = value


def _leaves(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    pairs: Iterator[tuple[object, object]]
    if isinstance(value, Mapping) and value:
        pairs = ((str(key).replace("-", "_"), child) for key, child in value.items())
    elif isinstance(value, list) and value:
        pairs = iter(enumerate(value))
    else:
        yield prefix, value
        return
    for key, child in pairs:
        yield from _leaves(f"{prefix}_{key}" if prefix else str(key), child)
