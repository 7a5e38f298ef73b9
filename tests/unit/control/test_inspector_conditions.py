"""Search conditions: every operator and rule of types as a table, and the index never hides what a condition finds."""

import pytest

from turnout.control.inspector.conditions import (
    MOST_VALUES,
    OPERATORS,
    Condition,
    ConditionError,
    Operator,
    candidates,
    predicate,
    word_predicate,
)
from turnout.control.inspector.terms import MORE_PROPERTIES, event_terms, word_candidates
from turnout.control.inspector.values import is_searchable

EVENT = {
    "event_name": "purchase",
    "value": 120.0,
    "currency": "EUR",
    "note": "",
    "nothing": None,
    "express": True,
    "ordered": "2026-03-01T09:12:02Z",
    "big": 202110130000000001,
    "text_number": "42",
    "tags": ["red", "Größe", 7],
    "user": {"id": 42, "zip": "01067", "consent_categories": ["1", 3]},
    "items": [{"id": "sku-1", "price": 9.5}, {"id": "sku-2", "price": "20", "labels": [{"k": "v"}]}],
    "by_place": {"0": {"id": "zero"}},
    "empty_object": {},
}
CASES: list[tuple[str, str, str, bool]] = [
    ("user.id", "eq", "42", True),
    ("text_number", "eq", "42", True),
    ("user.id", "eq", "42.0", True),
    ("text_number", "eq", "42.0", False),
    ("value", "eq", "120", True),
    ("value", "eq", "120.0", True),
    ("value", "eq", "1.2e2", True),
    ("value", "eq", "0120", False),
    ("user.zip", "eq", "01067", True),
    ("user.zip", "eq", "1067", False),
    ("big", "eq", "202110130000000001", True),
    ("big", "eq", "202110130000000000", False),
    ("express", "eq", "true", True),
    ("express", "eq", "1", False),
    ("user.id", "eq", "true", False),
    ("currency", "eq", "eur", False),
    ("nothing", "eq", "null", False),
    ("note", "eq", "", True),
    ("items.id", "eq", "sku-2", True),
    ("items.0.id", "eq", "sku-1", True),
    ("items.0.id", "eq", "sku-2", False),
    ("items.7.id", "eq", "sku-2", False),
    ("items.labels.k", "eq", "v", True),
    ("by_place.0.id", "eq", "zero", True),
    ("tags", "eq", "Größe", True),
    ("tags.1", "eq", "Größe", True),
    ("user.consent_categories", "eq", "3", True),
    ("missing", "eq", "x", False),
    ("currency", "neq", "USD", True),
    ("currency", "neq", "EUR", False),
    ("missing", "neq", "x", True),
    ("tags", "neq", "red", False),
    ("value", "gt", "119.9", True),
    ("value", "gt", "120", False),
    ("value", "gte", "120", True),
    ("value", "lt", "120.5", True),
    ("value", "lte", "119", False),
    ("items.price", "gt", "15", True),
    ("items.price", "lt", "9.6", True),
    ("items.price", "gt", "20", False),
    ("express", "gt", "0", False),
    ("currency", "gt", "100", False),
    ("ordered", "gte", "2026-03-01", True),
    ("ordered", "lt", "2026-03-01", False),
    ("value", "gt", "many", False),
    ("currency", "in", "USD,EUR", True),
    ("user.id", "in", "41,42", True),
    ("currency", "in", "USD,GBP", False),
    ("items.id", "contains", "ku-2", True),
    ("value", "contains", "12", True),
    ("currency", "contains", "u", False),
    ("items.id", "not_contains", "ku-2", False),
    ("missing", "not_contains", "x", True),
    ("items.id", "starts_with", "sku", True),
    ("items.id", "starts_with", "ku", False),
    ("items.id", "ends_with", "-2", True),
    ("items.id", "matches", "^sku-[0-9]$", True),
    ("value", "matches", "^120$", True),
    ("items.id", "matches", "^[0-9]$", False),
    ("user", "exists", "true", True),
    ("items.price", "exists", "true", True),
    ("nothing", "exists", "true", True),
    ("missing", "exists", "true", False),
    ("missing", "exists", "false", True),
    ("user.id", "exists", "false", False),
    ("note", "empty", "true", True),
    ("nothing", "empty", "true", True),
    ("empty_object", "empty", "true", True),
    ("missing", "empty", "true", True),
    ("user.id", "empty", "true", False),
    ("user.id", "empty", "false", True),
]


