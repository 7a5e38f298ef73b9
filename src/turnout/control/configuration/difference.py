"""What lies between two texts of the configuration: lines for people, changed places for machines.

Neither holds secrets: sealed ones are masked too, and of the keys of sources only that they differ is told. In changed
places URLs are without their credentials.
"""

import difflib
import re
from collections.abc import Iterator

import msgspec
from msgspec import UNSET, UnsetType

from turnout.control.configuration.edit import same
from turnout.control.configuration.secrets import TOKEN
from turnout.control.urls import MASK, masked_url
from turnout.control.yamlfile import join, parse

_SEALED = "${secret:***}"
_KEYS = re.compile(r"sites\..+\.sources\..+\.(?:key|revoked_keys\[\d+\]|keys\[\d+\]\.key)")


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One place that differs. Without `before` it is new, without `after` it is gone."""

    path: str
    before: object | UnsetType = UNSET
    after: object | UnsetType = UNSET


def lines(before: str, after: str, names: tuple[str, str] = ("before", "after")) -> str:
    """A unified difference of two texts; empty if they are the same."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    found = [line if line.endswith("\n") else f"{line}\n" for line in difflib.unified_diff(old, new, *names)]
    return TOKEN.sub(_SEALED, "".join(found))


def changes(before: str, after: str) -> list[Change]:
    """Every place whose data differs; empty if only the form does. Raises `ConfigError` for what is no YAML."""
    return list(_between("", parse(before) or {}, parse(after) or {}))


def by_site(before: str, after: str) -> dict[str, list[Change]]:
    """The changes of each site that has any. Raises `ConfigError`."""
    old, new = _sites(before), _sites(after)
    found = {
        site: list(_between(join("sites", site), old.get(site, UNSET), new.get(site, UNSET))) for site in {**old, **new}
    }
    return {site: changed for site, changed in found.items() if changed}


def _sites(text: str) -> dict[str, object]:
    data = parse(text)
    found = data.get("sites") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _between(path: str, before: object, after: object) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _between(join(path, key), before.get(key, UNSET), after.get(key, UNSET))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _between(f"{path}[{index}]", one, other)
    elif not same(before, after):
        yield Change(path, _masked(path, before), _masked(path, after))


def _masked(path: str, value: object) -> object:
    if value is UNSET or value is None:
        return value
    if _KEYS.fullmatch(path):
        return MASK
    if isinstance(value, dict):
        return {key: _masked(join(path, key), item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(f"{path}[{index}]", item) for index, item in enumerate(value)]
    return masked_url(TOKEN.sub(_SEALED, value)) if isinstance(value, str) else value
