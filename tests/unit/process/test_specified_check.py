"""The check by a site's specification: `processing.md` §5, actions by environment and every rule."""

import itertools
from typing import Any

import pytest

from tests.unit.process.specified import CONTEXT, ENVIRONMENTS, USER, configured, event, outcome, with_rules
from turnout.model.change import Change
from turnout.model.cleansing import ModifyProperties, Rule

PLAN = {"type": "string", "enum": ["basic", "pro"], "required": True}
EVENTS = {"subscribe": {"properties": {"plan": PLAN, "seats": {"type": "integer"}}}}

SITUATIONS: dict[str, tuple[dict[str, object], str, str]] = {
    "missing": (event("subscribe", seats=1), "plan", "missing_required"),
    "format": (event("subscribe", plan="pro", seats="many"), "seats", "format"),
    "events": (event("unheard_of", seats=1), "event_name", "unspecified_event"),
    "properties": (event("subscribe", plan="pro", colour="red"), "colour", "unspecified_property"),
}
"""By the word of the action: an event with this one thing wrong, where, and the rule."""

TABLE: dict[str, dict[str, tuple[str, str, bool]]] = {
    "missing": {
        "accept": ("invalid_accepted", "accepted", True),
        "ignore": ("valid", "", True),
        "reject": ("invalid_rejected", "rejected", False),
    },
    "format": {
        "accept": ("invalid_accepted", "accepted", True),
        "omit": ("invalid_accepted", "omitted", False),
        "reject": ("invalid_rejected", "rejected", False),
    },
    "events": {
        "common": ("valid", "", True),
        "accept": ("invalid_accepted", "accepted", True),
        "ignore": ("valid", "", True),
        "reject": ("invalid_rejected", "rejected", False),
    },
    "properties": {
        "accept": ("invalid_accepted", "accepted", True),
        "ignore": ("valid", "", True),
        "omit": ("invalid_accepted", "omitted", False),
        "omit_silently": ("valid", "", False),
    },
}
"""`processing.md` §5.2 and §5.3: by action and option the status, what the violation says ("": there is none),
and whether the property stays."""

MATRIX = [
    (situation, option, environment, *expected)
    for situation, options in TABLE.items()
    for (option, expected), environment in itertools.product(options.items(), ENVIRONMENTS)
]


@pytest.mark.parametrize(("situation", "option", "environment", "status", "action", "stays"), MATRIX)
def test_action(situation: str, option: str, environment: str, status: str, action: str, stays: bool) -> None:
    """In the environment that has the option; the others have another one, and do what that says."""
    other = next(word for word in TABLE[situation] if word != option)
    actions = {name: {situation: option if name == environment else other} for name in ENVIRONMENTS}
    snapshot = configured({"actions": actions, "events": EVENTS})
    sent, path, rule = SITUATIONS[situation]
    done = outcome(snapshot, sent, environment)
    assert done.status == status
    if status == "invalid_rejected":
        assert (done.event, [(code, where) for code, where, _ in done.reasons]) == ({}, [(rule, path)])
    else:
        assert done.violations == ([(path, rule, action)] if action else [])
        assert (path in done.event) == (stays and path in sent)
        assert done.event == {name: value for name, value in sent.items() if name != path or stays}
    for name in ENVIRONMENTS:
        if name != environment:
            assert outcome(snapshot, sent, name).status == TABLE[situation][other][0]


def test_without_actions_nothing_is_lost_and_strangers_are_no_issue() -> None:
    snapshot = configured({"events": EVENTS})
    statuses = {situation: outcome(snapshot, sent).status for situation, (sent, _, _) in SITUATIONS.items()}
    assert statuses == {
        "missing": "invalid_accepted", "format": "invalid_accepted", "events": "valid", "properties": "valid",
    }  # fmt: skip


def test_the_worst_action_decides() -> None:
    strict = configured({"actions": {"production": {"missing": "reject", "format": "omit"}}, "events": EVENTS})
    assert outcome(strict, event("subscribe", seats="many")).status == "invalid_rejected"
    assert outcome(strict, event("subscribe", plan="pro", seats="many")).status == "invalid_accepted"


