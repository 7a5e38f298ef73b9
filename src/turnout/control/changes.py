"""Rows of `properties`: the model's changes, or what is wrong with them (`processing.md` §4.3, §8.1).

What works but changes what others rely on is a warning; consent is changed only by who confirms it. In a
destination's own copy of an event nobody else relies on anything, and what it does not get cannot mislead it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.destinations.registry import find_problems
from turnout.formula import Formula, FormulaError, compile_formula
from turnout.model.change import Action, Change
from turnout.model.errors import Problem

Scalar = str | int | float | bool | None
_Text = Annotated[str, Meta(min_length=1)]

_SEGMENTS = 32
_SCALARS = ("event_name", "context.event_id", "context.event_timestamp")
"""Properties that are never objects: no path leads through them."""
_PROTECTED = {
    "event_name": "use the operation rename_event, which keeps the original name",
    "context.event_id": "receivers and `turnout trace` know the event by it",
    "context.event_timestamp": "the time at which the event happened is lost",
}
_CONSENT = "user.consent_categories"
_FIELDS: dict[str, tuple[str, ...]] = {
    "rename": ("to",),
    "map": ("from",),
    "delete": (),
    "set": ("expression",),
}


class RowFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One row as it is written. Which of `to`, `from` and `expression` it has depends on the action."""

    action: Action
    property: Annotated[str, Meta(min_length=1, examples=["items.coupon"])]
    to: _Text | UnsetType = UNSET
    source: _Text | UnsetType = msgspec.field(name="from", default=UNSET)
    expression: Scalar | UnsetType = UNSET
    confirm: bool = False


class Findings:
    """What is wrong, and what may be."""

    def __init__(self, problems: list[Problem], warnings: list[Problem]) -> None:
        self.problems, self.warnings = problems, warnings

    def wrong(self, path: str, message: str, fix: str = "") -> None:
        """This can't be used."""
        self.problems.append(Problem(path, message, fix))

    def doubtful(self, path: str, message: str, fix: str = "") -> None:
        """This is used as it is."""
        self.warnings.append(Problem(path, message, fix))

    def noted(self, path: str, formula: Formula) -> None:
        """What a formula's own notes say."""
        for note in formula.notes:
            self.doubtful(path, f"column {note.offset + 1}: {note.message}")

    def of_type(self, path: str, value: object, kind: type[msgspec.Struct]) -> bool:
        """Whether a value has this type; if not, why is noted."""
        found = list(find_problems(path, value, kind))
        self.problems += found
        return not found


def read_changes(rows: Sequence[object], path: str, found: Findings, own_copy: bool = False) -> Iterator[Change]:
    """The changes that rows make; those that cannot work are left out, and noted.

    `own_copy`: they change a destination's copy of the event.
    """
    for index, raw in enumerate(rows):
        where = f"{path}[{index}]"
        if not found.of_type(where, raw, RowFields):
            continue
        row = msgspec.convert(raw, RowFields)
        given = {"to": row.to, "from": row.source, "expression": row.expression}
        fits = belonging(given, _FIELDS[row.action], f"action: {row.action}", where, found)
        if is_path(row.property, f"{where}.property", found) and fits:
            yield from _change(row, where, found, own_copy)
        elif row.expression is not UNSET:
            expression(row.expression, f"{where}.expression", found)


def _change(row: RowFields, path: str, found: Findings, own_copy: bool) -> Iterator[Change]:
    taken = [row.property] if row.action in ("rename", "delete") else []
    written = [] if taken else [row.property]
    other = ""
    match row.action:
        case "set":
            other = expression(row.expression, f"{path}.expression", found)
        case "map":
            other = str(row.source)
            if not is_path(other, f"{path}.from", found):
                return
        case "rename":
            other = _new_name(row.property, str(row.to))
            written.append(other)
            if not is_path(other, f"{path}.to", found):
                return
            if _within(other, row.property):
                found.wrong(f"{path}.to", "is the property itself, or inside it", "choose another name")
            if row.property.rpartition(".")[2].isdigit():
                found.wrong(f"{path}.property", "is an element of an array: it has no name", "use map, then delete")
    if own_copy:
        _guard_consent(row, written, path, found)
    else:
        _guard(taken + written, path, found)
        _guard_consent(row, taken + written, path, found)
    yield Change(row.action, row.property, other)


def _new_name(source: str, to: str) -> str:
    """Where `rename` puts the value: a name without a dot is a new one in the same place."""
    parent, dot, _ = source.rpartition(".")
    return to if "." in to else f"{parent}{dot}{to}"


def _guard(touched: Sequence[str], path: str, found: Findings) -> None:
    """Warn of what others rely on."""
    for one in touched:
        for name, reason in _PROTECTED.items():
            if _within(name, one):
                found.doubtful(path, f"changes {name}", reason)


def _guard_consent(row: RowFields, touched: Sequence[str], path: str, found: Findings) -> None:
    """Let consent be changed on purpose only."""
    for one in touched:
        if is_consent(one) and not row.confirm:
            fix = "if you may do that, say so with confirm: true in this row"
            found.wrong(path, f"changes {_CONSENT}, the user's own choice", fix)


def is_consent(path: str) -> bool:
    """Whether who writes to this path changes the user's consent."""
    return _within(_CONSENT, path) or _within(path, _CONSENT)


def _within(inner: str, outer: str) -> bool:
    """Whether a path is another one, or leads on from it."""
    return f"{inner}.".startswith(f"{outer}.")


def is_path(path: str, where: str, found: Findings) -> bool:
    """Whether a text is the path of a property; if not, why is noted."""
    segments = path.split(".")
    if not all(segment.strip() for segment in segments):
        found.wrong(where, f"{path!r} is no path", "names with dots between, such as user.firstname")
    elif len(segments) > _SEGMENTS:
        found.wrong(where, f"has more than {_SEGMENTS} segments", "no event is nested deeper")
    elif through := next((name for name in _SCALARS if path != name and _within(path, name)), None):
        found.wrong(where, f"leads through {through}, which has nothing inside")
    else:
        return True
    return False


def expression(value: Scalar | UnsetType, path: str, found: Findings) -> str:
    """The formula that was written; a number or word that YAML has read as one is a formula too."""
    if isinstance(value, float) and not math.isfinite(value):
        found.wrong(path, "is no number that an event can have", "null, or text in quotes")
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    try:
        found.noted(path, compile_formula(text))
    except FormulaError as error:
        found.wrong(path, f"line {error.line}, column {error.column}: {error.message}", error.fix)
    return text


def belonging(
    given: Mapping[str, object], needed: Sequence[str], word: str, path: str, found: Findings, optional: str = ""
) -> bool:
    """Whether of these fields the needed ones are there and no others, as `word` asks; else why is noted."""
    complete = True
    for name, value in given.items():
        if name in needed and value is UNSET and name != optional:
            found.wrong(f"{path}.{name}", "is missing", f"{word} needs it")
            complete = False
        elif name not in needed and value is not UNSET:
            found.wrong(f"{path}.{name}", f"has no effect with {word}", "leave it out")
    return complete
