"""What an evaluation may cost is bounded whatever the formula and the event (`formulas.md` §11)."""

import pytest

from tests.support.formulas import run_on, value_of
from turnout.formula import FAILED, compile_formula, limits

LONG = "x" * limits.RESULT_BYTES
MANY = list(range(limits.ELEMENTS))
BIG: dict[str, object] = {
    "long": LONG, "many": MANY, "more": [*MANY, 1], "half": LONG[:20_000], "rows": [{"t": LONG}] * 100,
}  # fmt: skip


@pytest.mark.parametrize(
    "formula",
    [
        "long + 1",
        'CONCAT(long, "x")',
        "FOR_EACH(many, FOR_EACH(root.many, 1))",
        "FOR_EACH(many, root)",
        "FOR_EACH(rows, root.half + t)",
        "FOR_EACH(rows, root.half)",
        "STRING(rows)",
        "[long, 1]",
        "COUNT(rows, COUNT(root.rows, root.half CONTAINS t))",
        "COUNT(many, UPPER(root.half))",
        "COUNT(many, SHA256(root.half))",
        "many = many",
        "SUM(more)",
        "ENCODE_BASE64(long)",
        "JSON_STRINGIFY(long)",
        "COUNT(many, JSON_PARSE(root.half))",
        "COUNT(many, SUM(root.many))",
        "COUNT(many, root.long = root.many)",
        "COUNT(many, LOWER(root.many))",
        "GET(long) + long + 1",
        "COUNT(many, ISEMPTY(root.rows.t))",
        "COUNT(many, EXISTS(root.rows.x))",
        "COUNT(many, {a: root.many} = {a: root.many})",
        "COUNT(many, STRING(root.many) = 1)",
    ],
)
def test_what_exceeds_a_bound_fails_with_a_warning(formula: str) -> None:
    run = run_on(BIG)
    assert compile_formula(formula).value(run) is FAILED
    assert "limit" in run.warnings


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("long", LONG),
        ("SUM(many)", sum(MANY)),
        ("SUM(many, many * 2)", 2 * sum(MANY)),
        ("SIZE(FOR_EACH(many, {a: many, b: [many]}))", limits.ELEMENTS),
        ("COUNT(rows, t CONTAINS \"y\")", 100),
        ("LENGTH(UPPER(long))", len(LONG)),
        ("5 IN(many)", True),
    ],
)  # fmt: skip
def test_what_is_within_the_bounds_succeeds(formula: str, expected: object) -> None:
    assert value_of(formula, BIG) == expected


def test_each_formula_begins_with_a_full_budget() -> None:
    run, formula = run_on(BIG), compile_formula("SUM(many, many * 2)")
    assert {formula.value(run) for _ in range(10)} == {2 * sum(MANY)}


def test_deep_json_is_null_and_not_a_crash() -> None:
    run = run_on({"deep": "[" * 15_000 + "]" * 15_000})
    assert compile_formula("JSON_PARSE(deep)").value(run) is None
    assert list(run.warnings) == ["not_json"]


def test_a_constant_is_computed_once_and_only_where_that_is_quiet() -> None:
    assert compile_formula('UPPER(CONCAT("a", 1 + 2))').constant
    assert not compile_formula('"x" * 2').constant
    assert not compile_formula("TIMESTAMP()").constant
    assert not compile_formula('YEAR("2024-01-01")').constant
