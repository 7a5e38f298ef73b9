"""For any tree and any event: printing and parsing agree, evaluation never raises and never exceeds its bounds."""

import copy
from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.formulas import NOW_MS
from turnout.formula import FAILED, FormulaError, Run, compile_formula, compile_template, compile_tree, limits, parse
from turnout.formula import text_of as write
from turnout.formula.functions import FUNCTIONS
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

NAMES = st.sampled_from(["a", "b", "items", "in", "and", "IF", "root", "été", "$x", "_1", "contains", "between"])
PATHS = st.builds(
    lambda first, rest: Path((first, *rest)), NAMES, st.lists(NAMES | st.sampled_from(["0", "1", "true"]), max_size=3)
)
TEXTS = st.text(max_size=12) | st.sampled_from(["days", "yyyy-MM-dd", "2024-02-29", "a.b", "(a+)+$", "\\", '"', "{{"])
NUMBERS = st.integers(0, 10**18).map(lambda n: n if n < 2**53 else float(n)) | st.floats(0, allow_infinity=False)
CONSTANTS = st.builds(Constant, st.none() | st.booleans() | NUMBERS.filter(lambda n: not _whole_float(n)) | TEXTS)


def _whole_float(number: float) -> bool:
    """A float that the parser writes as an integer: not in any parsed tree."""
    return isinstance(number, float) and number.is_integer() and number <= 2**53


LEAVES = st.one_of(CONSTANTS, PATHS)
KEYS = NAMES | st.text(max_size=5)
KINDS: list[type[Node]] = [Call, Arithmetic, Comparison, Among, Between, And, Or, Not, Negative, Array, Object]
KINDS += [Call] * 6


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> Node:
    """A tree of at most that many levels of operators."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(LEAVES)

    def below(least: int, most: int = 3) -> tuple[Node, ...]:
        return tuple(draw(trees(depth - 1)) for _ in range(draw(st.integers(least, max(least, most)))))

    kind = draw(st.sampled_from(KINDS))
    if kind is Call:
        function = FUNCTIONS[draw(st.sampled_from(sorted(FUNCTIONS)))]
        return Call(function.name, below(function.least, 5 if function.most is None else function.most))
    if kind is Arithmetic:
        signs = draw(st.sampled_from(["+-", "*/"]))
        first, *rest = below(2)
        return Arithmetic(first, tuple((draw(st.sampled_from(signs)), one) for one in rest))
    if kind is Comparison:
        left, right = below(2, 2)
        return Comparison(draw(st.sampled_from(["=", "!=", "<", ">", "<=", ">=", "~", "!~"])), left, right)
    if kind is Among:
        left, *values = below(2)
        operator = draw(st.sampled_from(["IN", "!IN", "STARTSWITH", "ENDSWITH", "CONTAINS"]))
        return Among(operator, left, tuple(values))
    if kind is Between:
        operand, low, high = below(3, 3)
        return Between(operand, low, high)
    if kind is And or kind is Or:
        return kind(below(2))
    if kind is Not or kind is Negative:
        return kind(below(1, 1)[0])
    if kind is Array:
        return Array(below(0))
    keys = draw(st.lists(KEYS, max_size=3, unique=True))
    return Object(tuple(zip(keys, below(len(keys), len(keys)), strict=True)))


TREES = trees()

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES: st.SearchStrategy[object] = st.recursive(
    SCALARS | TEXTS | st.just("x" * 20_000),
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(NAMES | st.sampled_from(["0", "c-d"]), below, max_size=4)
    ),
    max_leaves=12,
)
EVENTS = st.dictionaries(NAMES, VALUES, max_size=6)


def _printable(node: Node) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in write(node))


@given(TREES.filter(_printable))
@settings(max_examples=200, deadline=None)
def test_what_is_printed_reads_back(tree: Node) -> None:
    text = write(tree)
    again = parse(text)
    assert again == tree
    assert write(again) == text


@given(TREES.filter(_printable), EVENTS, st.sampled_from([None, "items", "a.b"]), VALUES)
@settings(max_examples=300, deadline=None)
def test_evaluation_never_raises_and_never_exceeds_its_bounds(
    tree: Node, event: dict[str, object], within: str | None, element: object
) -> None:
    try:
        formula = compile_tree(tree, within)
    except FormulaError:
        return
    before, run = copy.deepcopy(event), Run(event, NOW_MS)
    value = formula.value(run, element)
    assert "internal" not in run.warnings, run.warnings
    assert (value is FAILED) == ("limit" in run.warnings)
    if value is not FAILED:
        assert len(msgspec.json.encode(value)) <= 3 * limits.RESULT_BYTES
        assert formula.holds(run, element) in (True, False)
    assert event == before
    again = Run(event, NOW_MS)
    assert formula.value(again, element) == value, "the same event gives the same value"


def _error(compile_text: Callable[[str], object], text: str) -> FormulaError | None:
    try:
        compile_text(text)
    except FormulaError as error:
        return error
    return None


PIECES = [*"aIN0.9\"'\\ ()[]{},:+-*/<>=!~&|é$“”\n\u2028", "not ", "null", "IF(", "{{", "}}"]
SIGNS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@given(st.text() | SIGNS)
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_formula_or_an_error_with_its_place(text: str) -> None:
    for one in (
        _error(compile_formula, text),
        _error(compile_template, text),
        _error(compile_template, f"{{{{{text}}}}}"),
    ):
        if one is not None:
            assert 0 <= one.offset <= len(one.text)
            assert one.pointer()