def test_a_required_property_that_is_omitted_is_missing() -> None:
    strict = configured({"actions": {"production": {"missing": "reject", "format": "omit"}}, "events": EVENTS})
    done = outcome(strict, event("subscribe", plan="golden"))
    assert (done.status, [code for code, _, _ in done.reasons]) == ("invalid_rejected", ["format", "missing_required"])


def test_sites_without_a_specification_go_by_the_standard_events() -> None:
    snapshot = configured(None)
    assert outcome(snapshot, event("search")).violations == [("search_term", "missing_required", "accepted")]
    assert outcome(snapshot, event("subscribe", seats="many")).status == "valid"


OMIT = {"production": {"format": "omit", "properties": "omit"}}

OMITTED: list[tuple[dict[str, object], dict[str, object], dict[str, object], list[str]]] = [
    ({"a": {"type": "number"}}, {"a": "12,30", "b": 1}, {}, ["a", "b"]),
    ({"o": {"type": "object"}}, {"o": {"deep": {"er": [1]}}}, {"o": {"deep": {"er": [1]}}}, []),
    ({"o.a": {"type": "number"}}, {"o": {"a": "x", "b": 1}}, {"o": {}}, ["o.a", "o.b"]),
    ({"o.a": {"type": "number"}}, {"o": 7}, {}, ["o"]),
    (
        {"l": {"type": "array<object>"}, "l.n": {"type": "integer"}},
        {"l": [{"n": 1}, {"n": "x"}, 5, {"m": 2}]},
        {"l": [{"n": 1}, {}, {}]},
        ["l.1.n", "l.2", "l.3.m"],
    ),
    ({"l": {"type": "array<string>"}}, {"l": ["a", {}, "b", []]}, {"l": ["a", "b"]}, ["l.1", "l.3"]),
    ({"l": {"type": "array<string>", "max_items": 1}}, {"l": ["a", "b"]}, {}, ["l"]),
    ({"l": {"type": "set<string>", "max_items": 1}}, {"l": ["a", "a"]}, {"l": ["a"]}, []),
    ({"e": {"type": ["number", "array<number>"]}}, {"e": [1, "x"]}, {"e": [1]}, ["e.1"]),
    ({"e": {"type": ["number", "boolean"]}}, {"e": "x"}, {}, ["e"]),
    ({"a": {"type": "any"}}, {"a": [{}, None, "x"]}, {"a": [{}, None, "x"]}, []),
    ({"a": {"type": "array<any>"}}, {"a": [{}, None, "x"]}, {"a": [{}, None, "x"]}, []),
    ({}, {"a.b": 1, "": 2, "{path}": 3}, {}, ["", "a.b", "{path}"]),
    ({}, {"nothing": None}, {"nothing": None}, []),
    ({}, {"integrations": {"x": {"y": 1}}, "test_code": "T"}, {"integrations": {"x": {"y": 1}}, "test_code": "T"}, []),
]


@pytest.mark.parametrize(("properties", "sent", "left", "paths"), OMITTED)
def test_omitted(
    properties: dict[str, object], sent: dict[str, object], left: dict[str, object], paths: list[str]
) -> None:
    snapshot = configured({"actions": OMIT, "events": {"e": {"properties": properties}}})
    done = outcome(snapshot, event("e", **sent))
    assert done.event == event("e", **left)
    assert sorted(path for path, _, _ in done.violations) == paths
    assert {action for _, _, action in done.violations} <= {"omitted"}


