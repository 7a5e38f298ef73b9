"""Rows of `modify_properties`: every action, every kind of path, all or nothing (`processing.md` §4.3)."""

import copy
import json
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.formula import Run
from turnout.formula.limits import RESULT_BYTES
from turnout.mapping.changes import compiled
from turnout.model.change import Action, Change


class Case(NamedTuple):
    """A row, the event before it and the event after it."""

    promise: str
    change: Change
    before: object
    after: object


def same(promise: str, change: Change, event: object) -> Case:
    return Case(promise, change, event, event)


def set_(target: str, formula: str) -> Change:
    return Change("set", target, formula)


def map_(target: str, source: str) -> Change:
    return Change("map", target, source)


def delete(target: str) -> Change:
    return Change("delete", target)


def rename(source: str, target: str) -> Change:
    return Change("rename", source, target)


def item(**properties: object) -> dict[str, object]:
    return properties


CASES = [
    # rename
    Case(
        "moves a value to a new name",
        rename("date_of_birth", "birthdate"),
        item(date_of_birth="x"),
        item(birthdate="x"),
    ),
    same("does nothing without a source", rename("a", "b"), item(b=1)),
    Case("moves null too", rename("a", "b"), item(a=None, b=1), item(b=None)),
    Case("keeps what is inside", rename("a", "b"), item(a={"x": [1, {}]}), item(b={"x": [1, {}]})),
    Case("renames in place", rename("user.a", "user.b"), item(user={"a": 1, "c": 2}), item(user={"c": 2, "b": 1})),
    Case(
        "renames in every element",
        rename("items.coupon", "items.rebate"),
        item(items=[{"coupon": "A"}, {"id": 2}, 3, {"coupon": None}]),
        item(items=[{"rebate": "A"}, {"id": 2}, 3, {"rebate": None}]),
    ),
    Case("moves out of an object", rename("p.q", "r.s.t"), item(p={"q": [1]}), item(p={}, r={"s": {"t": [1]}})),
    Case(
        "moves within each element",
        rename("items.price", "items.product.price"),
        item(items=[{"price": 1}, {"price": 2, "product": {"id": 5}}, {"id": 3}]),
        item(items=[{"product": {"price": 1}}, {"product": {"id": 5, "price": 2}}, {"id": 3}]),
    ),
    Case(
        "gathers from the elements",
        rename("items.id", "order.ids"),
        item(items=[{"id": 1, "x": 0}, {"id": 2}]),
        item(items=[{"x": 0}, {}], order={"ids": [1, 2]}),
    ),
    Case(
        "leaves the value where there is no way to the target",
        rename("items.a", "items.p.q"),
        item(items=[{"a": 1}, {"a": 2, "p": "text"}]),
        item(items=[{"p": {"q": 1}}, {"a": 2, "p": "text"}]),
    ),
    Case("takes the place of an ancestor", rename("a.b.c", "a.b"), item(a={"b": {"c": 1, "d": 2}}), item(a={"b": 1})),
    # copy
    Case("copies", map_("currency", "devise"), item(devise="EUR"), item(devise="EUR", currency="EUR")),
    same("copies nothing without a source", map_("currency", "devise"), item(currency="EUR")),
    Case("copies null", map_("b", "a"), item(a=None, b=1), item(a=None, b=None)),
    Case("makes objects on the way", map_("x.y.z", "a"), item(a=1, x=None), item(a=1, x={"y": {"z": 1}})),
    Case("copies into itself", map_("a.b", "a"), item(a={"c": 1}), item(a={"c": 1, "b": {"c": 1}})),
    Case(
        "copies within each element",
        map_("items.currency", "items.devise"),
        item(items=[{"devise": "EUR"}, {"id": 1}]),
        item(items=[{"devise": "EUR", "currency": "EUR"}, {"id": 1}]),
    ),
    Case(
        "copies from the event into each element",
        map_("items.currency", "currency"),
        item(currency="EUR", items=[{}, {"currency": "USD"}]),
        item(currency="EUR", items=[{"currency": "EUR"}, {"currency": "EUR"}]),
    ),
    Case(
        "copies from the outer element into the inner ones",
        map_("carts.items.shop", "carts.shop"),
        item(carts=[{"shop": 1, "items": [{}, {}]}, {"shop": 2, "items": [{}]}]),
        item(carts=[{"shop": 1, "items": [{"shop": 1}, {"shop": 1}]}, {"shop": 2, "items": [{"shop": 2}]}]),
    ),
    Case(
        "copies a projection",
        map_("ids", "items.id"),
        item(items=[{"id": 1}, {}]),
        item(items=[{"id": 1}, {}], ids=[1, None]),
    ),
    Case(
        "copies one element",
        map_("first", "items.0"),
        item(items=[{"id": 1}]),
        item(items=[{"id": 1}], first={"id": 1}),
    ),
    Case("keeps every digit", map_("b", "a"), item(a=[2**63 + 1]), item(a=[2**63 + 1], b=[2**63 + 1])),
    # delete
    Case("deletes", delete("a.b"), item(a={"b": 1, "c": 2}), item(a={"c": 2})),
    same("deletes nothing where nothing is", delete("a.b.c"), item(a={"b": None})),
    Case("deletes in every element", delete("items.b"), item(items=[{"b": 1}, {"c": 2}]), item(items=[{}, {"c": 2}])),
    Case("deletes one element", delete("items.0"), item(items=[1, 2]), item(items=[2])),
    # set
    Case("sets", set_("revenue", "value*1.2"), item(value=10), item(value=10, revenue=12)),
    Case("sets null", set_("referrer", "null"), item(referrer="x"), item(referrer=None)),
    Case("sets what a missing property gives", set_("a", "b"), item(), item(a=None)),
    Case("makes objects", set_("user.firstname", '"J"'), item(), item(user={"firstname": "J"})),
    Case(
        "evaluates per element, in its scope",
        set_("items.total", "price * quantity + root.shipping"),
        item(shipping=1, items=[{"price": 2, "quantity": 3}, {"price": 4, "quantity": 5}]),
        item(shipping=1, items=[{"price": 2, "quantity": 3, "total": 7}, {"price": 4, "quantity": 5, "total": 21}]),
    ),
    Case(
        "computes every element before it writes the first",
        set_("items.share", "share / SUM(root.items, share)"),
        item(items=[{"share": 1}, {"share": 3}]),
        item(items=[{"share": 0.25}, {"share": 0.75}]),
    ),
    Case(
        "reaches into arrays in arrays",
        set_("carts.items.id", "id + 1"),
        item(carts=[{"items": [{"id": 1}, {"id": 2}]}, {"items": []}, {"items": [{"id": 3}]}]),
        item(carts=[{"items": [{"id": 2}, {"id": 3}]}, {"items": []}, {"items": [{"id": 4}]}]),
    ),
    Case("sets one element", set_("items.1.id", "7"), item(items=[{}, {}]), item(items=[{}, {"id": 7}])),
    Case("sets in the place of an element", set_("tags.0", '"a"'), item(tags=["b", "c"]), item(tags=["a", "c"])),
    same("adds no elements", set_("items.2.id", "7"), item(items=[{}])),
    same("goes through no text", set_("user.name.first", '"J"'), item(user={"name": "Jane"})),
    Case("takes a number as a name in objects", set_("by_year.2024", "1"), item(), item(by_year={"2024": 1})),
    same(
        "exceeding a bound leaves the target alone",
        set_("a", "root_text + root_text"),
        item(a=1, root_text="x" * 20_000),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.change.action} {case.promise}" for case in CASES])
def test_a_row(case: Case) -> None:
    event = json.loads(json.dumps(case.before))
    compiled(case.change)(event, Run(event, 0))
    assert event == case.after


def test_a_copy_shares_nothing_with_its_source() -> None:
    event: dict[str, object] = {"a": {"b": [1]}, "items": [{}, {}]}
    for change in (map_("c", "a"), map_("items.x", "a"), set_("d", "a"), set_("items.y", "root.a"), rename("a", "z.a")):
        compiled(change)(event, Run(event, 0))
    compiled(set_("z.a.b", "0"))(event, Run(event, 0))
    kept = {"b": [1]}
    each = {"x": kept, "y": kept}
    assert event == {"c": kept, "d": kept, "items": [each, each], "z": {"a": {"b": 0}}}
    compiled(set_("items.0.x.b", "0"))(event, Run(event, 0))
    assert event["items"] == [{"x": {"b": 0}, "y": kept}, each]


@pytest.mark.parametrize(
    "change",
    [
        set_("items.n", "SUM(root.items, id)"),
        set_("items.n", "root.note"),
        map_("items.n", "note"),
        map_("items.n", "items_copy"),
        rename("note", "items.n"),
    ],
    ids=str,
)
def test_a_row_over_a_large_array_is_bounded_as_a_whole_and_does_all_or_nothing(change: Change) -> None:
    items: list[object] = [{"id": number} for number in range(3000)]
    event: dict[str, object] = {"items": items, "note": "x" * 100, "items_copy": list(items)}
    before = copy.deepcopy(event)
    run = Run(event, 0)
    compiled(change)(event, run)
    assert event == before
    assert list(run.warnings) == ["limit"]


names = st.sampled_from(["a", "b", "items", "0", "1", "user"])
paths = st.lists(names, min_size=1, max_size=4).map(".".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)
formulas = st.sampled_from(
    ["a + 1", "items", "root", "null", "FOR_EACH(items, a)", "CONCAT(user.a, b)", "a ~ CONCAT('(', b)"]
)


@st.composite
def rows(draw: st.DrawFn) -> Change:
    action: Action = draw(st.sampled_from(["rename", "map", "delete", "set"]))
    other = {"set": formulas, "delete": st.just("")}.get(action, paths)
    return Change(action, draw(paths), draw(other))


@settings(deadline=None)
@given(st.dictionaries(names, values, max_size=5), st.lists(rows(), max_size=6))
def test_no_row_raises_and_the_event_stays_json(event: dict[str, object], changes: list[Change]) -> None:
    run = Run(event, 0)
    for change in changes:
        compiled(change)(event, run)
    assert len(json.dumps(event)) < 1_000 + len(changes) * 4 * RESULT_BYTES
