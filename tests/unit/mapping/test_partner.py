"""An event in, what a destination gets out (`processing.md` §8)."""

import copy
import json
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.formula import Run
from turnout.mapping.partner import Mapped, Mapper
from turnout.mapping.standard import STANDARD
from turnout.model.change import Action, Change
from turnout.model.outcome import Result
from turnout.model.partner import PartnerMapping

ITEMS = [{"id": "A", "product": {"size": "M"}}, {"id": "B", "product": {}}]
EVENT = {
    "event_name": "purchase",
    "id": "O1",
    "devise": "EUR",
    "value": "12.5",
    "coupon": None,
    "user": {"id": "U1", "email": "a@b.example"},
    "items": ITEMS,
    "context": {"event_id": "e-1", "page": {"url": "https://shop.example/"}},
}
STANDARD_OF_EVENT = {
    "event_name": "purchase",
    "event_id": "e-1",
    "value": "12.5",
    "user_id": "U1",
    "user_email": "a@b.example",
    "page_url": "https://shop.example/",
}


def mapped(mapping: PartnerMapping, event: object = EVENT) -> Mapped | Result:
    own = json.loads(json.dumps(event))
    return Mapper(mapping).map(own, Run(own, 1_700_000_000_000))


def sent(mapping: PartnerMapping, event: object = EVENT) -> dict[str, object]:
    made = mapped(mapping, event)
    assert isinstance(made, Mapped), made
    data: dict[str, object] = json.loads(made.payload)
    assert made.name == made.event["event_name"]
    return data


class Case(NamedTuple):
    """A mapping and what it makes of `EVENT`, as the members that differ; None takes one away."""

    promise: str
    mapping: PartnerMapping
    differs: dict[str, object]


