"""Parts of an event by their paths: the keys that stores go by, the properties that they keep. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

Picked = dict[str, "Picked"]
"""Names that are kept, each with what is kept inside; nothing named inside: all of it."""


class Holder(NamedTuple):
    """An object that a path's last name belongs to, and the object's own path."""

    value: dict[str, object]
    path: str


def holders(value: object, names: Sequence[str], path: str = "") -> Iterator[Holder]:
    """The objects at the end of a path but for its last name; a name met on an array leads into each element."""
    if isinstance(value, list):
        if names[0].isdigit():
            if int(names[0]) < len(value) and len(names) > 1:
                yield from holders(value[int(names[0])], names[1:], f"{path}.{names[0]}")
            return
        for number, one in enumerate(value):
            yield from holders(one, names, f"{path}.{number}")
    elif isinstance(value, dict):
        if len(names) == 1:
            yield Holder(value, path.lstrip("."))
        else:
            yield from holders(value.get(names[0]), names[1:], f"{path}.{names[0]}")


def key_of(holder: Mapping[str, object], name: str) -> str | None:
    """The key under a name, as text: 42 and "42" are the same. None where there is none that can be a key."""
    value = holder.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        return None
    return str(value)


def tree(paths: Sequence[str]) -> Picked:
    """Paths as a tree. A path that is within another one adds nothing."""
    root: Picked = {}
    for path in sorted(paths, key=lambda one: one.count(".")):
        inner, whole = root, False
        for name in path.split("."):
            whole = whole or (name in inner and not inner[name])
            inner = inner.setdefault(name, {}) if not whole else {}
    return root


def picked(value: object, chosen: Picked) -> object:
    """What is named of a value. Of an array's elements the `id` is kept too: they are matched by it."""
    if not chosen:
        return value
    if isinstance(value, list):
        elements = [(one, picked(one, chosen)) for one in value]
        return [
            {"id": one["id"], **kept} if isinstance(one, dict) and isinstance(kept, dict) and "id" in one else kept
            for one, kept in elements
        ]
    if isinstance(value, dict):
        return {name: picked(value[name], inner) for name, inner in chosen.items() if name in value}
    return value