FITS: list[tuple[dict[str, object], list[object], list[object]]] = [
    ({"type": "string", "min_length": 2, "max_length": 3}, ["ab", "äöü", 12], ["a", "abcd", "", 1234, True]),
    ({"type": "string", "pattern": "^a+$"}, ["a", "aa"], ["b", "", "ab"]),
    ({"type": "string", "pattern": "b"}, ["abc"], ["ac"]),
    ({"type": "string", "enum": ["a", "{b}"]}, ["a", "{b}"], ["c", "A"]),
    ({"type": "string", "format": "email"}, ["a@b.example"], ["nobody"]),
    ({"type": "string", "format": "uuid", "pattern": "^0"}, ["0c6f1a52-6a0d-4b0a-9d2e-2f6c6a4b9b11"], ["0", "c"]),
    ({"type": "number", "minimum": 0, "maximum": 1.5}, [0, 1.5, "1.0"], [-1, 1.6, "2", "x", True]),
    ({"type": "number", "minimum": 0}, [0], [-0.5]),
    ({"type": "integer", "maximum": 9}, [9, 9.0, "9"], [10, 9.5, {}]),
    ({"type": "integer", "enum": [1, 2]}, [1, "2"], [3, "x"]),
    ({"type": "boolean"}, [True, "false", 0, 1, "1"], [2, "yes", []]),
    ({"type": "object"}, [{}, {"a": 1}], ["x", [], 0]),
    ({"type": "array<integer>", "min_items": 1}, [[1], ["1"], 1, "1"], [[], ["x"], {}, [[1]]]),
    ({"type": "array<string>", "max_length": 1}, [["a", "b"], "a"], [["ab"]]),
    ({"type": ["string", "array<string>"]}, ["a", ["a"], 5], [{}, [{}], True]),
    ({"type": ["integer", "boolean"], "minimum": 5}, [5, True, "true"], [4, "x"]),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "good", "bad"), FITS)
def test_format_rules(entry: dict[str, object], good: list[object], bad: list[object]) -> None:
    snapshot = configured({"events": {"e": {"properties": {"p": entry}}}})
    for value in good:
        assert outcome(snapshot, event("e", p=value)).violations == [], value
    for value in bad:
        done = outcome(snapshot, event("e", p=value))
        assert done.status == "invalid_accepted", value
        assert {rule for _, rule, _ in done.violations} == {"format"}
        assert done.event == event("e", p=value), "kept as it came"


COERCED: list[tuple[str, object, object]] = [
    ("number", "12", 12),
    ("boolean", "true", True),
    ("string", 5, "5"),
    ("array<string>", "a", ["a"]),
    ("array<number>", "7", [7]),
    ("set<string>", ["b", "a", "b", 1, "1"], ["b", "a", "1"]),
    ("set<object>", [{"x": 1}, {"x": 1}], [{"x": 1}]),
    ("set<any>", [1, True, 1, "1"], [1, True, "1"]),
    ("array<string>", ["a", "a"], ["a", "a"]),
]


@pytest.mark.parametrize(("kind", "sent", "kept"), COERCED)
def test_lossless_conversions_conform(kind: str, sent: object, kept: object) -> None:
    """`processing.md` §5.4."""
    snapshot = configured({"events": {"e": {"properties": {"p": {"type": kind}}}}})
    done = outcome(snapshot, event("e", p=sent))
    assert (done.status, done.event["p"]) == ("valid", kept)
    assert [type(one) for one in done.event["p"]] == [type(one) for one in kept] if isinstance(kept, list) else True


MESSAGES = [
    (event("subscribe"), "subscribe event requires .plan property"),
    (event("subscribe", plan="gold"), "should match one of basic, pro"),
    (event("subscribe", plan="pro", seats="x"), "should match the type integer"),
    (event("subscribe", plan="pro", x={}), "subscribe event has no .x property in its specification"),
    (event("{0}"), "{0} event is not in the specification"),
]


@pytest.mark.parametrize(("sent", "message"), MESSAGES)
def test_message(sent: dict[str, object], message: str) -> None:
    actions = {"production": {"events": "accept", "properties": "accept"}}
    done = outcome(configured({"actions": actions, "events": EVENTS}), sent)
    assert [words for _, _, words in done.reasons] == [message]


STRICT = {"production": {"missing": "reject", "format": "reject", "events": "reject", "properties": "accept"}}


def strictly(specification: dict[str, Any], sent: dict[str, object]) -> list[str]:
    """The paths that a strict check complains about."""
    done = outcome(configured({"actions": STRICT, **specification}), sent)
    return sorted({path for _, path, _ in done.reasons})


