"""Simple filter rows as formulas (`formulas.md` §9): what is written, and what it means."""

import pytest

from tests.support.formulas import run_on
from turnout.formula import Row, compile_formula, compile_tree, condition, text_of
from turnout.formula.rows import OPERATORS
from turnout.formula.tree import Scalar

EVENT: dict[str, object] = {"p": "video", "list": ["a", "b"], "null": None, "page-type": "funnel", "num": 3}

ROWS: list[tuple[Row, str, bool]] = [
    (Row("p", "is", ("video",)), 'p = "video"', True),
    (Row("p", "is", ("a", "b")), 'p IN("a", "b")', False),
    (Row("num", "is", ("3",)), 'num = "3"', True),
    (Row("p", "is not", ("a",)), 'p != "a"', True),
    (Row("list", "is not", ("a", "c")), 'list !IN("a", "c")', False),
    (Row("p", "matches", (r"^v\.?",)), r'p ~ "^v\\.?"', True),
    (Row("p", "matches", ("^x", "o$")), 'p ~ "^x" || p ~ "o$"', True),
    (Row("p", "does not match", ("^x",)), 'p !~ "^x"', True),
    (Row("p", "does not match", ("^x", "o$")), 'p !~ "^x" && p !~ "o$"', False),
    (Row("p", "contains", ("ide",)), 'p CONTAINS "ide"', True),
    (Row("p", "contains", ("x", "ide")), 'p CONTAINS("x", "ide")', True),
    (Row("p", "does not contain", ("ide",)), 'NOT(p CONTAINS "ide")', False),
    (Row("p", "starts with", ("vi",)), 'p STARTSWITH "vi"', True),
    (Row("p", "does not start with", ("x", "vi")), 'NOT(p STARTSWITH("x", "vi"))', False),
    (Row("p", "ends with", ("vi", "eo")), 'p ENDSWITH("vi", "eo")', True),
    (Row("p", "does not end with", ("vi",)), 'NOT(p ENDSWITH "vi")', True),
    (Row("p", "exists"), "EXISTS(p)", True),
    (Row("page-type", "exists"), 'EXISTS(GET("page-type"))', True),
    (Row("p", "does not exist"), "NOT(EXISTS(p))", False),
    (Row("p", "is empty"), "ISEMPTY(p)", False),
    (Row("page-type", "is", ("funnel",)), 'GET("page-type") = "funnel"', True),
    (Row("null", "is", (None,)), 'GET("null") = null', True),
    (Row("list.0", "is", ("a",)), 'list.0 = "a"', True),
    (Row("num", "is", (3.5, True)), "num IN(3.5, true)", False),
]


@pytest.mark.parametrize(("row", "text", "holds"), ROWS, ids=[text for _, text, _ in ROWS])
def test_a_row_reads_as_a_formula_and_holds_as_it_says(row: Row, text: str, holds: bool) -> None:
    tree = condition([row])
    assert text_of(tree) == text
    assert compile_formula(text).tree == tree
    assert compile_tree(tree).holds(run_on(EVENT)) is holds


def test_every_operator_is_in_the_table() -> None:
    assert {row.operator for row, _, _ in ROWS} == set(OPERATORS)


def test_all_rows_must_hold_and_none_lets_everything_pass() -> None:
    rows = [Row("page_type", "starts with", ("funnel",)), Row("p", "matches", ("a", "b")), Row("p", "contains", ("v",))]
    assert text_of(condition(rows)) == 'page_type STARTSWITH "funnel" && (p ~ "a" || p ~ "b") && p CONTAINS "v"'
    assert compile_tree(condition([])).holds(run_on({}))


@pytest.mark.parametrize("operator", [one for one in OPERATORS if "not" in one])
def test_a_negative_operator_holds_for_a_missing_property(operator: str) -> None:
    values: tuple[Scalar, ...] = () if operator == "does not exist" else ("x",)
    assert compile_tree(condition([Row("missing", operator, values)])).holds(run_on({}))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row("p", "resembles", ("x",)), "there is no operator 'resembles'"),
        (Row("p", "is"), "'is' takes a value"),
        (Row("p", "exists", ("x",)), "'exists' takes no values"),
    ],
)
def test_a_row_that_cannot_be_is_refused(row: Row, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        condition([row])
