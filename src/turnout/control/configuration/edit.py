"""Changing one value in the text of a configuration; every other byte stays as it is.

A path is the names from the top down, such as ("sites", "29", "sources", "shop", "key"); a number is a place in a list.

What must stay true: after a change the text reads as exactly the data that was asked for. Each proposal of `surgery`
is read back before it is taken, so that an odd way of writing costs beauty (an enclosing value is written anew, without
its comments), never data.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from turnout.control.configuration import surgery
from turnout.control.yamlfile import join, parse
from turnout.model.errors import ConfigError, Problem

_Propose = Callable[[str, Sequence[str], object], Iterator[str]]


class Editor:
    """One text under change. Raises `ConfigError` if it is not readable as YAML."""

    def __init__(self, text: str) -> None:
        self._text, self._data = text, parse(text)

    @property
    def text(self) -> str:
        """The text as it is now."""
        return self._text

    def get(self, path: Sequence[str]) -> object | None:
        """What is written at `path`, variables and sealed secrets unresolved; None if there is nothing."""
        value = self._data
        for name in path:
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and (index := _index(name)) is not None and index < len(value):
                value = value[index]
            else:
                return None
        return value

    def set(self, path: Sequence[str], value: object) -> None:
        """Put data in its place, as it is: a `$` in a text of `value` means a dollar sign, never a variable.

        For what comes from elsewhere than the owner of the file. Otherwise as `put`.
        """
        self.put(path, literal(value))

    def put(self, path: Sequence[str], value: object) -> None:
        """Write `value` at `path` as `get` would give it, with variables and sealed secrets in it.

        Mappings on the way are made; one place after the end of a list is a new one. A mapping over a mapping is
        written member by member, so that what stays keeps its form. Raises `ConfigError` if the path leads through
        something else than mappings and lists.
        """
        before = self.get(path)
        if isinstance(before, dict) and isinstance(value, Mapping) and before.keys() & value.keys():
            for name, item in value.items():
                self.put([*path, str(name)], item)
            for name in before.keys() - value.keys():
                self.remove([*path, name])
        else:
            self._become(surgery.with_value, path, _with(self._data, path, value, ()))

    def remove(self, path: Sequence[str]) -> None:
        """Take away what is at `path`, its key with it; nothing happens if there is nothing."""
        if path and self._is_there(path):
            self._become(surgery.without, path, _without(self._data, path))

    def _is_there(self, path: Sequence[str]) -> bool:
        holder = self.get(path[:-1])
        if isinstance(holder, list):
            index = _index(path[-1])
            return index is not None and index < len(holder)
        return isinstance(holder, dict) and path[-1] in holder

    def _become(self, propose: _Propose, path: Sequence[str], wanted: object) -> None:
        if same(wanted, self._data):
            return
        for text in propose(self._text, path, wanted):
            if _reads_as(text, wanted):
                self._text, self._data = text, wanted
                return
        raise ConfigError([Problem(_shown(path), "can't be changed without changing more", "edit the file by hand")])


def literal(value: object) -> object:
    """Data as it has to be written to be read as itself: `$` is `$$`."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {str(key): literal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [literal(item) for item in value]
    return value


def same(one: object, other: object) -> bool:
    """Whether two values are the same data: `1`, `1.0` and `true` are not, not-a-number is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(item, other[key]) for key, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return one == other


def _reads_as(text: str, wanted: object) -> bool:
    try:
        return same(parse(text), wanted)
    except (ConfigError, RecursionError):
        return False


def _with(data: object, path: Sequence[str], value: object, above: Sequence[str]) -> object:
    """A copy of `data` with a value at `path`."""
    if not path:
        return _plain(value)
    name, rest = path[0], path[1:]
    if data is None:
        data = {}
    if isinstance(data, dict):
        return {**data, name: _with(data.get(name), rest, value, [*above, name])}
    if isinstance(data, list) and (index := _index(name)) is not None and index <= len(data):
        inner = _with(data[index] if index < len(data) else None, rest, value, [*above, name])
        return [*data[:index], inner, *data[index + 1 :]]
    raise ConfigError(
        [Problem(_shown(above), f"has no place for {name!r}", "it is neither a mapping nor so long a list")]
    )


def _without(data: object, path: Sequence[str]) -> object:
    name, rest = path[0], path[1:]
    if isinstance(data, dict):
        if rest:
            return {**data, name: _without(data[name], rest)}
        return {key: item for key, item in data.items() if key != name}
    assert isinstance(data, list)
    index = int(name)
    return [*data[:index], *([_without(data[index], rest)] if rest else []), *data[index + 1 :]]


def _plain(value: object) -> object:
    """As YAML would give it: keys are text, sequences are lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _index(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() and len(name) < 10 else None


def _shown(path: Sequence[str]) -> str:
    shown = ""
    for name in path:
        shown = join(shown, name)
    return shown
