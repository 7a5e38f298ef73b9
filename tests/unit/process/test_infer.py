"""A specification from traffic: it takes all of it, and says how it differs from the present one."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.process.specified import configured, event, outcome
from tests.unit.process.test_specification_property import documents, specifications
from turnout.model.specification import Actions, EventSpecification, Property, Specification
from turnout.process.infer import Difference, Observer
from turnout.specification.written import written

STRICT = {"missing": "reject", "format": "reject", "events": "reject", "properties": "accept"}


def inferred(present: Specification, events: list[dict[str, object]]) -> tuple[Specification, list[Difference]]:
    observer = Observer(present)
    for one in events:
        observer.see(msgspec.json.encode(one))
    return observer.propose()


def of_event(events: list[dict[str, object]], name: str = "e") -> dict[str, object]:
    """What is proposed for an event, as it would be written."""
    proposed, _ = inferred(Specification(), events)
    found: Any = written(proposed)["events"]
    return found[name].get("properties", {})  # type: ignore[no-any-return] # plain data


SEEN: list[tuple[list[object], object]] = [
    (["a", "b"], {"type": "string"}),
    ([1, 2.5], {"type": "number"}),
    ([1, 2], {"type": "integer"}),
    ([True], {"type": "boolean"}),
    ([1, "a"], {"type": ["string", "integer"]}),
    ([None], None),
    ([None, 1], {"type": "integer"}),
    ([{}], {"type": "object"}),
    ([{}, 1], {"type": "any"}),
    ([[]], {"type": "array<any>"}),
    ([["a"], []], {"type": "array<string>"}),
    ([[1, 2.5]], {"type": "array<number>"}),
    ([["a", 1]], {"type": "array<any>"}),
    ([["a", None]], {"type": "array<any>"}),
    ([[["a"]]], {"type": "array<any>"}),
    ([["a"], "a"], {"type": ["string", "array<string>"]}),
    (["x"] * 20, {"type": "string", "required": True}),
    (["2026-01-01"] * 20, {"type": "string", "required": True, "format": "date"}),
    (["a@b.example"] * 20, {"type": "string", "required": True, "format": "email", "pii": True}),
    (["a@b.example", "x"], {"type": "string", "pii": True}),
    ([{str(n): 1 for n in range(5)}], {"type": "object"}),
    ([{f"k{n}": 1 for n in range(300)}], {"type": "object"}),
]


@pytest.mark.parametrize(("values", "entry"), SEEN)
def test_types_and_formats(values: list[object], entry: object) -> None:
    assert of_event([event("e", p=value) for value in values]).get("p") == entry


def test_what_is_inside_is_declared_too() -> None:
    lines = [{"price": 1, "name": "x"}, {"price": 2.5}]
    assert of_event([event("e", lines=lines, o={"a": {"b": True}})]) == {
        "lines": {"type": "array<object>"},
        "lines.name": {"type": "string"},
        "lines.price": {"type": "number"},
        "o": {"type": "object"},
        "o.a": {"type": "object"},
        "o.a.b": {"type": "boolean"},
    }


def test_a_property_is_required_once_it_came_often_enough_and_always() -> None:
    events = [event("e", a=1, o={"b": 1} if number else {}) for number in range(25)]
    assert of_event(events) == {
        "a": {"type": "integer", "required": True},
        "o": {"type": "object", "required": True},
        "o.b": {"type": "integer"},
    }


def test_standard_events_are_widened_where_the_traffic_asks_for_it() -> None:
    proposed, differences = inferred(
        Specification(), [event("search", search_term={"x": 1}, colour="red"), event("search", url="https://x.example")]
    )
    assert written(proposed)["events"] == {
        "search": {"properties": {"colour": {"type": "string"}, "search_term": {"type": "any", "required": False}}}
    }
    assert [(one.change, one.path, one.message, one.count, one.seen) for one in differences] == [
        ("property", "colour", "string", 1, 2),
        ("type", "search_term", "string becomes any", 1, 2),
        ("optional", "search_term", "no longer required: it is missing", 1, 2),
    ]


def test_what_is_declared_stays_and_nothing_becomes_stricter() -> None:
    plan = Property(type="string", enum=("a",), required=True)
    user = {"card": 5, "consistent_anonymous_id": "1"}
    present = Specification(
        actions={"production": Actions(missing="reject")},
        properties={"user.card": Property(type="string", pii=True)},
        events={"e": EventSpecification(label="E", properties={"p": plan})},
    )
    proposed, differences = inferred(present, [event("e", p="a", user=user)] * 30)
    assert (proposed, differences) == (present, [])


def test_examples_are_categories_and_never_personal() -> None:
    user = {"consistent_anonymous_id": "1", "pet": "cat"}
    events = [event("e", plan=["basic", "pro"][n % 2], code=f"c{n}", mail="a@b.example", user=user) for n in range(40)]
    _, differences = inferred(Specification(), events)
    assert {one.path: one.examples for one in differences if one.change == "property"} == {
        "plan": ("pro", "basic"), "code": (), "mail": (), "user.pet": (),
    }  # fmt: skip
    assert {one.path for one in differences if "personal" in one.message} == {"mail", "user.pet"}


def test_what_no_specification_can_say_is_told() -> None:
    _, differences = inferred(Specification(), [event("e", **{"a.b": 1})])
    assert [(one.change, one.path) for one in differences] == [("event", ""), ("left", "a.b")]


def test_what_is_no_event_is_passed_over() -> None:
    observer = Observer(Specification())
    for payload in (b"", b"[]", b"{}", b'{"event_name": 5}', b'{"event_name": " "}', b"\xff"):
        observer.see(payload)
    assert observer.propose() == (Specification(), [])


bodies = st.dictionaries(st.sampled_from(["a", "b", "o", "l", "s", "z"]), documents, max_size=4)


@settings(max_examples=100, deadline=None)
@given(specifications(), st.lists(st.tuples(st.sampled_from(["e", "new"]), bodies), min_size=1, max_size=6))
def test_what_is_inferred_takes_the_traffic(present: Specification, seen: list[tuple[str, dict[str, object]]]) -> None:
    events = [event(name, **{key: _declarable(value) for key, value in body.items()}) for name, body in seen]
    proposed, _ = inferred(present, events)
    snapshot = configured({"actions": {"production": STRICT}, **written(proposed)})
    for one in events:
        done = outcome(snapshot, one)
        assert (done.status, done.reasons) == ("valid", []), one


def _declarable(value: object) -> object:
    """The value without names that have a dot, which nobody can declare."""
    if isinstance(value, dict):
        return {name: _declarable(item) for name, item in value.items() if "." not in name}
    return [_declarable(item) for item in value] if isinstance(value, list) else value
