"""Choosing and looking (`formulas.md` §6.3). Only the branch that is taken is evaluated."""

import urllib.parse
from collections.abc import Mapping, Sequence

from turnout.formula.code import Code, Evaluate
from turnout.formula.compare import equal
from turnout.formula.functions.registry import Function, Parameter, strict
from turnout.formula.kinds import PATH, TEXT
from turnout.formula.paths import by_name
from turnout.formula.run import Run
from turnout.formula.values import empty, truthy


def _if(arguments: Sequence[Code]) -> Evaluate:
    condition, then = arguments[0].evaluate, arguments[1].evaluate
    otherwise = arguments[2].evaluate if len(arguments) > 2 else lambda run: None
    return lambda run: then(run) if truthy(condition(run)) else otherwise(run)


def _switch(arguments: Sequence[Code]) -> Evaluate:
    value, *rest = (code.evaluate for code in arguments)
    default = rest.pop() if len(rest) % 2 else lambda run: None
    cases = list(zip(rest[::2], rest[1::2], strict=True))

    def code(run: Run) -> object:
        wanted = value(run)
        for case, result in cases:
            if equal(run, wanted, case(run)):
                return result(run)
        return default(run)

    return code


def _coalesce(arguments: Sequence[Code]) -> Evaluate:
    values = [code.evaluate for code in arguments]

    def code(run: Run) -> object:
        for value in values:
            found = value(run)
            if not empty(found):
                return found
        return None

    return code


def _is_empty(arguments: Sequence[Code]) -> Evaluate:
    value = arguments[0].evaluate
    return lambda run: empty(value(run))


def _exists(arguments: Sequence[Code]) -> Evaluate:
    present = arguments[0].present
    assert present is not None, "the compiler takes only properties here"
    return present


def _size(run: Run, value: object) -> int:
    return len(value) if isinstance(value, list | dict) else 0


def _cookie(run: Run, name: str) -> str | None:
    context = run.event.get("context")
    device = context.get("device") if isinstance(context, Mapping) else None
    sent = device.get("cookie") if isinstance(device, Mapping) else None
    for cookies in (sent, run.headers.get("cookie")):
        for pair in cookies.split(";") if isinstance(cookies, str) else ():
            key, separator, value = pair.strip(" \t").partition("=")
            if separator and key == name:
                return run.bounded(urllib.parse.unquote(value.strip('"')))
    return None


_NAME, _VALUE = Parameter("name", TEXT), Parameter("value")

FUNCTIONS: tuple[Function, ...] = (
    Function(
        "IF", (Parameter("condition"), Parameter("then"), Parameter("else", optional=True)), "any",
        "One value if the condition holds, else the other; null if there is no other.",
        (('IF(country = "FR", "dom", "export")', '"dom"'),), _if,
    ),
    Function(
        "SWITCH", (_VALUE, Parameter("case"), Parameter("result"), Parameter("default", optional=True)), "any",
        "The result of the first case that the value equals; else the default, if there is one.",
        (('SWITCH(country, "FR", "France", "US", "USA", "Other")', '"France"'),), _switch, repeated=2,
    ),
    Function(
        "COALESCE", (_VALUE,), "any", "The first value that is not empty.",
        (("COALESCE(coupon, note, id)", '"O-77"'),), _coalesce, repeated=1,
    ),
    Function(
        "ISEMPTY", (_VALUE,), "boolean", 'Whether a value is missing, null, "", [] or {}.',
        (("ISEMPTY(coupon)", "true"),), _is_empty,
    ),
    Function(
        "EXISTS", (Parameter("property", PATH),), "boolean", "Whether the event has a property, even if it is null.",
        (("EXISTS(coupon)", "true"),), _exists, pure=False,
    ),
    strict(
        "SIZE", _size, [_VALUE], "number", "How many elements an array has, or names an object.",
        ("SIZE(items)", "2"), null=0,
    ),
    strict(
        "GET", by_name, [_NAME], "any",
        "The property of the event with this name, whatever characters it has.",
        ('GET("page-count")', "12"), pure=False,
    ),
    strict(
        "GETHEADER", lambda run, name: run.headers.get(name.lower()), [_NAME], "text",
        "A header of the request that brought the event.", ('GETHEADER("X-None")', "null"), pure=False,
    ),
    strict(
        "GETCOOKIE", _cookie, [_NAME], "text",
        "A cookie of the event (`context.device.cookie`), else of its request.",
        ('GETCOOKIE("_none")', "null"), pure=False,
    ),
)  # fmt: skip
