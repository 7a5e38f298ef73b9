"""Closures that check one shape each; `compile.py` joins them once, every event runs through them.

A checker takes a value, appends what is wrong to `findings`, and gives the value to put in its place: the
converted one (`processing.md` §5.4), the same when nothing had to change, or `OMITTED` when it has to go. Objects and
lists are changed in place. Paths are known when the closure is made, up to the nearest list; a list puts its own path
and the index in front, and only when there is something to report. `plain` settles a property of the right type with
one look-up.

Tried instead: a second, typed decoding in C. It takes two thirds of the time, helps only events without any
flaw, and would be a second set of rules.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from turnout.process.formats import Format
from turnout.process.values import IMPOSSIBLE, Convert

MOST_FINDINGS = 50
"""So many are told, so that a small hostile event cannot make a large record."""

OMITTED: Final = object()
"""Stands for "take this property away"."""


class Finding(NamedTuple):
    """One thing wrong. `message` may contain `{event}` and `{path}`."""

    path: str
    rule: str
    message: str


_encode = msgspec.json.Encoder().encode

Checker = Callable[[object, list[Finding]], object]
EventRule = Callable[[dict[str, object], list[Finding]], None]


class Field(NamedTuple):
    """How one property of an object is checked. `plain` is the exact type that needs no further check."""

    check: Checker
    plain: type | None
    required: bool
    nullable: bool
    other_names: tuple[str, ...]


def typed(at: str, convert: Convert, kind: str, *, omit: bool = False) -> Checker:
    """A single value that `convert` accepts. `omit`: what is wrong is taken away, here and below."""
    mismatch = Finding(at, "format", f"should match the type {kind}")

    def check(value: object, findings: list[Finding]) -> object:
        converted = convert(value)
        if converted is IMPOSSIBLE:
            findings.append(mismatch)
            return OMITTED if omit else value
        return converted

    return check


def formatted(at: str, kind: Checker, exact: type, form: Format, *, may_be_empty: bool, omit: bool = False) -> Checker:
    """A single value of a kind that has this format; a value of the type `exact` needs no conversion to it.

    With `may_be_empty` an empty text passes: it says "nothing to tell", as the referrer of a direct visit.
    """
    mismatch = Finding(at, "format", "should match " + form.message.replace("{", "{{").replace("}", "}}"))
    test = form.test

    def check(value: object, findings: list[Finding]) -> object:
        if type(value) is exact:
            if test(value) or (may_be_empty and value == ""):
                return value
            findings.append(mismatch)
            return OMITTED if omit else value
        before = len(findings)
        converted = kind(value, findings)
        if len(findings) > before or test(converted):
            return converted
        findings.append(mismatch)
        return OMITTED if omit else value

    return check


def anything(value: object, findings: list[Finding]) -> object:
    """Any value at all."""
    return value


def each_of(at: str, element: Checker) -> Checker:
    """Every element of a list; what is no list passes unseen."""

    def check(value: object, findings: list[Finding]) -> object:
        for index, item in enumerate(value) if isinstance(value, list) else ():
            found: list[Finding] = []
            element(item, found)
            if found:
                _tell(f"{at}.{index}", found, findings)
        return value

    return check


class ListRule(NamedTuple):
    """What holds for a list as a whole. `distinct`: repeated values are taken away."""

    least: int | None = None
    most: int | None = None
    distinct: bool = False


def list_of(
    at: str,
    kind: str,
    element: Checker,
    plain: type | None,
    whole: ListRule,
    *,
    omit: bool = False,
    thorough: bool = False,
) -> Checker:
    """A list whose elements pass `element`, or are `plain`. A scalar is read as a list of one.

    `thorough`: elements are checked to the last one, even when no more of them is told.
    """
    mismatch = Finding(at, "format", f"should match the type {'set' if whole.distinct else 'array'}<{kind}>")
    length = _length(at, whole)

    def check(value: object, findings: list[Finding]) -> object:
        if not isinstance(value, list):
            if isinstance(value, dict) or kind == "object":
                findings.append(mismatch)
                return OMITTED if omit else value
            value = [value]
        holes = False
        for index, item in enumerate(value):
            if type(item) is plain:
                continue
            found: list[Finding] = []
            checked = element(item, found)
            if checked is not item:
                value[index] = checked
                holes = holes or checked is OMITTED
            if found:
                _tell(f"{at}.{index}", found, findings)
                if len(findings) >= MOST_FINDINGS and not thorough:
                    break
        if holes:
            value[:] = [item for item in value if item is not OMITTED]
        if whole.distinct and len(value) > 1:
            value[:] = _distinct(value)
        if length is not None and (wrong := length(len(value))) is not None:
            findings.append(wrong)
            return OMITTED if omit else value
        return value

    return check


def _tell(path: str, found: list[Finding], findings: list[Finding]) -> None:
    """Add what was found under a path; of what exceeds the bound only the first of its rule."""
    for finding in found:
        if len(findings) < MOST_FINDINGS or not any(finding.rule == known.rule for known in findings):
            findings.append(_under(path, finding))


def _length(at: str, whole: ListRule) -> Callable[[int], Finding | None] | None:
    least, most = whole.least or 0, whole.most
    if not least and most is None:
        return None
    too_many = Finding(at, "format", f"should match a list of at most {most}")
    too_few = Finding(at, "format", f"should match a list of at least {least}")

    def length(count: int) -> Finding | None:
        if count < least:
            return too_few
        return too_many if most is not None and count > most else None

    return length


def _distinct(values: list[object]) -> list[object]:
    """The first of equal values, in order. A number and its text differ, as do 1 and true."""
    first: dict[bytes, object] = {}
    for value in values:
        first.setdefault(_encode(value), value)
    return list(first.values())


def _under(path: str, finding: Finding) -> Finding:
    return finding._replace(path=f"{path}.{finding.path}" if finding.path else path)


def one_of(at: str, kinds: Sequence[tuple[str, tuple[type, ...], Checker]], *, omit: bool = False) -> Checker:
    """A value of any of these kinds: of its own type if that is one of them, else the first that converts."""
    direct = {exact: check for _, types, check in kinds for exact in types}.get
    wanted = " or ".join(kind for kind, _, _ in kinds)
    mismatch = Finding(at, "format", f"should match the type {wanted}")

    def check(value: object, findings: list[Finding]) -> object:
        if (own := direct(type(value))) is not None:
            return own(value, findings)
        for _, _, other in kinds:
            trial: list[Finding] = []
            converted = other(value, trial)
            if not trial:
                return converted
        findings.append(mismatch)
        return OMITTED if omit else value

    return check


def unflagged(checker: Checker) -> Checker:
    """Converts as `checker` does and reports nothing."""
    return lambda value, _: checker(value, [])


class Strangers(NamedTuple):
    """What happens to the members of an object that nobody declared: told, taken away, or both."""

    told: bool
    omitted: bool


WELCOME = Strangers(told=False, omitted=False)


def object_of(
    at: str,
    fields: Mapping[str, Field],
    *,
    strict: bool = True,
    omit: bool = False,
    strangers: Strangers = WELCOME,
) -> Checker:
    """An object with these fields, and others as `strangers` says. Not `strict`: what is no object passes unseen."""
    types = {name: field.plain or object for name, field in fields.items()}.get
    welcome, unknown = strangers == WELCOME, _unknown(at, strangers)
    checks = {name: field.check for name, field in fields.items()}
    required = [name for name, field in fields.items() if field.required]
    nullable = frozenset(name for name, field in fields.items() if field.nullable)
    mismatch = Finding(at, "format", "should match the type object")

    def check(value: object, findings: list[Finding]) -> object:
        if not isinstance(value, dict):
            if strict:
                findings.append(mismatch)
                return OMITTED if omit else value
            return value
        leaving: list[str] | None = None
        for name, item in value.items():
            plain = types(name)
            if type(item) is plain or item is None or (plain is None and welcome):
                continue
            checked = checks[name](item, findings) if plain is not None else unknown(name, item, findings)
            if checked is OMITTED:
                leaving = leaving or []
                leaving.append(name)
            elif checked is not item:
                value[name] = checked
        for name in leaving or ():
            del value[name]
        for name in required:
            if value.get(name) is None and not (name in nullable and name in value):
                findings.append(_missing(at, name, fields[name], value))
        return value

    return check


def _unknown(at: str, strangers: Strangers) -> Callable[[str, object, list[Finding]], object]:
    """What becomes of a member that is not declared."""
    prefix = f"{at}." if at else ""
    told, omitted = strangers
    rule, message = "unspecified_property", "{event} event has no .{path} property in its specification"

    def unknown(name: str, value: object, findings: list[Finding]) -> object:
        if told and (len(findings) < MOST_FINDINGS or not any(known.rule == rule for known in findings)):
            findings.append(Finding(f"{prefix}{name}", rule, message))
        return OMITTED if omitted else value

    return unknown


def _missing(at: str, name: str, field: Field, value: Mapping[str, object]) -> Finding:
    sent = next((f", not .{other}" for other in field.other_names if value.get(other) is not None), "")
    path = f"{at}.{name}" if at else name
    return Finding(path, "missing_required", "{event} event requires .{path} property" + sent)


def any_required(names: Sequence[str]) -> EventRule:
    """At least one of these properties of the event must be there."""
    wanted = " or ".join(f".{name}" for name in names)
    finding = Finding(names[0], "missing_required", f"{{event}} event requires {wanted} property")

    def rule(event: dict[str, object], findings: list[Finding]) -> None:
        if all(event.get(name) is None for name in names):
            findings.append(finding)

    return rule


def required_with(present: Sequence[str], required: Iterable[str]) -> EventRule:
    """Once any of `present` is there, all `required` must be."""
    because = " or ".join(f".{name}" for name in present)
    missing = [
        (
            name,
            Finding(name, "missing_required", f"{{event}} event requires .{{path}} property with {because}"),
        )
        for name in required
    ]

    def rule(event: dict[str, object], findings: list[Finding]) -> None:
        for name, finding in missing:
            if event.get(name) is None and any(event.get(other) is not None for other in present):
                findings.append(finding)

    return rule


def one_currency(event: dict[str, object], findings: list[Finding]) -> None:
    """All items of an event are in one currency (`collect.md` §12 `mixed_currencies`)."""
    items = event.get("items")
    if not isinstance(items, list) or len(items) < 2:
        return
    products = [item.get("product") for item in items if isinstance(item, dict)]
    named = [product.get("currency") for product in products if isinstance(product, dict)]
    if len({currency for currency in named if isinstance(currency, str)}) > 1:
        findings.append(Finding("items", "mixed_currencies", "items should all use the same currency"))
