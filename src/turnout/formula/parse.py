"""Text → syntax tree. Only the syntax is judged here; names and argument counts are when it is compiled."""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple, NoReturn, cast

import lark

from turnout.formula import limits, syntaxerrors
from turnout.formula.errors import FormulaError, TreeError
from turnout.formula.grammar import GRAMMAR
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
from turnout.formula.values import settled

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
_ESCAPED = re.compile(r"\\([nrt\\\"'])")
_OPERATORS = {"==": "=", "<>": "!="}
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse(text: str) -> Node:
    """The tree of a formula.

    Raises `FormulaError` for what is not one, what is longer than `limits.TEXT_CHARACTERS`, nested deeper than
    `limits.NESTING`, or has a literal of more than `limits.LITERAL_ENTRIES` entries.
    """
    if len(text) > limits.TEXT_CHARACTERS:
        raise FormulaError(
            f"a formula has {limits.TEXT_CHARACTERS} characters at most, this one has {len(text)}", text, 0
        )
    if lone := re.search("[\ud800-\udfff]", text):
        raise FormulaError("half a character (a lone surrogate)", text, lone.start())
    try:
        return cast(_Built, _parser().parse(text)).node
    except lark.UnexpectedInput as error:
        raise syntaxerrors.explained(error, text) from None
    except TreeError as error:
        raise FormulaError(error.message, text, error.offset, error.fix) from None


class _Built(NamedTuple):
    node: Node
    depth: int


_Entry = tuple[str, _Built]


class _Builder(lark.Transformer[lark.Token, _Built]):
    """Makes our nodes while lark reduces, so that nothing recurses over a text's nesting."""

    def number(self, children: list[lark.Token]) -> _Built:
        value = float(children[0])
        if value == float("inf"):
            _refuse("this number is too large", children[0])
        whole = children[0].isdigit() and len(children[0]) < 16
        return _leaf(Constant(int(children[0]) if whole else settled(value), _at(children[0])))

    def string(self, children: list[lark.Token]) -> _Built:
        return _leaf(Constant(_unescaped(children[0]), _at(children[0])))

    def word(self, children: list[lark.Token]) -> _Built:
        return _leaf(Constant(_WORDS[children[0].lower()], _at(children[0])))

    def path(self, children: list[lark.Token]) -> _Built:
        return _leaf(Path(tuple(part.strip() for part in children[0].split(".")), _at(children[0])))

    def call(self, children: list[lark.Token | _Built]) -> _Built:
        name, arguments = cast(lark.Token, children[0]), cast(list[_Built], children[1:])
        return _above(Call(name.upper(), _nodes(arguments), _at(name)), arguments)

    def array(self, children: list[lark.Token | _Built]) -> _Built:
        opening, items = cast(lark.Token, children[0]), cast(list[_Built], children[1:])
        _count(items, opening)
        return _above(Array(_nodes(items), _at(opening)), items)

    def object(self, children: list[lark.Token | _Entry]) -> _Built:
        opening, entries = cast(lark.Token, children[0]), cast(list[_Entry], children[1:])
        _count(entries, opening)
        names = [name for name, _ in entries]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            _refuse(f"{doubled!r} is given twice", opening)
        node = Object(tuple((name, value.node) for name, value in entries), _at(opening))
        return _above(node, [value for _, value in entries])

    def entry(self, children: list[lark.Token | _Built]) -> _Entry:
        key, value = cast(lark.Token, children[0]), cast(_Built, children[1])
        return (_unescaped(key) if key.type == "STRING" else str(key)), value

    def negative(self, children: list[lark.Token | _Built]) -> _Built:
        minus, operand = cast(lark.Token, children[0]), cast(_Built, children[1])
        return _above(Negative(operand.node, _at(minus)), [operand])

    def negation(self, children: list[lark.Token | _Built]) -> _Built:
        word, operand = cast(lark.Token, children[0]), cast(_Built, children[1])
        return _above(Not(operand.node, _at(word)), [operand])

    def arithmetic(self, children: list[lark.Token | _Built]) -> _Built:
        operands = cast(list[_Built], children[::2])
        if len(operands) == 1:
            return operands[0]
        operators = [str(token) for token in children[1::2]]
        rest = tuple(zip(operators, _nodes(operands[1:]), strict=True))
        return _above(Arithmetic(operands[0].node, rest, operands[0].node.at), operands)

    def comparison(self, children: list[lark.Token | _Built]) -> _Built:
        left, operator, right = cast(tuple[_Built, lark.Token, _Built], tuple(children))
        word = _OPERATORS.get(operator, str(operator))
        return _above(Comparison(word, left.node, right.node, _at(operator)), [left, right])

    def among(self, children: list[lark.Token | _Built]) -> _Built:
        left, operator = cast(_Built, children[0]), cast(lark.Token, children[1])
        values = cast(list[_Built], children[2:])
        return _above(Among(operator.upper(), left.node, _nodes(values), _at(operator)), [left, *values])

    def between(self, children: list[lark.Token | _Built]) -> _Built:
        operand, operator, low, high = cast(tuple[_Built, lark.Token, _Built, _Built], tuple(children))
        return _above(Between(operand.node, low.node, high.node, _at(operator)), [operand, low, high])

    def and_expr(self, children: list[_Built]) -> _Built:
        return _above(And(_nodes(children), children[0].node.at), children)

    def or_expr(self, children: list[_Built]) -> _Built:
        return _above(Or(_nodes(children), children[0].node.at), children)


@functools.cache
def _parser() -> lark.Lark:
    return lark.Lark(GRAMMAR, parser="lalr", lexer="contextual", maybe_placeholders=False, transformer=_Builder())


def _leaf(node: Node) -> _Built:
    return _Built(node, 1)


def _above(node: Node, below: Sequence[_Built]) -> _Built:
    depth = 1 + max((one.depth for one in below), default=0)
    if depth > limits.NESTING:
        raise TreeError(f"nested deeper than {limits.NESTING} levels", node.at, "split it into several rules")
    return _Built(node, depth)


def _nodes(built: Sequence[_Built]) -> tuple[Node, ...]:
    return tuple(one.node for one in built)


def _at(token: lark.Token) -> int:
    return token.start_pos or 0


def _count(entries: Sequence[object], opening: lark.Token) -> None:
    if len(entries) > limits.LITERAL_ENTRIES:
        _refuse(f"a literal has {limits.LITERAL_ENTRIES} entries at most", opening)


def _refuse(message: str, token: lark.Token) -> NoReturn:
    raise TreeError(message, _at(token))


def _unescaped(literal: str) -> str:
    return _ESCAPED.sub(lambda match: _ESCAPES[match[1]], literal[1:-1])
