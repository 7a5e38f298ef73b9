"""Syntax tree → the source of one Python function. What only a reader of the whole can judge is judged here: names,
counts, literals.

Each node becomes some lines of the function; constants are folded, paths split, patterns compiled, so that an event
pays for reading and computing alone. In element scope (§4) the same nodes become lines that read the element.
"""

from collections.abc import Sequence
from typing import NamedTuple

from turnout.formula import operators, paths
from turnout.formula.code import Built, Code, constant, folded
from turnout.formula.errors import TreeError, did_you_mean
from turnout.formula.functions import FUNCTIONS
from turnout.formula.functions.registry import Function
from turnout.formula.kinds import ELEMENT, PATH, PATTERN, Kind
from turnout.formula.source import Source
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
            below, built = _operator(node, scope)
    code = Code(built.write, node, kind=built.kind, size=1 + sum(one.size for one in below))
    return folded(code) if all(one.constant for one in below) else code


def _operator(node: Node, scope: Scope) -> tuple[Sequence[Code], Built]:
    """The operands of an operator or literal, and how it is written."""
    match node:
        case Array(items):
            below = _all(items, scope)
            return below, operators.array(below)
        case Object(entries):
            below = _all([value for _, value in entries], scope)
            return below, operators.object_of([(name, one) for (name, _), one in zip(entries, below, strict=True)])
        case Negative(operand):
            below = _all([operand], scope)
            return below, operators.negative(below[0])
        case Not(operand):
            below = _all([operand], scope)
            return below, operators.negation(below[0])
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
            return below, operators.junction(below, ends=False)
        case Or(operands):
            below = _all(operands, scope)
            return below, operators.junction(below, ends=True)
    raise AssertionError(node)


def _all(nodes: Sequence[Node], scope: Scope) -> list[Code]:
    return [compiled(one, scope) for one in nodes]


def _path(node: Node, parts: tuple[str, ...], scope: Scope) -> Code:
    steps = paths.steps(parts)
    if not scope.inside:
        return Code(lambda to: paths.read(to, "event", parts), node, present=lambda to: _present(to, "event", steps))
    if parts[0] == "root":
        rest = parts[1:]
        return Code(
            lambda to: paths.read(to, "event", rest) if rest else "event",
            node,
            present=lambda to: _present(to, "event", paths.steps(rest)),
        )

    def read(to: Source) -> str:
        """From an element that is an object; else the array's own path is the element, and others are the event's."""
        result = to.local()
        with to.block("if type(element) is dict:"):
            to.line(f"{result} = {paths.read(to, 'element', parts)}")
        with to.block("else:"):
            if parts == scope.array:
                to.line(f"{result} = element")
            else:
                to.line(f"{result} = {paths.read(to, 'event', parts)}")
                with to.block(f"if type({result}) is list:"):
                    to.line(f"{result} = {result}[index] if index < len({result}) else None")
        return result

    def present(to: Source) -> str:
        result = to.local()
        with to.block("if type(element) is dict:"):
            to.line(f"{result} = {_present(to, 'element', steps)}")
        with to.block("else:"):
            to.line(f"{result} = {True if parts == scope.array else _present(to, 'event', steps)}")
        return result

    return Code(read, node, present=present)


def _present(to: Source, value: str, path: Sequence[paths.Step]) -> str:
    return to.let(to.call(paths.present, "run", value, to.name(path)))


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
    built = function.build(arguments)
    code = Code(built.write, node, kind=built.kind, size=1 + sum(one.size for one in arguments))
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

            def present(to: Source) -> str:
                return to.let(f"{to.name(name)} in event or {to.call(paths.present, 'run', 'event', to.name(steps))}")

            return code._replace(present=present)
    raise TreeError(f"{function.name} takes a property", code.node.at, "ISEMPTY tests any value")


def _judge(kind: Kind, code: Code) -> None:
    """Refuse a literal that can never be what it must be."""
    if code.constant and (wrong := kind.check(code.value)):
        raise TreeError(wrong.message, code.node.at, wrong.fix)
