"""Cleansing rules on events: every operation, scope, order, timing, hits, derived events (`processing.md` §4)."""

import uuid

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from turnout.log.interface import Batch
from turnout.model.change import Change
from turnout.model.cleansing import (
    DeriveEvent,
    FilterEvent,
    ModifyProperties,
    Operation,
    RenameEvent,
    Rule,
    Timing,
)
from turnout.model.config import Snapshot, Source
from turnout.model.event import Processed, Reason, Received, decode_processed, encode
from turnout.model.specification import Actions, EventSpecification, Property, Specification
from turnout.process.build import STANDARD_CHAIN, chain_for
from turnout.process.chain import Chain, Draft, Step, Tally, process, process_batch

SHOP = frozenset({"29/shop"})
CONTEXT = {"event_id": "e-1", "event_timestamp": 1_700_000_000_000}


def rule(label: str, operation: Operation, when: str = "", timing: Timing = "reception") -> Rule:
    return Rule(site="29", label=label, operation=operation, sources=SHOP, when=when, timing=timing)


def modify(label: str, *changes: Change, when: str = "", timing: Timing = "reception") -> Rule:
    return rule(label, ModifyProperties(changes), when, timing)


def chain(*rules: Rule, tally: Tally | None = None) -> Chain:
    return chain_for(Snapshot(version="1", cleansing=rules), tally or Tally())


def received(event: dict[str, object], source: str = "29/shop", event_id: str = "e-1") -> Received:
    name = event.get("event_name")
    payload = msgspec.json.encode(event)
    return Received(event_id, source, str(name), "valid", 1_700_000_000_000, payload)


def cleansed(event: dict[str, object], *rules: Rule) -> list[tuple[Processed, dict[str, object]]]:
    """The records that the event gives, each with its event."""
    done = process(received({"context": CONTEXT, **event}), 0, chain(*rules))
    return [(one, msgspec.json.decode(one.payload) if one.payload else {}) for one in done]


def test_the_worked_example() -> None:
    event = {"event_name": "order", "devise": "EUR", "value": 10, "user": {"name": "Jane.Doe"}, "tax": 2}
    rules = (
        rule("purchases", RenameEvent("purchase"), 'event_name = "order"'),
        modify(
            "names",
            Change("map", "currency", "devise"),
            Change("delete", "devise"),
            Change("set", "revenue", "value*1.2"),
            Change("set", "user.firstname", 'EXTRACT(user.name, ".", 0)'),
            Change("rename", "tax", "tax_amount"),
            when='event_name = "purchase"',
        ),
    )
    ((record, result),) = cleansed(event, *rules)
    context = result.pop("context")
    assert record.name == "purchase"
    assert result == {
        "event_name": "purchase",
        "value": 10,
        "user": {"name": "Jane.Doe", "firstname": "Jane"},
        "currency": "EUR",
        "revenue": 12,
        "tax_amount": 2,
    }
    assert isinstance(context, dict)
    assert context["original_event_name"] == "order"


def test_a_renamed_event_keeps_its_first_name() -> None:
    ((_, event),) = cleansed({"event_name": "a"}, rule("1", RenameEvent("b")), rule("2", RenameEvent("c")))
    assert (event["event_name"], event["context"]) == ("c", {**CONTEXT, "original_event_name": "a"})
    ((_, event),) = cleansed({"event_name": "a"}, rule("same name", RenameEvent("a")))
    assert event["context"] == CONTEXT


def test_a_filtered_event_goes_no_further_and_names_the_rule() -> None:
    tally = Tally()
    rules = (rule("no bots", FilterEvent(), "bot"), modify("after", Change("set", "a", "1")))
    built = chain(*rules, tally=tally)
    assert tally.hits == {("29", "no bots"): 0, ("29", "after"): 0}
    (record,) = process(received({"event_name": "x", "bot": True}), 4, built)
    assert (record.status, record.payload, record.offset) == ("filtered", b"", 4)
    assert record.reasons == (Reason("filtered_by_rule", "", "no bots"),)
    assert tally.hits == {("29", "no bots"): 1, ("29", "after"): 0}


