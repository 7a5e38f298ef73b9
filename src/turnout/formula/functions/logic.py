"""Choosing and looking (`formulas.md` §6.3). Only the branch that is taken is evaluated."""

import urllib.parse
from collections.abc import Mapping, Sequence

from turnout.formula.code import Built, Code, truth
from turnout.formula.compare import equal
from turnout.formula.functions.registry import Function, Parameter, strict
from turnout.formula.kinds import PATH, TEXT
from turnout.formula.paths import by_name
from turnout.formula.run import Run
from turnout.formula.source import Source
from turnout.formula.values import empty


def _if(arguments: Sequence[Code]) -> Built:
    condition, then, *otherwise = arguments

    def write(to: Source) -> str:
        test, result = truth(to, condition), to.local()
        with to.block(f"if {test}:"):
            to.line(f"{result} = {then.write(to)}")
        with to.block("else:"):
            to.line(f"{result} = {otherwise[0].write(to) if otherwise else None}")
        return result

    return Built(write)


def _switch(arguments: Sequence[Code]) -> Built:
    value, *rest = arguments
    default = rest.pop() if len(rest) % 2 else None

    def write(to: Source) -> str:
        wanted, result, going = value.write(to), to.let("None"), to.let("True")
        for case, outcome in zip(rest[::2], rest[1::2], strict=True):
            hit = to.let("False")
            with to.block(f"if {going}:"):
                to.line(f"{hit} = {to.call(equal, 'run', wanted, case.write(to))}")
            with to.block(f"if {hit}:"):
                to.line(f"{going} = False")
                to.line(f"{result} = {outcome.write(to)}")
        if default is not None:
            with to.block(f"if {going}:"):
                to.line(f"{result} = {default.write(to)}")
        return result

    return Built(write)


def _coalesce(arguments: Sequence[Code]) -> Built:
    def write(to: Source) -> str:
        result = to.let(arguments[0].write(to))
        none = to.call(empty, result)
        for one in arguments[1:]:
            with to.block(f"if {none}:"):
                to.line(f"{result} = {one.write(to)}")
        return to.let(f"None if {none} else {result}")

    return Built(write)


def _is_empty(arguments: Sequence[Code]) -> Built:
    return Built(lambda to: to.let(to.call(empty, arguments[0].write(to))), bool)


def _exists(arguments: Sequence[Code]) -> Built:
    present = arguments[0].present
    assert present is not None, "the compiler takes only properties here"
    return Built(present, bool)


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
