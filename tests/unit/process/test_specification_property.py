"""Compiled specifications against a naive interpreter, over random specifications and events."""

import copy
import re
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.process import naive
from turnout.model.event import Reason
from turnout.model.specification import Actions, EventSpecification, Property, Specification
from turnout.process.chain import Draft
from turnout.process.compile import Checks, Moment
from turnout.process.steps.check import specified

FIXED = {"user": {"consistent_anonymous_id": "1"}, "context": {"event_id": "e", "event_timestamp": 1639044446636}}
RULES: dict[str, list[dict[str, Any]]] = {
    "string": [{}, {"enum": ("a", "1")}, {"pattern": "^a"}, {"min_length": 1}, {"max_length": 1}, {"format": "date"}],
    "number": [{}, {"minimum": 1}, {"maximum": 1.5, "minimum": 0}, {"enum": (1, 2.5)}],
    "boolean": [{}],
    "any": [{}],
}
LISTS: list[dict[str, Any]] = [{}, {"min_items": 1}, {"max_items": 2}]
MOMENTS: tuple[Moment, ...] = ("before", "after")
scalars = st.sampled_from([*RULES])


@st.composite
def properties(draw: st.DrawFn) -> Property:
    kind = draw(scalars)
    fields: dict[str, Any] = dict(draw(st.sampled_from(RULES[kind])))
    structure = draw(st.sampled_from(["", "", "array", "set", "either"]))
    kinds: str | tuple[str, ...] = f"{structure}<{kind}>" if structure in ("array", "set") else kind
    if structure in ("array", "set"):
        fields |= draw(st.sampled_from(LISTS))
    if structure == "either" and kind != "any":
        kinds = (kind, draw(st.sampled_from(["boolean", "object"])) if kind != "boolean" else "array<boolean>")
    return Property(
        type=kinds,
        required=draw(st.sampled_from([None, True])),
        nullable=draw(st.booleans()),
        **fields,
    )


@st.composite
def specifications(draw: st.DrawFn) -> Specification:
    listed = draw(st.dictionaries(st.sampled_from("ab"), properties()))
    for name in draw(st.sets(st.sampled_from(["o", "l", "s"]))):
        if name != "o" or draw(st.booleans()):
            kind = {"o": "object", "l": "array<object>", "s": "set<object>"}[name]
            listed[name] = Property(type=kind, required=draw(st.sampled_from([None, True])))
        for inner in draw(st.sets(st.sampled_from("ab"))):
            listed[f"{name}.{inner}"] = draw(properties())
    return Specification(standard=False, events={"e": EventSpecification(properties=listed)})


leaves = st.sampled_from([None, True, False, 0, 1, 2.5, -1, "", "a", "1", "ab", "true", "2020-02-02", "12,3"])
names = st.sampled_from(["a", "b", "o", "l", "s", "z", "a.b"])
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
events = st.builds(
    lambda name, body: {**body, "event_name": name, **FIXED},
    st.sampled_from(["e", "e", "e", "f"]),
    st.dictionaries(names, documents, max_size=5),
)
actions = st.builds(
    Actions,
    missing=st.sampled_from(["accept", "ignore", "reject"]),
    format=st.sampled_from(["accept", "omit", "reject"]),
    events=st.sampled_from(["accept", "ignore", "reject"]),
    properties=st.sampled_from(["accept", "ignore", "omit", "omit_silently"]),
)


@settings(max_examples=600, deadline=None)
@given(specifications(), actions, events)
def test_a_compiled_specification_agrees_with_its_words(
    specification: Specification, chosen: Actions, event: dict[str, object]
) -> None:
    status, told, left = naive.judge(specification, chosen, copy.deepcopy(event))
    draft = Draft(copy.deepcopy(event), "29/shop", "valid", (), ())
    specified(Checks(specification, chosen))(draft)
    body = {name: value for name, value in draft.event.items() if name not in ("event_name", "user", "context")}
    assert (draft.status, {(one.path, one.code) for one in draft.reasons}) == (status, told)
    if chosen.format != "accept" or status == "valid":
        assert msgspec.json.encode(body) == msgspec.json.encode(left)


@settings(max_examples=300, deadline=None)
@given(specifications(), actions, events)
def test_two_moments_come_to_the_same_as_one(
    specification: Specification, chosen: Actions, event: dict[str, object]
) -> None:
    once, twice = (Draft(copy.deepcopy(event), "29/shop", "valid", (), ()) for _ in range(2))
    specified(Checks(specification, chosen))(once)
    for moment in MOMENTS:
        specified(Checks(specification, chosen, moment))(twice)
    assert _sorted(twice) == _sorted(once)


def _sorted(draft: Draft) -> tuple[object, ...]:
    """What a draft says, whatever the order in which it was found, and which elements were removed before."""
    event = {**draft.event, "context": None}
    told = sorted((re.sub(r"\.\d+", ".#", one.path), one.code) for one in draft.reasons)
    return draft.status, told, msgspec.json.encode(event)


@settings(max_examples=200, deadline=None)
@given(specifications(), st.dictionaries(st.text(max_size=3), documents, max_size=4), actions)
def test_no_event_makes_it_raise_and_what_comes_out_is_json(
    specification: Specification, event: dict[str, object], chosen: Actions
) -> None:
    everything = msgspec.structs.replace(specification, standard=True)
    for name in ("purchase", "e", "?", 5, None):
        draft = Draft({**copy.deepcopy(event), "event_name": name}, "29/shop", "valid", (Reason("x"),), ())
        specified(Checks(everything, chosen))(draft)
        assert len(draft.reasons) <= 51
        msgspec.json.encode(draft.event)