def test_rules_run_on_the_events_of_their_sources_alone() -> None:
    tally = Tally()
    built = chain(modify("mark", Change("set", "marked", "true")), tally=tally)
    for source in ("29/shop", "29/other", "30/shop", "29/shop"):
        (record,) = process(received({"event_name": "x"}, source), 0, built)
        assert (b"marked" in record.payload) == (source == "29/shop")
    assert tally.hits == {("29", "mark"): 2}


def test_a_configuration_without_active_rules_has_the_standard_chain() -> None:
    inactive = msgspec.structs.replace(rule("off", FilterEvent()), status="inactive")
    assert chain() == chain(inactive) == STANDARD_CHAIN


def test_a_condition_that_fails_does_not_hold_and_is_told() -> None:
    always_too_long = "LENGTH(CONCAT(a, a, a, a)) > 0"
    event: dict[str, object] = {"event_name": "x", "a": "x" * 10_000}
    ((record, found),) = cleansed(event, rule("drop", FilterEvent(), always_too_long))
    assert record.status == "valid"
    assert record.warnings == ("formula_warning",)
    context = found["context"]
    assert isinstance(context, dict)
    ((warning),) = context["warnings"]
    assert (warning["type"], warning["step"], warning["path"]) == ("formula", "cleansing", "")
    assert (warning["detail"]["code"], warning["detail"]["rule"]) == ("limit", "drop")


def test_warnings_are_told_once_per_code_and_rule() -> None:
    rows = [Change("set", name, "note - 1") for name in ("a", "b")]
    tally = Tally()
    built = chain(modify("1", *rows), modify("2", *rows), tally=tally)
    (record,) = process(received({"event_name": "x", "note": "text", "context": CONTEXT}), 0, built)
    event = msgspec.json.decode(record.payload)
    assert record.warnings == ("formula_warning",)
    assert (event["a"], event["b"]) == (None, None)
    context = event["context"]
    told = [(one["path"], one["detail"]["code"], one["detail"]["rule"]) for one in context["warnings"]]
    assert told == [("a", "not_a_number", "1"), ("a", "not_a_number", "2")]
    assert tally.warnings == {("29", "1"): 2, ("29", "2"): 2}


def test_formulas_know_the_time_of_reception_so_that_a_replay_agrees() -> None:
    ((_, event),) = cleansed({"event_name": "x"}, modify("stamp", Change("set", "at", "TIMESTAMP()")))
    assert event["at"] == 1_700_000_000_000


DERIVE = rule(
    "leads", DeriveEvent("lead", (Change("set", "value", "value / 2"), Change("delete", "items"))), "value > 5"
)


def test_a_derived_event_is_a_copy_with_changes_and_a_pointer_to_its_parent() -> None:
    event: dict[str, object] = {"event_name": "purchase_x", "value": 10, "items": [1], "user": {"id": "u"}}
    (own, original), (derived, copy) = cleansed(event, DERIVE)
    assert original == {**event, "context": CONTEXT}
    assert copy == {
        "event_name": "lead",
        "value": 5,
        "user": {"id": "u"},
        "context": {**CONTEXT, "event_id": derived.event_id, "derived_from": "e-1"},
    }
    assert uuid.UUID(derived.event_id).version == 5
    assert (own.derived, own.derived_from) == ((derived.event_id,), "")
    assert (derived.derived, derived.derived_from) == ((), "e-1")
    assert (derived.name, derived.source, derived.user_key, derived.offset) == ("lead", "29/shop", "u", own.offset)


