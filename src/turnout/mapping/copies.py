"""Copies of an event of which only some places will be changed: what lies elsewhere is shared, and never touched.

Decoding or copying a whole event for every destination would cost more than all that its mapping does.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias, TypeGuard

import msgspec

from turnout.formula.paths import split
from turnout.model.change import Change

Branches: TypeAlias = "dict[str, Branches | None]"
"""By the name of a member: what is changed inside of it; None: anything."""

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


def copy_of(event: Mapping[str, object], branches: Branches) -> dict[str, object]:
    """An event of its own, for changes on these branches alone."""
    copy = {**event}
    _copy_members(copy, branches)
    return copy


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


def _copy_members(copy: dict[str, object], branches: Branches) -> None:
    for name, inside in branches.items():
        value = copy.get(name)
        if _is_container(value):
            copy[name] = _decode(_encode(value)) if inside is None else _copied(value, inside)


def _copied(value: dict[str, object] | list[object], branches: Branches) -> object:
    if isinstance(value, dict):
        return copy_of(value, branches)
    # A name leads on into each element, a number to one of them.
    copies = [_copied(one, branches) if _is_container(one) else one for one in value]
    for name, inside in branches.items():
        if name.isdecimal() and (number := int(name[:9])) < len(copies) and _is_container(one := copies[number]):
            copies[number] = _decode(_encode(one)) if inside is None else _copied(one, inside)
    return copies


def _is_container(value: object) -> TypeGuard[dict[str, object] | list[object]]:
    return type(value) is dict or type(value) is list
