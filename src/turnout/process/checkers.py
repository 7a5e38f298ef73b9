"""Closures that check one shape each; the catalogue joins them once, every event runs through them.

A checker takes a value, appends what is wrong to `findings`, and gives the value to put in its place: the
converted one (`processing.md` §5.4), or the same when nothing had to change. Objects and lists are changed
in place. Paths are known when the closure is made, up to the nearest list; a list puts its own path and the
index in front, and only when there is something to report. `plain` settles a property of the right type with
one look-up.

Tried instead: a second, typed decoding in C. It takes two thirds of the time, helps only events without any
flaw, and would be a second set of rules.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from turnout.process.formats import Format
from turnout.process.values import IMPOSSIBLE, Convert

MOST_FINDINGS = 50
"""Checking a list ends here, so that a small hostile event cannot make a large record."""


class Finding(NamedTuple):
    """One thing wrong. `message` may contain `{event}` and `{path}`."""

    path: str
    rule: str
    message: str


Checker = Callable[[object, list[Finding]], object]
EventRule = Callable[[dict[str, object], list[Finding]], None]


class Field(NamedTuple):
    """How one property of an object is checked. `plain` is the exact type that needs no further check."""

    check: Checker
    plain: type | None
    required: bool
    nullable: bool
    other_names: tuple[str, ...]


def typed(at: str, convert: Convert, kind: str) -> Checker:
    """A single value that `convert` accepts."""
    mismatch = Finding(at, "format", f"should match the type {kind}")

    def check(value: object, findings: list[Finding]) -> object:
        converted = convert(value)
        if converted is IMPOSSIBLE:
            findings.append(mismatch)
            return value
        return converted

    return check


def formatted(at: str, kind: Checker, exact: type, form: Format, *, may_be_empty: bool) -> Checker:
    """A single value of a kind that has this format; a value of the type `exact` needs no conversion to it.

    With `may_be_empty` an empty text passes: it says "nothing to tell", as the referrer of a direct visit.
    """
    mismatch = Finding(at, "format", f"should match {form.message}")
    test = form.test

    def check(value: object, findings: list[Finding]) -> object:
        if type(value) is exact:
            if not test(value) and not (may_be_empty and value == ""):
                findings.append(mismatch)
            return value
        before = len(findings)
        converted = kind(value, findings)
        if len(findings) > before or test(converted):
            return converted
        findings.append(mismatch)
        return value

    return check


def list_of(at: str, kind: str, element: Checker, plain: type | None, most: int | None) -> Checker:
    """A list whose elements pass `element`, or are `plain`. A scalar is read as a list of one."""
    mismatch = Finding(at, "format", f"should match the type array<{kind}>")
    too_many = Finding(at, "format", f"should match a list of at most {most}")

    def check(value: object, findings: list[Finding]) -> object:
        if not isinstance(value, list):
            if isinstance(value, dict) or kind == "object":
                findings.append(mismatch)
                return value
            value = [value]
        if most is not None and len(value) > most:
            findings.append(too_many)
        for index, item in enumerate(value):
            if type(item) is plain:
                continue
            before = len(findings)
            checked = element(item, findings)
            if checked is not item:
                value[index] = checked
            if len(findings) > before:
                findings[before:] = [_under(f"{at}.{index}", finding) for finding in findings[before:]]
                if len(findings) >= MOST_FINDINGS:
                    break
        return value

    return check


def _under(path: str, finding: Finding) -> Finding:
    return finding._replace(path=f"{path}.{finding.path}" if finding.path else path)


def one_of(at: str, kinds: Sequence[tuple[str, tuple[type, ...], Checker]]) -> Checker:
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
        return value

    return check


def unflagged(checker: Checker) -> Checker:
    """Converts as `checker` does and reports nothing."""
    return lambda value, _: checker(value, [])


def object_of(at: str, fields: Mapping[str, Field], *, strict: bool = True) -> Checker:
    """An object with these fields; others are welcome. Not `strict`: what is not an object passes unseen."""
    types = {name: field.plain or object for name, field in fields.items()}.get
    checks = {name: field.check for name, field in fields.items()}
    required = [name for name, field in fields.items() if field.required]
    nullable = frozenset(name for name, field in fields.items() if field.nullable)
    mismatch = Finding(at, "format", "should match the type object")

    def check(value: object, findings: list[Finding]) -> object:
        if not isinstance(value, dict):
            if strict:
                findings.append(mismatch)
            return value
        for name, item in value.items():
            plain = types(name)
            if type(item) is plain or plain is None or item is None:
                continue
            checked = checks[name](item, findings)
            if checked is not item:
                value[name] = checked
        for name in required:
            if value.get(name) is None and not (name in nullable and name in value):
                findings.append(_missing(at, name, fields[name], value))
        return value

    return check


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