def test_the_id_of_a_derived_event_follows_from_its_parent_and_the_rule() -> None:
    other = msgspec.structs.replace(DERIVE, label="others")

    def ids(event_id: str, source: str = "29/shop") -> tuple[str, ...]:
        both = frozenset({"29/shop", "29/app"})
        rules = [msgspec.structs.replace(one, sources=both) for one in (DERIVE, other)]
        return process(received({"event_name": "x", "value": 9}, source, event_id), 0, chain(*rules))[0].derived

    assert ids("e-1") == ids("e-1")
    assert len({*ids("e-1"), *ids("e-2"), *ids("e-1", "29/app")}) == 6


def test_a_derived_event_enters_behind_cleansing_and_derives_nothing() -> None:
    late = msgspec.structs.replace(DERIVE, label="late", timing="after_enrichment")
    marks = (
        modify("early", Change("set", "early", "1")),
        modify("end", Change("set", "end", "1"), timing="after_enrichment"),
    )
    records = cleansed({"event_name": "x", "value": 9}, DERIVE, marks[0], late, marks[1])
    assert [(one.name, "early" in event, "end" in event) for one, event in records] == [
        ("x", True, True),
        ("lead", False, True),
        ("lead", True, True),
    ]


def test_rules_that_derive_leave_derived_events_alone() -> None:
    tally = Tally()
    late = msgspec.structs.replace(DERIVE, label="late", timing="after_enrichment")
    assert len(process(received({"event_name": "x", "value": 19}), 0, chain(DERIVE, late, tally=tally))) == 3
    assert tally.hits == {("29", "leads"): 1, ("29", "late"): 1}


def test_a_derived_event_was_never_renamed() -> None:
    (_, original), (_, event) = cleansed({"event_name": "x"}, rule("1", RenameEvent("y")), rule("2", DeriveEvent("z")))
    assert "original_event_name" in str(original["context"])
    assert "original_event_name" not in str(event["context"])


def test_a_derived_event_is_checked_on_its_own() -> None:
    purchase = rule("sales", DeriveEvent("purchase"))
    (own, _), (derived, event) = cleansed({"event_name": "x"}, purchase)
    assert (own.status, derived.status) == ("valid", "invalid_accepted")
    assert "missing_required" in {reason.code for reason in derived.reasons}
    assert "dataquality" in str(event["context"])


def test_an_event_that_is_filtered_after_it_derived_one_lives_on_in_that() -> None:
    records = cleansed({"event_name": "x", "value": 9}, DERIVE, rule("drop", FilterEvent()))
    assert [(one.name, one.status) for one, _ in records] == [("x", "filtered"), ("lead", "valid")]


def test_what_derives_before_its_parent_is_refused_is_judged_on_its_own_and_what_would_later_is_not_made() -> None:
    source = Source(site="29", name="shop", type="server", environment="production", key="k")
    fitting = EventSpecification(properties={"value": Property(type="number", required=True)})
    refusing = Specification(
        actions={"production": Actions(missing="reject", format="reject")}, events={"x": fitting, "lead": fitting}
    )
    rules = (
        rule("early", DeriveEvent("lead", (Change("set", "value", "COALESCE(value, 1)"),))),
        rule("late", DeriveEvent("never"), timing="after_enrichment"),
    )
    snapshot = Snapshot(version="1", sources={source.ref: source}, cleansing=rules, specifications={"29": refusing})
    for event, statuses in (
        ({"event_name": "x", "value": "no number"}, [("x", "invalid_rejected"), ("lead", "invalid_rejected")]),
        ({"event_name": "x"}, [("x", "invalid_rejected"), ("never", "valid"), ("lead", "valid")]),
    ):
        records = process(received({"context": CONTEXT, **event}), 0, chain_for(snapshot, Tally()))
        assert sorted((one.name, one.status) for one in records) == sorted(statuses), event
        assert [bool(one.payload) for one in records] == [one.status == "valid" for one in records]


def broken(draft: Draft) -> None:
    if draft.event["event_name"] == "x":
        raise KeyError("discount")