GONE = object()
CASES = [
    Case("nothing asked, nothing changed", PartnerMapping(), {}),
    Case(
        "properties are renamed, set, copied and deleted, row by row",
        PartnerMapping(
            changes=(
                Change("rename", "devise", "currency"),
                Change("set", "total", "NUMBER(value) * 2"),
                Change("map", "order.id", "id"),
                Change("delete", "user"),
                Change("set", "label", "CONCAT(currency, ' ', total)"),
            )
        ),
        {
            "devise": GONE,
            "currency": "EUR",
            "total": 25,
            "order": {"id": "O1"},
            "user": GONE,
            "label": "EUR 25",
        },
    ),
    Case(
        "set puts null where a formula gives null",
        PartnerMapping(changes=(Change("set", "x", "nothing"),)),
        {"x": None},
    ),
    Case(
        "an event gets the partner's name", PartnerMapping(events={"purchase": "Purchase"}), {"event_name": "Purchase"}
    ),
    Case(
        "the partner's name is a template",
        PartnerMapping(events={"purchase": "{{event_name}}_{{LOWER(devise)}}"}),
        {"event_name": "purchase_eur"},
    ),
    Case("other events keep their name", PartnerMapping(events={"order": "Purchase"}), {}),
    Case(
        "event mapping sees what properties made of the name",
        PartnerMapping(changes=(Change("set", "event_name", '"order"'),), events={"order": "Purchase"}),
        {"event_name": "Purchase"},
    ),
    Case(
        "custom properties are added, null ones are not",
        PartnerMapping(custom={"order_id": "id", "first.size": "items.0.product.size", "c": "coupon", "n": "nothing"}),
        {"order_id": "O1", "first": {"size": "M"}},
    ),
    Case(
        "custom properties reach into every item",
        PartnerMapping(custom={"items.size": "product.size", "items.currency": "root.devise"}),
        {
            "items": [
                {"id": "A", "product": {"size": "M"}, "size": "M", "currency": "EUR"},
                {"id": "B", "product": {}, "currency": "EUR"},
            ]
        },
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.promise)
def test_what_a_destination_gets(case: Case) -> None:
    expected = {name: value for name, value in {**EVENT, **case.differs}.items() if value is not GONE}
    assert sent(case.mapping) == expected


def test_parameters_are_sent_instead_of_the_event_and_only_those_with_a_value() -> None:
    assert sent(PartnerMapping(parameters=STANDARD)) == STANDARD_OF_EVENT


def test_templates_of_settings_still_read_the_whole_event() -> None:
    mapping = PartnerMapping(
        changes=(Change("rename", "devise", "currency"),),
        events={"purchase": "Purchase"},
        parameters={"currency": "currency"},
        custom={"basket": "items", "basket.currency": "root.currency", "name": "event_name"},
    )
    made = mapped(mapping)
    assert isinstance(made, Mapped)
    assert json.loads(made.payload) == {
        "currency": "EUR",
        "basket": [{**item, "currency": "EUR"} for item in ITEMS],
        "name": "Purchase",
    }  # fmt: skip
    assert made.event["user"] == EVENT["user"]
    assert made.event["items"] == EVENT["items"]


@pytest.mark.parametrize(
    ("mapping", "result"),
    [
        (PartnerMapping(events={"order": "x"}, others="drop"), Result("filtered", "unsupported_event", asked=False)),
        (
            PartnerMapping(events={"purchase": "{{nothing}}"}),
            Result(
                "rejected",
                "mapping_error",
                "the mapping of purchase gives no name for the partner: {{nothing}}",
                asked=False,
            ),
        ),
        (
            PartnerMapping(events={"purchase": "{{items}}"}),
            Result(
                "rejected",
                "mapping_error",
                "the mapping of purchase gives no name for the partner: {{items}}",
                asked=False,
            ),
        ),
    ],
)
def test_what_a_destination_does_not_get(mapping: PartnerMapping, result: Result) -> None:
    assert mapped(mapping) == result


def test_an_event_without_a_name_is_mapped_like_any_other() -> None:
    assert sent_without_name(PartnerMapping(events={"a": "b"})) == {"value": 1}
    assert mapped(PartnerMapping(others="drop", events={"a": "b"}), {"event_name": 5}) == Result(
        "filtered", "unsupported_event", asked=False
    )


def sent_without_name(mapping: PartnerMapping) -> object:
    made = mapped(mapping, {"value": 1})
    assert isinstance(made, Mapped)
    return json.loads(made.payload)


def test_what_exceeds_a_bound_changes_nothing_and_warns() -> None:
    long: dict[str, object] = {"event_name": "e", "text": "x" * 30_000}
    mapping = PartnerMapping(
        changes=(Change("set", "twice", "CONCAT(text, text)"),), custom={"again": "CONCAT(text, text)"}
    )
    run = Run(long, 0)
    made = Mapper(mapping).map(long, run)
    assert isinstance(made, Mapped)
    assert set(json.loads(made.payload)) == {"event_name", "text"}
    assert list(run.warnings) == ["limit"]


names = st.sampled_from(["a", "b", "items", "0", "user", "event_name"])
paths = st.lists(names, min_size=1, max_size=3).map(".".join)
formulas = st.sampled_from(["a + 1", "items", "root.a", "null", "FOR_EACH(items, a)", "CONCAT(user.a, b)", "1 / 0"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)
templates = st.sampled_from(["X", "{{a}}", "{{event_name}}-{{b}}", "{{items}}", "{{null}}"])


@st.composite
def mappings(draw: st.DrawFn) -> PartnerMapping:
    changes = []
    actions: list[Action] = draw(st.lists(st.sampled_from(["rename", "map", "delete", "set"]), max_size=3))
    for action in actions:
        other = {"set": formulas, "delete": st.just("")}.get(action, paths)
        changes.append(Change(action, draw(paths), draw(other)))
    return PartnerMapping(
        changes=tuple(changes),
        events=draw(st.dictionaries(st.sampled_from(["a", "b", "purchase"]), templates, max_size=2)),
        others=draw(st.sampled_from(["keep", "drop"])),
        parameters=draw(st.none() | st.dictionaries(st.sampled_from(sorted(STANDARD)), formulas, max_size=3)),
        custom=draw(st.dictionaries(paths, formulas, max_size=3)),
    )


@settings(deadline=None, max_examples=200)
@given(mappings(), st.dictionaries(names, values, max_size=5))
def test_a_mapping_never_raises_and_never_changes_what_others_see(
    mapping: PartnerMapping, event: dict[str, object]
) -> None:
    shared = copy.deepcopy(event)
    mapper = Mapper(mapping)
    own = mapper.copy(event)
    assert own == event
    made = mapper.map(own, Run(own, 0))
    assert event == shared
    alone: dict[str, object] = copy.deepcopy(event)
    again = mapper.map(alone, Run(alone, 0))
    assert (made, own) == (again, alone)
    if isinstance(made, Mapped):
        assert isinstance(json.loads(made.payload), dict)
    else:
        assert (made.kind, made.reason) in {("filtered", "unsupported_event"), ("rejected", "mapping_error")}
        assert not made.asked
