"""Copies of an event of which only some places will be changed: what lies elsewhere is shared, and never touched.

Decoding or copying a whole event for every destination would cost more than all that its mapping does.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, TypeGuard, cast

import msgspec

from turnout.formula.paths import split
from turnout.formula.source import Source
from turnout.model.change import Change

Branches: TypeAlias = "dict[str, Branches | None]"
"""By the name of a member: what is changed inside of it; None: anything."""

_DIRECT = 4

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def branches_of(changes: Iterable[Change], paths: Iterable[str]) -> Branches:
    """The containers that these changes touch, and whoever sets properties at these paths."""
    found: Branches = {}
    for change in changes:
        _add(found, change.property)
        if change.action == "rename":
            # What is moved may be changed in its new place, under a name that says nothing of the old one.
            _add(found, f"{change.property}.*", whole=True)
            _add(found, change.other)
    for path in paths:
        _add(found, path)
    return found


def copier(branches: Branches) -> Callable[[Mapping[str, object]], dict[str, object]]:
    """A function that gives an event of its own, for changes on these branches alone."""
    to = Source("def copy(event):")
    copy = to.let("{**event}")
    _write_members(to, copy, branches, _DIRECT)
    to.line(f"return {copy}")
    return cast("Callable[[Mapping[str, object]], dict[str, object]]", to.function())


def _write_members(to: Source, holder: str, branches: Branches, levels: int) -> None:
    """Objects by lines of their own, so many levels deep; all else by `_copied`."""
    for name, inside in branches.items():
        place = f"{holder}[{to.name(name)}]"
        value = to.let(f"{holder}.get({to.name(name)})")
        whole = f"{place} = {to.call(_copied, value, to.name(inside))}"
        if inside and levels:
            with to.block(f"if type({value}) is dict:"):
                to.line(f"{value} = {place} = {{**{value}}}")
                _write_members(to, value, inside, levels - 1)
            with to.block(f"elif type({value}) is list:"):
                to.line(whole)
        else:
            with to.block(f"if type({value}) is dict or type({value}) is list:"):
                to.line(whole)


def _add(branches: Branches, path: str, whole: bool = False) -> None:
    """The containers on the way to the last segment."""
    *containers, _ = split(path)
    for place, name in enumerate(containers, 1):
        inside = branches.setdefault(name, {})
        if inside is None:
            return
        if whole and place == len(containers):
            branches[name] = None
        branches = inside


def _copied(value: dict[str, object] | list[object], branches: "Branches | None") -> object:
    if branches is None:
        return _decode(_encode(value))
    if isinstance(value, dict):
        copy = {**value}
        for name, inside in branches.items():
            if _is_container(one := copy.get(name)):
                copy[name] = _copied(one, inside)
        return copy
    # A name leads on into each element, a number to one of them.
    copies = [_copied(one, branches) if _is_container(one) else one for one in value]
    for name, inside in branches.items():
        if name.isdecimal() and (number := int(name[:9])) < len(copies) and _is_container(one := copies[number]):
            copies[number] = _copied(one, inside)
    return copies


def _is_container(value: object) -> TypeGuard[dict[str, object] | list[object]]:
    return type(value) is dict or type(value) is list
