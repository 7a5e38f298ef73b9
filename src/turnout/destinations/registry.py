"""Finds the destination types: every module of this package, apart from a few that only help them.

A new destination is one new file; nothing here changes. A file that does not keep the form described in
`interface.py` is an error at start, with the name of what it lacks: it would be worse to ignore it.
"""

import difflib
import importlib
import pkgutil
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import msgspec

from turnout import destinations
from turnout.destinations.dry import DryDestination, UnsentDestination
from turnout.destinations.interface import Context, Destination
from turnout.destinations.templates import template_problems
from turnout.model.errors import Problem, TurnoutError

_HELPERS = frozenset(
    (
        *("answers", "body", "dry", "headers", "interface", "mapped", "registry", "rotation", "secrets", "signing"),
        *("templates", "url"),
    )
)


@dataclass(frozen=True)
class DestinationType:
    """What a module of this package offers; `check` gives what its types alone cannot say.

    `category` is where a catalogue shows it: the module's CATEGORY, if it has one.
    """

    name: str
    category: str
    config: type[msgspec.Struct]
    open: Callable[[object, Context], Destination]
    check: Callable[[object], list[Problem]]


@cache
def types() -> Mapping[str, DestinationType]:
    """Every destination type by its word in the configuration. Raises `TurnoutError` for a malformed file."""
    found: dict[str, DestinationType] = {}
    for module in pkgutil.iter_modules(destinations.__path__):
        if module.name in _HELPERS:
            continue
        kind = _read(importlib.import_module(f"{destinations.__name__}.{module.name}"))
        if kind.name in found:
            raise TurnoutError(f"destinations/{module.name}.py: TYPE {kind.name!r} is taken by another file")
        found[kind.name] = kind
    return found


def open_destination(type_name: str, settings: object, context: Context) -> Destination:
    """Open a destination with the validated `settings` that `validate` gave for its type.

    With `context.dry_mode` what it gives sends nothing, whatever type it is.
    """
    opened = types()[type_name].open(settings, context)
    return UnsentDestination(opened) if context.dry_mode and not isinstance(opened, DryDestination) else opened


def validate(type_name: str, settings: object) -> tuple[msgspec.Struct | None, list[Problem]]:
    """Check the `settings` of a destination; gives its config object, or every problem found.

    Paths are relative to the settings ("headers.X-Key"; "" is the whole). Never raises for user input.
    """
    kind = types().get(type_name)
    if kind is None:
        known = ", ".join(sorted(types()))
        return None, [Problem("", f"unknown destination type {type_name!r}", f"known types: {known}")]
    problems = list(find_problems("", settings, kind.config))
    if problems:
        return None, problems
    config = msgspec.convert(settings, kind.config)
    problems = list(template_problems(config)) or kind.check(config)
    return (None, problems) if problems else (config, [])


def secret_settings(type_name: str) -> frozenset[str]:
    """The settings of a type that are secret with all that is in them; empty for an unknown type."""
    kind = types().get(type_name)
    fields = msgspec.structs.fields(kind.config) if kind is not None else ()
    return frozenset(field.encode_name for field in fields if is_secret(field.type))


def is_secret(kind: object) -> bool:
    """Whether a type of a setting is annotated as secret."""
    info = msgspec.inspect.type_info(kind)
    return isinstance(info, msgspec.inspect.Metadata) and bool((info.extra or {}).get("secret"))


def _read(module: object) -> DestinationType:
    name = getattr(module, "TYPE", None)
    config = getattr(module, "Config", None)
    opener = getattr(module, "open_destination", None)
    where = getattr(module, "__name__", "")
    if not isinstance(name, str):
        raise TurnoutError(f"{where}: a destination needs TYPE, its word in the configuration")
    if not (isinstance(config, type) and issubclass(config, msgspec.Struct)):
        raise TurnoutError(f"{where}: a destination needs Config, a msgspec.Struct with its settings")
    if not callable(opener):
        raise TurnoutError(f"{where}: a destination needs open_destination(config, context)")
    category = str(getattr(module, "CATEGORY", "Other"))
    return DestinationType(name, category, config, opener, getattr(module, "check", _nothing_to_add))


def _nothing_to_add(_config: object) -> list[Problem]:
    return []


def find_problems(path: str, value: object, expected: object) -> Iterator[Problem]:
    """Every problem of `value`, found by walking down with its type: msgspec itself stops at the first."""
    found = list(_problems_inside(path, value, expected))
    yield from found
    if found:
        return
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        yield Problem(path, str(error).partition(" - at `")[0], _hint(expected))


def _problems_inside(path: str, value: object, expected: object) -> Iterator[Problem]:
    bare = _bare(expected)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct) and isinstance(value, Mapping):
        yield from _problems_of_fields(path, value, bare)
    elif typing.get_origin(bare) is dict and isinstance(value, Mapping):
        item_type = typing.get_args(bare)[1]
        for key, item in value.items():
            yield from find_problems(_join(path, key), item, item_type)
    elif typing.get_origin(bare) is list and isinstance(value, list):
        item_type = typing.get_args(bare)[0]
        for index, item in enumerate(value):
            yield from find_problems(_join(path, index), item, item_type)


def _problems_of_fields(path: str, value: Mapping[object, object], config: type[msgspec.Struct]) -> Iterator[Problem]:
    fields = _fields_of(config)
    for key, item in value.items():
        if isinstance(key, str) and key in fields:
            yield from find_problems(_join(path, key), item, fields[key].type)
        else:
            close = difflib.get_close_matches(str(key), fields, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"known settings: {', '.join(fields)}"
            yield Problem(_join(path, key), "unknown setting", fix)
    for name, field in fields.items():
        if field.required and name not in value:
            yield Problem(_join(path, name), "is missing", _hint(field.type))


@cache
def _fields_of(config: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    """By the name as it is written. Remembered: a configuration has many destinations of few types."""
    return {field.encode_name: field for field in msgspec.structs.fields(config)}


def _hint(expected: object) -> str:
    """What to write instead: the words that are allowed, else an example."""
    bare = _bare(expected)
    if typing.get_origin(bare) is typing.Literal:
        return "one of " + ", ".join(str(word) for word in typing.get_args(bare))
    for meta in getattr(expected, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.examples:
            return f"for example {msgspec.json.encode(meta.examples[0]).decode()}"
    return ""


def _bare(expected: object) -> object:
    """The type without its `Annotated`."""
    return typing.get_args(expected)[0] if typing.get_origin(expected) is typing.Annotated else expected


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