SEARCH = event("search", search_term="x")
ITEM = {"id": "S", "quantity": 1, "product": {"id": "P", "name": "n", "price": 1}}
VIDEO: dict[str, object] = {
    "video_session_id": "v", "content_asset_id": "a", "cursor_position": 1, "total_length": None, "full_screen": True,
    "bitrate": 1,
}  # fmt: skip
CART = event("view_cart", items=[ITEM])
EXTENDED: list[tuple[dict[str, Any], dict[str, object], list[str]]] = [
    ({}, SEARCH, []),
    ({}, {**SEARCH, "colour": "x"}, ["colour"]),
    ({"events": {"search": {"properties": {"colour": {"type": "string", "required": True}}}}}, SEARCH, ["colour"]),
    ({"events": {"search": {"properties": {"colour": {"type": "string"}}}}}, {**SEARCH, "colour": "x"}, []),
    ({"events": {"search": {"properties": {"search_term": {"required": False}}}}}, event("search"), []),
    ({"events": {"search": {"properties": {"search_term": {"type": "integer"}}}}}, SEARCH, ["search_term"]),
    ({"properties": {"search_term": {"type": "integer"}}}, SEARCH, ["search_term"]),
    ({"properties": {"search_term": {"type": "integer"}}}, event("search"), ["search_term"]),
    ({"properties": {"colour": {"type": "string"}}}, {**SEARCH, "colour": "x"}, ["colour"]),
    ({"standard": False}, SEARCH, ["event_name"]),
    ({"standard": False, "events": {"search": {}}}, SEARCH, ["search_term"]),
    ({"standard": False, "events": {"search": {"properties": {"search_term": {}}}}}, SEARCH, []),
    ({}, CART, []),
    ({}, {**CART, "items": [{**ITEM, "gift": True}]}, ["items.0.gift"]),
    ({"properties": {"items.gift": {"type": "boolean"}}}, {**CART, "items": [{**ITEM, "gift": True}]}, []),
    ({"properties": {"items.gift": {"type": "boolean"}}}, {**CART, "items": [{**ITEM, "gift": "?"}]}, ["items.0.gift"]),
    ({"properties": {"items.product.id": {"type": "integer"}}}, CART, ["items.0.product.id"]),
    ({"events": {"e": {"properties": {"items": {}}}}}, event("e", items=[ITEM]), []),
    ({"events": {"e": {"properties": {"items": {}}}}}, event("e", items=[{"gift": 1}]), ["items.0.gift"]),
    ({"events": {"e": {"properties": {"items.gift": {"type": "boolean"}}}}}, event("e", items=[{"gift": 1}]), []),
    ({"events": {"e": {"properties": {"value": None}}}}, event("e", value="x"), ["value"]),
    (
        {"events": {"view_item": {"properties": {"value": {"required": False}}}}},
        event("view_item", items=[], currency="EUR"),
        [],
    ),
    ({"events": {"video_full_screen_off": {}}}, event("video_full_screen_off", **VIDEO), []),
    ({}, {**SEARCH, "user": {**USER, "card": "1"}}, ["user.card"]),
    ({"properties": {"user.card": {"type": "string"}}}, {**SEARCH, "user": {**USER, "card": "1"}}, []),
    (
        {"properties": {"user.card": {"type": "string"}}},
        {**SEARCH, "user": {**USER, "card_md5": "x"}},
        ["user.card_md5"],
    ),
    ({}, {**SEARCH, "user": {**USER, "firstname_sha256": "0" * 64}}, []),
    ({"properties": {"user.email": {"required": True}}}, SEARCH, ["user.email"]),
    ({}, {**SEARCH, "context": {**CONTEXT, "made_up": {"x": 1}, "page": {"strange": 1}}}, []),
    ({"events": {"e": {}}}, event("e", user={**USER, "email": "nobody"}), ["user.email"]),
    (
        {"properties": {"address.city": {"type": "string"}}, "events": {"e": {"properties": {"address": {}}}}},
        event("e", address={"city": 1, "street": "s"}),
        ["address.street"],
    ),
    (
        {"properties": {"address.city": {"type": "string"}}, "events": {"e": {"properties": {"address.city": {}}}}},
        event("e", address="Rome"),
        ["address"],
    ),
]


@pytest.mark.parametrize(("specification", "sent", "paths"), EXTENDED)
def test_standard_events_and_definitions(
    specification: dict[str, Any], sent: dict[str, object], paths: list[str]
) -> None:
    assert strictly(specification, sent) == paths


