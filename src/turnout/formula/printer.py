"""Syntax tree → text, with the fewest parentheses: `parse(text_of(tree)) == tree`."""

import re

from turnout.formula.grammar import NAME
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
    Scalar,
)
from turnout.formula.values import number_text

_OR, _AND, _NOT, _TEST, _SUM, _PRODUCT, _UNARY, _PRIMARY = range(8)
_IS_NAME = re.compile(NAME).fullmatch
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def text_of(node: Node) -> str:
    """The formula in its usual writing: functions in upper case, `&&`, `||`, `=`, `!=`, text in double quotes."""
    return _write(node, _OR)


def _write(node: Node, least: int) -> str:
    """The node as it stands where operators looser than `least` need parentheses."""
    level, text = _written(node)
    return f"({text})" if level < least else text


def _written(node: Node) -> tuple[int, str]:
    match node:
        case Constant(value):
            return _PRIMARY, _constant(value)
        case Path(parts):
            return _PRIMARY, ".".join(parts)
        case Call(name, arguments):
            return _PRIMARY, f"{name}({_list(arguments)})"
        case Array(items):
            return _PRIMARY, f"[{_list(items)}]"
        case Object(entries):
            return _PRIMARY, "{" + ", ".join(f"{_key(name)}: {_write(value, _OR)}" for name, value in entries) + "}"
        case Negative(operand):
            return _UNARY, f"-{_write(operand, _UNARY)}"
        case Arithmetic(first, rest):
            own, inner = (_SUM, _PRODUCT) if node.additive else (_PRODUCT, _UNARY)
            return own, _write(first, inner) + "".join(f" {sign} {_write(one, inner)}" for sign, one in rest)
        case And(operands):
            return _AND, " && ".join(_write(one, _NOT) for one in operands)
        case Or(operands):
            return _OR, " || ".join(_write(one, _AND) for one in operands)
        case Not(operand):
            return _NOT, f"NOT({_write(operand, _OR)})"
        case _:
            return _TEST, _test(node)


def _test(node: Comparison | Among | Between) -> str:
    match node:
        case Comparison(operator, left, right):
            return f"{_write(left, _SUM)} {operator} {_write(right, _SUM)}"
        case Among(operator, left, (value,)) if not operator.endswith("IN"):
            return f"{_write(left, _SUM)} {operator} {_write(value, _SUM)}"
        case Among(operator, left, values):
            return f"{_write(left, _SUM)} {operator}({_list(values)})"
        case Between(operand, low, high):
            return f"{_write(operand, _SUM)} BETWEEN({_list((low, high))})"


def _list(nodes: tuple[Node, ...]) -> str:
    return ", ".join(_write(one, _OR) for one in nodes)


def _constant(value: Scalar) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else number_text(value)


def _key(name: str) -> str:
    return name if _IS_NAME(name) else _quoted(name)


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