def condition(path: str, operator: Operator, value: str) -> Condition:
    return Condition(path, operator, tuple(value.split(",")) if operator == "in" else (value,))


@pytest.mark.parametrize(("path", "operator", "value", "expected"), CASES)
def test_a_condition_holds_or_not(path: str, operator: Operator, value: str, expected: bool) -> None:
    assert predicate(condition(path, operator, value))(EVENT) is expected


@pytest.mark.parametrize(("path", "operator", "value", "expected"), [case for case in CASES if case[3]])
def test_the_index_leads_to_every_event_that_meets_a_condition(
    path: str, operator: Operator, value: str, expected: bool
) -> None:
    asked = candidates(condition(path, operator, value))
    terms = event_terms(EVENT)
    assert MORE_PROPERTIES not in terms
    assert asked is None or terms & set(asked), expected


def test_every_operator_is_in_the_table() -> None:
    assert {operator for _, operator, _, _ in CASES} == set(OPERATORS)


@pytest.mark.parametrize("operator", ["eq", "in", "contains", "gte"])
def test_of_several_values_one_must_fit(operator: Operator) -> None:
    assert predicate(Condition("value", operator, ("999", "120")))(EVENT)
    assert not predicate(Condition("value", "neq", ("999", "120")))(EVENT)


def test_an_event_with_too_many_properties_is_always_looked_at() -> None:
    event = {f"p{i}": i for i in range(5000)}
    terms = event_terms(event)
    assert len(terms) < 1000
    for asked in (candidates(Condition("p4999", "eq", ("4999",))), candidates(Condition("p4999", "exists", ("true",)))):
        assert asked is not None
        assert terms & set(asked)


@pytest.mark.parametrize(
    ("operator", "values", "words"),
    [
        ("matches", ("(?=x)",), "look-ahead"),
        ("matches", ("(",), "missing"),
        ("exists", ("yes",), "true or false"),
        ("empty", ("true", "false"), "true or false"),
        ("in", ("x",) * (MOST_VALUES + 1), "at most"),
        ("eq", (), "at most"),
    ],
)
def test_what_can_not_be_searched_for_is_told(operator: Operator, values: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConditionError, match=words):
        predicate(Condition("a", operator, values))


@pytest.mark.parametrize(
    ("sought", "expected"),
    [
        ("sku", True),
        ("SKU-2 eur", True),
        ("größe", True),
        ("pur", True),
        ("pu", False),
        ("42", True),
        ("4", False),
        ("firefox", False),
        ("purchase firefox", False),
    ],
)
def test_words_are_found_in_any_searchable_value(sought: str, expected: bool) -> None:
    event = EVENT | {"context": {"device": {"user_agent": "Firefox"}}}
    assert word_predicate(sought)(event) is expected
    words = {term for term in event_terms(event) if term.startswith("w")}
    for asked in word_candidates(sought) if expected else ():
        word, begins = asked.removesuffix(" *").strip('"'), asked.endswith("*")
        assert any(one.startswith(word) if begins else one == word for one in words)


def test_devices_are_not_searched_and_leave_nothing_in_the_index() -> None:
    device = {"context": {"device": {"lang": "fr", "deep": {"er": "secret"}}}}
    assert event_terms(device) == event_terms({"context": {}})
    assert not is_searchable("context.device.lang")
    assert not is_searchable("context.device")
    assert is_searchable("context.devices")


def test_texts_that_no_encoding_takes_do_no_harm() -> None:
    event = {"\ud800": "\udfff", "a": "x" * 40_000, "1": [[["deep"]]], "²": "two"}
    assert " ".join(event_terms(event))
    assert predicate(Condition("\ud800", "eq", ("\udfff",)))(event)