COMMON: list[tuple[dict[str, object], list[str]]] = [
    (event("new", plan="pro", value=3, items=[ITEM]), []),
    (event("new", plan=1), []),
    (event("new", seats="x"), ["seats"]),
    (event("new", value="x"), ["value"]),
    (event("new", items=[{"quantity": "x"}]), ["items.0.quantity"]),
    (event("new", colour=1), ["colour"]),
    (event("new", status={}), ["status"]),
    (event("new", content_asset_id={}), []),
]


@pytest.mark.parametrize(("sent", "paths"), COMMON)
def test_events_that_nobody_declared_may_be_checked_by_all_declared_properties(
    sent: dict[str, object], paths: list[str]
) -> None:
    actions = {"production": {"events": "common", "properties": "accept", "missing": "reject"}}
    events = {**EVENTS, "renew": {"properties": {"plan": {"type": "integer", "required": True}}}}
    done = outcome(configured({"actions": actions, "events": events}), sent)
    assert sorted(path for path, _, _ in done.violations) == paths


def test_values_are_judged_before_an_event_is_enriched_and_what_is_required_after() -> None:
    """`processing.md` §1: what is supplied later is not missing, and later steps see clean values."""
    rows = ModifyProperties((Change("set", "plan", '"pro"'), Change("set", "seen", "seats + 1")))
    late = Rule(
        site="29", label="late", operation=rows, sources=frozenset({"29/production"}), timing="after_enrichment"
    )
    actions = {"production": {"missing": "reject", "format": "omit", "properties": "omit"}}
    properties = {"plan": PLAN, "seats": {"type": "integer", "required": True}}
    snapshot = with_rules(configured({"actions": actions, "events": {"subscribe": {"properties": properties}}}), late)
    done = outcome(snapshot, event("subscribe", seats="41", colour="red"))
    assert done.violations == [("colour", "unspecified_property", "omitted")]
    assert {name: done.event[name] for name in ("plan", "seats", "seen")} == {"plan": "pro", "seats": 41, "seen": 42}
    refused = outcome(snapshot, event("subscribe", seats="many"))
    assert (refused.status, [(code, path) for code, path, _ in refused.reasons]) == (
        "invalid_rejected",
        [("format", "seats"), ("missing_required", "seats")],
    )
    assert outcome(snapshot, event("search"), "staging").violations == [("search_term", "missing_required", "accepted")]


def test_names_that_clients_make_up_are_not_remembered() -> None:
    snapshot = configured({"actions": STRICT, "events": EVENTS})
    for name in ("", 5, None, "x" * 300):
        assert outcome(snapshot, {"event_name": name, "context": CONTEXT}).status == "invalid_rejected"


def test_a_hostile_event_gives_a_bounded_record_and_still_loses_all_that_must_go() -> None:
    strict = {"production": {"missing": "reject", "format": "omit", "properties": "omit"}}
    properties = {"l": {"type": "array<object>"}, "l.n": {"type": "integer"}, "l.m": {"type": "any"}}
    snapshot = configured({"actions": strict, "events": {"e": {"properties": properties}}})
    many = [{"n": "x", "strange": 1} for _ in range(1000)]
    done = outcome(snapshot, event("e", l=many, **{f"s{number}": number for number in range(1000)}))
    assert done.event == event("e", l=[{}] * 1000)
    assert len(done.violations) == 50


def test_what_an_event_is_refused_for_is_told_however_much_else_is_wrong() -> None:
    strict = {"production": {"missing": "reject", "properties": "accept"}}
    properties = {"l": {"type": "array<object>"}, "l.n": {"type": "integer", "required": True}}
    snapshot = configured({"actions": strict, "events": {"e": {"properties": properties}}})
    many: list[dict[str, object]] = [{"n": 1, "strange": 1} for _ in range(100)]
    done = outcome(snapshot, event("e", l=[*many, {}]))
    assert (done.status, len(done.reasons)) == ("invalid_rejected", 50)
    assert done.reasons[0] == ("missing_required", "l.100.n", "e event requires .l.100.n property")
