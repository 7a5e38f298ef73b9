"""`event_filter` of a destination: the documented tree ⇄ the text of a formula (`config-api.md` A2, C2). Pure.

Both say the same thing: `formula_of(tree_of(text))` is `text` in its usual writing. A formula that is no such tree has
no tree.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from turnout.control.api.problems import ApiError, Fault, Place
from turnout.formula import FormulaError
from turnout.formula.parse import parse
from turnout.formula.printer import text_of
from turnout.formula.rows import property_node
from turnout.formula.tree import Among, And, Call, Comparison, Constant, Negative, Node, Not, Or, Path

Tree = dict[str, object]

_DEEPEST = 32
_COMPARISONS = {word: word for word in ("=", "!=", "<", "<=", ">", ">=")} | {"matches": "~"}
_AMONG = {"in": "IN", "contains": "CONTAINS", "startswith": "STARTSWITH", "endswith": "ENDSWITH"}
_CALLS = {"exists": "EXISTS", "empty": "ISEMPTY"}
_COUNTS: Mapping[str, tuple[int, int | None]] = {
    "and": (1, None), "or": (1, None), "not": (1, 1),
    **dict.fromkeys(_COMPARISONS, (2, 2)), **dict.fromkeys(_AMONG, (2, None)), **dict.fromkeys(_CALLS, (1, 1)),
}  # fmt: skip
"""How many operands a node has: at least, and at most."""
TYPES = ("property", "constant", *_COUNTS)


def formula_of(tree: object, pointer: str) -> str:
    """The formula of a tree that stands at `pointer` of a body. Raises `ApiError` 422 with all that is wrong."""
    reading = _Reading([])
    node = reading.node(tree, pointer, 0)
    if reading.faults:
        raise ApiError(422, reading.faults)
    return text_of(node)


def tree_of(formula: str) -> Tree | None:
    """The tree of a formula; None if it says something that no tree can, or is no formula."""
    try:
        return _tree(parse(formula))
    except (_NoTreeError, FormulaError):
        return None


class _Reading(NamedTuple):
    """One tree being read; what is wrong is noted, and something harmless takes its place."""

    faults: list[Fault]

    def node(self, tree: object, pointer: str, depth: int) -> Node:
        if depth > _DEEPEST:
            return self._wrong(pointer, f"is nested deeper than {_DEEPEST} levels")
        if not isinstance(tree, dict):
            return self._wrong(pointer, "must be a node, such as {type: property, name: value}")
        kind = tree.get("type")
        if not isinstance(kind, str) or kind not in TYPES:
            return self._wrong(f"{pointer}/type", f"must be one of {', '.join(TYPES)}")
        known = {"type", {"property": "name", "constant": "value"}.get(kind, "operands")}
        for name in tree.keys() - known:
            self._wrong(f"{pointer}/{name}", f"is no member of a node of type {kind}")
        if kind == "property":
            return self._property(tree.get("name"), f"{pointer}/name")
        if kind == "constant":
            return self._constant(tree.get("value"), f"{pointer}/value")
        return self._inner(kind, tree.get("operands"), f"{pointer}/operands", depth)

    def _inner(self, kind: str, operands: object, pointer: str, depth: int) -> Node:
        least, most = _COUNTS[kind]
        if not isinstance(operands, list) or not least <= len(operands) <= (most or len(operands)):
            count = str(least) if least == most else f"{least} or more"
            return self._wrong(pointer, f"must be a list with {count} for {kind}")
        below = [
            self.node(one, f"{pointer}/{index}", depth + 1)
            for index, one in enumerate(_spread(operands) if kind in _AMONG else operands)
        ]
        if kind in _COMPARISONS:
            return Comparison(_COMPARISONS[kind], below[0], below[1])
        if kind in _AMONG:
            return Among(_AMONG[kind], below[0], tuple(below[1:]))
        if kind in _CALLS:
            return Call(_CALLS[kind], (below[0],))
        if kind == "not":
            return Not(below[0])
        return below[0] if len(below) == 1 else And(tuple(below)) if kind == "and" else Or(tuple(below))

    def _property(self, name: object, pointer: str) -> Node:
        if not isinstance(name, str) or not all(part.strip() for part in name.split(".")):
            return self._wrong(pointer, "must be the path of a property, such as items.price")
        return property_node(name)

    def _constant(self, value: object, pointer: str) -> Node:
        if value is not None and not isinstance(value, str | int | float):
            return self._wrong(pointer, "must be text, a number, true, false or null")
        return Constant(value)

    def _wrong(self, pointer: str, detail: str) -> Node:
        self.faults.append(Fault("INVALID_PROPERTY_FORMAT", f"{pointer.rpartition('/')[2]} {detail}", Place(pointer)))
        return Constant(True)


def _spread(operands: Sequence[object]) -> list[object]:
    """A constant with a list of values stands for as many constants."""
    spread: list[object] = []
    for one in operands:
        value = one.get("value") if isinstance(one, dict) and one.get("type") == "constant" else None
        spread += [{"type": "constant", "value": item} for item in value] if isinstance(value, list) else [one]
    return spread


class _NoTreeError(Exception):
    """This formula says something that no tree can."""


def _tree(node: Node) -> Tree:
    match node:
        case Path(parts):
            return {"type": "property", "name": ".".join(parts)}
        case Call("GET", (Constant(str() as name),)):
            return {"type": "property", "name": name}
        case Constant(value):
            return {"type": "constant", "value": value}
        case Negative(Constant(int() | float() as value)):
            return {"type": "constant", "value": -value}
        case And(operands):
            return _with("and", operands)
        case Or(operands):
            return _with("or", operands)
        case Not(operand):
            return _with("not", (operand,))
        case Comparison("!~", left, right):
            return {"type": "not", "operands": [_with("matches", (left, right))]}
        case Comparison(operator, left, right):
            return _with(_word(_COMPARISONS, operator), (left, right))
        case Among("!IN", left, values):
            return {"type": "not", "operands": [_with("in", (left, *values))]}
        case Among(operator, left, values):
            return _with(_word(_AMONG, operator), (left, *values))
        case Call(name, (operand,)) if name in _CALLS.values():
            return _with(_word(_CALLS, name), (operand,))
    raise _NoTreeError


def _with(kind: str, operands: Sequence[Node]) -> Tree:
    return {"type": kind, "operands": [_tree(one) for one in operands]}


def _word(words: Mapping[str, str], operator: str) -> str:
    return next(word for word, one in words.items() if one == operator)