def test_what_a_failed_event_derived_waits_for_its_replay() -> None:
    (record,) = process(received({"event_name": "x", "value": 9}), 0, (*chain(DERIVE), Step("broken", broken)))
    assert (record.status, record.derived) == ("failed", ())


def test_a_derived_event_that_fails_is_kept_as_it_was_derived() -> None:
    built = (*chain(DERIVE), Step("broken", broken))
    own, derived = process(
        received({"event_name": "y", "value": 9}), 0, (*chain(rule("d", DeriveEvent("x"))), built[-1])
    )
    assert (own.status, derived.status, derived.derived_from) == ("valid", "failed", "e-1")
    assert derived.reasons == (Reason("step_failed", "", "broken: KeyError: 'discount'"),)
    assert msgspec.json.decode(derived.payload)["context"]["derived_from"] == "e-1"


def test_derived_records_stand_behind_their_parent_in_the_batch() -> None:
    events = [{"event_name": "x", "value": 9}, {"event_name": "y", "value": 1}, {"event_name": "z", "value": 8}]
    batch = Batch(40, 9, [encode(received(event, event_id=str(n))) for n, event in enumerate(events)])
    records, counts = process_batch(batch, chain(DERIVE))
    assert [(one.name, one.offset) for one in map(decode_processed, records)] == [
        ("x", 40),
        ("lead", 40),
        ("y", 41),
        ("z", 42),
        ("lead", 42),
    ]
    assert counts == {("29/shop", "valid"): 5}
    assert process_batch(batch, chain(DERIVE))[0] == records


names = st.sampled_from(["a", "b", "items", "context", "user", "event_name", "0"])
paths = st.lists(names, min_size=1, max_size=3).map(".".join)
formulas = st.sampled_from(["a", "root", "items", "a + 1", "b.a ~ a", "SUM(items, a)", "CONTEXT", "EXISTS(user.a)"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)
changes = st.builds(Change, st.sampled_from(["rename", "map", "delete", "set"]), paths, paths).flatmap(
    lambda change: (
        formulas.map(lambda text: msgspec.structs.replace(change, other=text))
        if change.action == "set"
        else st.just(change)
    )
)
several = st.lists(changes, max_size=3).map(tuple)
operations = (
    st.builds(RenameEvent, st.text(min_size=1, max_size=5))
    | st.builds(ModifyProperties, several)
    | st.builds(DeriveEvent, st.text(min_size=1, max_size=5), several)
    | st.just(FilterEvent())
)
rules_of_any_kind = st.lists(
    st.builds(rule, st.text(max_size=3), operations, formulas, st.sampled_from(["reception", "after_enrichment"])),
    max_size=6,
)


@given(st.dictionaries(names, values, max_size=5), rules_of_any_kind)
def test_rules_never_fail_and_never_lose_an_event(event: dict[str, object], rules: list[Rule]) -> None:
    own, *derived = process(received(event), 3, chain(*rules))
    assert own.event_id == "e-1"
    assert own.status in ("valid", "invalid_accepted", "filtered"), own.reasons
    assert own.derived == tuple(one.event_id for one in derived)
    assert len(derived) <= sum(isinstance(one.operation, DeriveEvent) for one in rules)
    for one in derived:
        assert one.status in ("valid", "invalid_accepted", "filtered"), one.reasons
        assert one.derived_from == "e-1"
    assert own.status != "filtered" or any(isinstance(one.operation, FilterEvent) for one in rules)


def test_both_times_of_cleansing_come_before_the_check() -> None:
    late = modify("late", Change("delete", "a"), timing="after_enrichment")
    built = chain(late, modify("early", Change("delete", "a")))
    assert [step.name for step in built] == ["cleanse", "cleanse_after_enrichment", "check"]
    assert [step.name for step in chain(late)] == ["cleanse_after_enrichment", "check"]
