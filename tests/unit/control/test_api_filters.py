"""The tree of `event_filter` and the formula say the same."""

import pytest

from turnout.control.api.filters import TYPES, formula_of, tree_of
from turnout.control.api.problems import ApiError, Place

VALUE: dict[str, object] = {"type": "property", "name": "value"}


def constant(value: object) -> dict[str, object]:
    return {"type": "constant", "value": value}


def node(kind: str, *operands: object) -> dict[str, object]:
    return {"type": kind, "operands": list(operands)}


BOTH_WAYS: list[tuple[dict[str, object], str]] = [
    (VALUE, "value"),
    ({"type": "property", "name": "items.0.id"}, "items.0.id"),
    ({"type": "property", "name": "items.my key"}, 'GET("items.my key")'),
    (constant(True), "true"),
    (constant(None), "null"),
    (node("=", VALUE, constant("x")), 'value = "x"'),
    (node("!=", VALUE, constant(1)), "value != 1"),
    (node("<", VALUE, constant(1.5)), "value < 1.5"),
    (node("<=", VALUE, constant(-2)), "value <= -2"),
    (node(">", VALUE, constant(0)), "value > 0"),
    (node(">=", VALUE, {"type": "property", "name": "limit"}), "value >= limit"),
    (node("in", VALUE, constant("a"), constant("b")), 'value IN("a", "b")'),
    (node("contains", VALUE, constant("a")), 'value CONTAINS "a"'),
    (node("startswith", VALUE, constant("a")), 'value STARTSWITH "a"'),
    (node("endswith", VALUE, constant("a"), constant("b")), 'value ENDSWITH("a", "b")'),
    (node("matches", VALUE, constant("^a")), 'value ~ "^a"'),
    (node("exists", VALUE), "EXISTS(value)"),
    (node("empty", VALUE), "ISEMPTY(value)"),
    (node("not", node("exists", VALUE)), "NOT(EXISTS(value))"),
    (node("and", node("exists", VALUE), node(">", VALUE, constant(0))), "EXISTS(value) && value > 0"),
    (node("or", node("exists", VALUE), node("empty", VALUE)), "EXISTS(value) || ISEMPTY(value)"),
]
ONE_WAY: list[tuple[dict[str, object], str]] = [
    (node("in", VALUE, constant(["a", "b"])), 'value IN("a", "b")'),
    (node("and", node("exists", VALUE)), "EXISTS(value)"),
]


@pytest.mark.parametrize(("tree", "formula"), BOTH_WAYS + ONE_WAY)
def test_a_tree_is_a_formula(tree: object, formula: str) -> None:
    assert formula_of(tree, "/f") == formula


@pytest.mark.parametrize(("tree", "formula"), BOTH_WAYS)
def test_a_formula_that_is_a_tree_is_shown_as_one(tree: object, formula: str) -> None:
    assert tree_of(formula) == tree


def test_every_type_of_node_is_in_the_table() -> None:
    assert {str(tree["type"]) for tree, _ in BOTH_WAYS} == set(TYPES)


@pytest.mark.parametrize(
    ("formula", "tree"),
    [
        ('value !~ "a"', node("not", node("matches", VALUE, constant("a")))),
        ('value !IN("a")', node("not", node("in", VALUE, constant("a")))),
        ("value BETWEEN(1, 2)", None),
        ("value + 1 > 2", None),
        ('LOWER(value) = "a"', None),
        ("value IN([1, 2])", None),
        ("not a ( formula", None),
    ],
)
def test_a_formula_is_shown_as_a_tree_where_there_is_one(formula: str, tree: object) -> None:
    assert tree_of(formula) == tree


def deep(levels: int) -> object:
    return node("not", deep(levels - 1)) if levels else VALUE


@pytest.mark.parametrize(
    ("tree", "pointers"),
    [
        (5, ["/f"]),
        ({}, ["/f/type"]),
        ({"type": "xor", "operands": []}, ["/f/type"]),
        ({"type": "property"}, ["/f/name"]),
        ({"type": "property", "name": "a..b"}, ["/f/name"]),
        (constant({"a": 1}), ["/f/value"]),
        (node("and"), ["/f/operands"]),
        (node("=", VALUE), ["/f/operands"]),
        ({"type": "not", "operand": VALUE}, ["/f/operand", "/f/operands"]),
        (node("or", node("=", 1, constant([1])), {"type": "x"}),
         ["/f/operands/0/operands/0", "/f/operands/0/operands/1/value", "/f/operands/1/type"]),
        (deep(33), ["/f" + "/operands/0" * 33]),
    ],
)  # fmt: skip
def test_everything_that_is_wrong_is_told_with_its_place(tree: object, pointers: list[str]) -> None:
    with pytest.raises(ApiError) as refused:
        formula_of(tree, "/f")
    assert [one.source.pointer for one in refused.value.faults if isinstance(one.source, Place)] == pointers
