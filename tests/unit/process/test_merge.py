"""What a store gives an event, row by row: the table of `processing.md` §6.4."""

import copy
from collections.abc import Mapping

import pytest

from turnout.model.enrichment import Row
from turnout.process.enrichment.merge import merge

ITEMS = [{"id": "a", "product": {"price": 1}}, {"id": "b", "product": {"price": 2}}]

CASES: list[
    tuple[str, dict[str, object], Mapping[str, object], list[Row], dict[str, object], list[tuple[str, str]]]
] = [
    ("absent: filled", {}, {"name": "Hat"}, [Row("name", "name")], {"name": "Hat"}, []),
    ("null: filled", {"name": None}, {"name": "Hat"}, [Row("name", "name")], {"name": "Hat"}, []),
    ("present: left", {"name": "Cap"}, {"name": "Hat"}, [Row("name", "name")], {"name": "Cap"}, []),
    ("override", {"name": "Cap"}, {"name": "Hat"}, [Row("name", "name", True)], {"name": "Hat"}, []),
    ("override of an array", {"tags": [1]}, {"tags": [2, 3]}, [Row("tags", "tags", True)], {"tags": [2, 3]}, []),
    ("nothing stored", {"a": 1}, {}, [Row("b", "b", True)], {"a": 1}, []),
    ("null stored", {"a": 1}, {"a": None}, [Row("a", "a", True)], {"a": 1}, []),
    ("another name", {}, {"user": {"city": "Lyon"}}, [Row("city", "user.city")], {"city": "Lyon"}, []),
    (
        "number for text",
        {"name": "Cap"},
        {"name": 7},
        [Row("name", "name", True)],
        {"name": "Cap"},
        [("type_error", "type error, number cannot replace a string")],
    ),
    (
        "object for array",
        {"items": [1]},
        {"items": {"id": 1}},
        [Row("items", "items", True)],
        {"items": [1]},
        [("type_error", "type error, object cannot replace array")],
    ),
    (
        "no object on the way",
        {"items": [{"id": "a"}]},
        {"items": ITEMS},
        [Row("items.product.price", "items.product.price")],
        {"items": [{"id": "a"}]},
        [("merge_error", "should merge object properties that do not exist in target")],
    ),
    (
        "elements with the same id",
        {"items": [{"id": "b", "product": {}}, {"id": "c", "product": {}}]},
        {"items": ITEMS},
        [Row("items.product.price", "items.product.price")],
        {"items": [{"id": "b", "product": {"price": 2}}, {"id": "c", "product": {}}]},
        [],
    ),
    (
        "elements without id",
        {"items": [{"product": {}}, {"product": {}}, {"product": {}}]},
        {"items": ITEMS},
        [Row("items.product.price", "items.product.price")],
        {"items": [{"product": {"price": 1}}, {"product": {"price": 2}}, {"product": {}}]},
        [("index_merge", "No ID field found, falling back to index-based merge")],
    ),
    (
        "one value for every element",
        {"items": [{"id": 1}, {"id": 2}]},
        {"currency": "EUR"},
        [Row("items.currency", "currency")],
        {"items": [{"id": 1, "currency": "EUR"}, {"id": 2, "currency": "EUR"}]},
        [],
    ),
    ("from an array: a list", {}, {"items": ITEMS}, [Row("prices", "items.product.price")], {"prices": [1, 2]}, []),
    ("of one element", {}, {"items": ITEMS}, [Row("price", "items.1.product.price")], {"price": 2}, []),
    (
        "parent with override after child: the parent wins",
        {"items": [{"id": "a", "product": {"price": 9}}]},
        {"items": ITEMS},
        [Row("items.product.price", "items.product.price"), Row("items", "items", True)],
        {"items": ITEMS},
        [],
    ),
    (
        "through a text",
        {"user": "ann"},
        {"user": {"city": "Lyon"}},
        [Row("user.city", "user.city")],
        {"user": "ann"},
        [("type_error", "type error, object cannot replace a string")],
    ),
]


@pytest.mark.parametrize(
    ("event", "stored", "rows", "after", "warnings"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_a_row_does_what_the_table_says(
    event: dict[str, object],
    stored: Mapping[str, object],
    rows: list[Row],
    after: dict[str, object],
    warnings: list[tuple[str, str]],
) -> None:
    event, kept = copy.deepcopy(event), copy.deepcopy(stored)
    found = merge(event, "", kept, rows)
    assert event == after
    assert [(one.code, one.message) for one in found] == warnings
    assert kept == stored


def test_what_two_elements_get_is_not_shared() -> None:
    event: dict[str, object] = {"items": [{"id": 1}, {"id": 2}]}
    merge(event, "", {"brand": {"name": "Acme"}}, [Row("items.brand", "brand")])
    items = event["items"]
    assert isinstance(items, list)
    items[0]["brand"]["name"] = "other"
    assert items[1]["brand"]["name"] == "Acme"


def test_a_warning_names_the_place_in_the_event() -> None:
    (found,) = merge({"price": "x"}, "items.0.product", {"price": 1}, [Row("price", "price", True)])
    assert found.path == "event.items.0.product.price"
