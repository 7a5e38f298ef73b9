"""Syntax tree → closures. What only a reader of the whole can judge is judged here: names, counts, literals.

Each node becomes a function of a `Run`; constants are folded, paths split, patterns compiled, so that an event pays
for reading and computing alone. In element scope (§4) the same nodes compile to functions that read the element.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from turnout.formula import operators, paths
from turnout.formula.code import Code, Evaluate, constant, folded
from turnout.formula.errors import TreeError, did_you_mean
from turnout.formula.functions import FUNCTIONS
from turnout.formula.functions.registry import Function
from turnout.formula.kinds import ELEMENT, PATH, PATTERN, Kind
from turnout.formula.run import Run
from turnout.formula.tree import (
    Among,
    And,
    Arithmetic,
    Array,
    Between,
    Call,
    Comparison,
    Constant,
    Negative,
    Node,
    Not,
    Object,
    Or,
    Path,
)
from turnout.formula.values import truthy

_ELSEWHERE = {
    "AVG": "AVERAGE", "CASE": "SWITCH", "CONCATENATE": "CONCAT", "HASH": "SHA256", "IFEMPTY": "COALESCE",
    "IFNULL": "COALESCE", "INT": "NUMBER", "ISBLANK": "ISEMPTY", "ISNULL": "ISEMPTY", "JOIN": "CONCAT",
    "LEN": "LENGTH", "LOWERCASE": "LOWER", "MAP": "FOR_EACH", "MATCH": "SELECT", "MID": "SUBSTRING",
    "MINUTE": "MINUTES", "NOW": "TODAY", "REGEX": "SELECT", "SECOND": "SECONDS", "SPLIT": "EXTRACT",
    "TEXT": "STRING", "UPPERCASE": "UPPER",
}  # fmt: skip
"""What others call our functions."""


class Scope(NamedTuple):
    """Where names are read from: the event, or an element (`inside`) of the array at this path, if it is a path."""

    inside: bool = False
    array: tuple[str, ...] | None = None


EVENT = Scope()


def compiled(node: Node, scope: Scope = EVENT) -> Code:
    """The code of a tree. Raises `TreeError` at what cannot work."""
    match node:
        case Constant(value):
            return constant(value, node)
        case Path(parts):
            return _path(node, parts, scope)
        case Call():
            return _call(node, scope)
        case _:
            below, build = _operator(node, scope)
    code = Code(build, node, size=1 + sum(one.size for one in below))
    return folded(code) if all(one.constant for one in below) else code


def _operator(node: Node, scope: Scope) -> tuple[Sequence[Code], Evaluate]:
    """The operands of an operator or literal, and its closure."""
    match node:
        case Array(items):
            below = _all(items, scope)
            return below, _array([one.evaluate for one in below])
        case Object(entries):
            below = _all([value for _, value in entries], scope)
            return below, _object([(name, one.evaluate) for (name, _), one in zip(entries, below, strict=True)])
        case Negative(operand):
            below = _all([operand], scope)
            return below, operators.negative(below[0])
        case Not(operand):
            below = _all([operand], scope)
            return below, _not(below[0].evaluate)
        case Arithmetic(first, rest):
            below = _all([first, *(one for _, one in rest)], scope)
            signs = [sign for sign, _ in rest]
            return below, operators.arithmetic(below[0], list(zip(signs, below[1:], strict=True)))
        case Comparison(operator, left, right):
            below = _all([left, right], scope)
            if operator in ("~", "!~"):
                _judge(PATTERN, below[1])
                return below, operators.match(below[0], below[1], operator == "~")
            return below, operators.comparison(operator, below[0], below[1])
        case Among(operator, left, values):
            below = _all([left, *values], scope)
            return below, operators.among(operator, below[0], below[1:])
        case Between(operand, low, high):
            below = _all([operand, low, high], scope)
            return below, operators.between(below[0], below[1], below[2])
        case And(operands):
            below = _all(operands, scope)
            return below, _all_of([one.evaluate for one in below])
        case Or(operands):
            below = _all(operands, scope)
            return below, _any_of([one.evaluate for one in below])
    raise AssertionError(node)


def _all(nodes: Sequence[Node], scope: Scope) -> list[Code]:
    return [compiled(one, scope) for one in nodes]


def _array(items: list[Evaluate]) -> Evaluate:
    return lambda run: [item(run) for item in items]


def _object(entries: list[tuple[str, Evaluate]]) -> Evaluate:
    return lambda run: {name: value(run) for name, value in entries}


def _not(operand: Evaluate) -> Evaluate:
    return lambda run: not truthy(operand(run))


def _all_of(operands: list[Evaluate]) -> Evaluate:
    def code(run: Run) -> bool:
        for operand in operands:
            value = operand(run)
            if value is not True and not truthy(value):
                return False
        return True

    return code


def _any_of(operands: list[Evaluate]) -> Evaluate:
    def code(run: Run) -> bool:
        for operand in operands:
            value = operand(run)
            if value is True or truthy(value):
                return True
        return False

    return code


def _path(node: Node, parts: tuple[str, ...], scope: Scope) -> Code:
    read = _reading(parts, scope, paths.reader, paths.event_reader)
    steps = paths.steps(parts)
    event_steps = paths.steps(parts[1:]) if scope.inside and parts[0] == "root" else steps

    def event_present(run: Run) -> bool:
        return paths.present(run, run.event, event_steps)

    def present(run: Run) -> bool:
        if type(run.element) is dict:
            return paths.present(run, run.element, steps)
        return parts == scope.array or event_present(run)

    from_event = not scope.inside or parts[0] == "root"
    return Code(read, node, present=event_present if from_event else present)


def _reading(
    parts: tuple[str, ...],
    scope: Scope,
    reader: Callable[[Sequence[str]], paths.Read],
    event_reader: Callable[[Sequence[str]], Evaluate],
) -> Evaluate:
    """How a path reads in its scope (§4)."""
    if not scope.inside:
        return event_reader(parts)
    if parts[0] == "root":
        return event_reader(parts[1:]) if len(parts) > 1 else lambda run: run.event
    from_element = reader(parts)
    if parts == scope.array:
        return lambda run: from_element(run, run.element) if type(run.element) is dict else run.element
    from_event = event_reader(parts)

    def code(run: Run) -> object:
        if type(run.element) is dict:
            return from_element(run, run.element)
        value = from_event(run)
        if type(value) is list:
            return value[run.index] if run.index < len(value) else None
        return value

    return code


def _call(node: Call, scope: Scope) -> Code:
    function = FUNCTIONS.get(node.name)
    if function is None:
        known = did_you_mean(_ELSEWHERE.get(node.name, node.name), FUNCTIONS)
        raise TreeError(f"there is no function {node.name}", node.at, known)
    _check_count(function, node)
    arguments: list[Code] = []
    for index, argument in enumerate(node.arguments):
        kind = function.parameter(index).kind
        if kind is ELEMENT:
            array = node.arguments[0]
            own = Scope(True, array.parts if isinstance(array, Path) else None)
            arguments.append(compiled(argument, own))
        else:
            arguments.append(compiled(argument, scope))
        if kind is PATH:
            arguments[-1] = _property(arguments[-1], function)
        _judge(kind, arguments[-1])
    code = Code(function.build(arguments), node, size=1 + sum(one.size for one in arguments))
    return folded(code) if function.pure and all(one.constant for one in arguments) else code


def _check_count(function: Function, node: Call) -> None:
    count, most = len(node.arguments), function.most
    if count >= function.least and (most is None or count <= most):
        return
    if most is None:
        takes = f"at least {function.least}"
    elif function.least == most:
        takes = "none" if most == 0 else str(most)
    else:
        takes = f"{function.least} to {most}"
    noun = "argument" if takes.split()[-1] == "1" else "arguments"
    message = (
        f"{function.name} takes {takes} {noun}, not {count}" if most != 0 else f"{function.name} takes no arguments"
    )
    raise TreeError(message, node.at, f"its form is {function.signature}")


def _property(code: Code, function: Function) -> Code:
    """Code that can tell whether a property is there: a path, or `GET` of a literal name."""
    if code.present is not None:
        return code
    match code.node:
        case Call("GET", (Constant(str() as name),)):
            steps = paths.steps(paths.split(name))

            def present(run: Run) -> bool:
                return name in run.event or paths.present(run, run.event, steps)

            return code._replace(present=present)
    raise TreeError(f"{function.name} takes a property", code.node.at, "ISEMPTY tests any value")


def _judge(kind: Kind, code: Code) -> None:
    """Refuse a literal that can never be what it must be."""
    if code.constant and (wrong := kind.check(code.value)):
        raise TreeError(wrong.message, code.node.at, wrong.fix)
