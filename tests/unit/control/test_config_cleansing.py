"""Cleansing rules in `turnout.yaml`: what they become, and every way to get them wrong (`processing.md` §4)."""

import msgspec
import pytest

from turnout.control.configfile import load
from turnout.model.change import Change
from turnout.model.cleansing import DeriveEvent, FilterEvent, ModifyProperties, Operation, RenameEvent, Rule
from turnout.model.config import Snapshot
from turnout.model.errors import ConfigError, Problem

SOURCES = {
    "shop": {"type": "web", "key": "k1"},
    "app": {"type": "mobile", "key": "k2"},
    "lab": {"type": "web", "key": "k3", "environment": "staging"},
}
RULE = {"label": "r", "operation": "filter_event", "when": "a"}


def loaded(*rules: object) -> Snapshot:
    sites = {"29": {"sources": SOURCES, "cleansing": list(rules)}}
    return load(msgspec.json.encode({"sites": sites}).decode(), {})


def problems(*rules: object) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        loaded(*rules)
    prefix = 'sites."29".cleansing'
    return [
        msgspec.structs.replace(one, path=one.path.removeprefix(prefix).removeprefix("[0]").removeprefix("."))
        for one in caught.value.problems
    ]


def only(rule: object) -> Rule:
    (found,) = loaded(rule).cleansing
    return found


def row(**fields: object) -> dict[str, object]:
    """A rule with one row; `from_` stands for `from`."""
    fields = {name.removesuffix("_"): value for name, value in fields.items()}
    return {"label": "r", "operation": "modify_properties", "properties": [fields]}


def test_everything_left_out_has_its_default() -> None:
    assert only({"label": "r", "operation": "filter_event"}) == Rule(
        site="29", label="r", operation=FilterEvent(), sources=frozenset({"29/shop", "29/app"})
    )


def test_sources_that_are_named_are_the_only_ones() -> None:
    assert only({**RULE, "sources": ["shop"]}).sources == {"29/shop"}


def test_everything_given_is_taken() -> None:
    given = {
        "label": "Old orders",
        "description": "of 2019",
        "operation": "rename_event",
        "to": "purchase",
        "when": [
            {"property": "event_name", "operator": "is", "value": "order"},
            {"property": "page_type", "operator": "contains", "values": ["a", "b"]},
        ],
        "environment": "staging",
        "sources": ["lab"],
        "timing": "after_enrichment",
        "status": "inactive",
        "order": 3,
    }
    assert only(given) == Rule(
        site="29",
        label="Old orders",
        description="of 2019",
        operation=RenameEvent("purchase"),
        when='event_name = "order" && page_type CONTAINS("a", "b")',
        environment="staging",
        sources=frozenset({"29/lab"}),
        timing="after_enrichment",
        status="inactive",
    )


@pytest.mark.parametrize(
    ("rule", "operation"),
    [
        (row(action="rename", property="a", to="b"), ModifyProperties((Change("rename", "a", "b"),))),
        (row(action="rename", property="items.a", to="b"), ModifyProperties((Change("rename", "items.a", "items.b"),))),
        (row(action="rename", property="p.q", to="p.n"), ModifyProperties((Change("rename", "p.q", "p.n"),))),
        (row(action="map", property="a", from_="b.c"), ModifyProperties((Change("map", "a", "b.c"),))),
        (row(action="delete", property="a"), ModifyProperties((Change("delete", "a"),))),
        (row(action="set", property="a", expression="b * 2"), ModifyProperties((Change("set", "a", "b * 2"),))),
        (row(action="set", property="a", expression=5), ModifyProperties((Change("set", "a", "5"),))),
        (row(action="set", property="a", expression=-0.5), ModifyProperties((Change("set", "a", "-0.5"),))),
        (row(action="set", property="a", expression=True), ModifyProperties((Change("set", "a", "true"),))),
        (row(action="set", property="a", expression=None), ModifyProperties((Change("set", "a", "null"),))),
        ({"label": "r", "operation": "derive_event", "name": "lead"}, DeriveEvent("lead")),
        (
            {**row(action="delete", property="a"), "operation": "derive_event", "name": "lead"},
            DeriveEvent("lead", (Change("delete", "a"),)),
        ),
    ],
    ids=str,
)
def test_operations(rule: object, operation: Operation) -> None:
    assert only(rule).operation == operation


def test_rules_are_in_their_order_and_otherwise_as_listed() -> None:
    orders = {"a": 5, "b": None, "c": -1, "d": 5, "e": None}
    rules = [{**RULE, "label": label} | ({} if n is None else {"order": n}) for label, n in orders.items()]
    assert [rule.label for rule in loaded(*rules).cleansing] == ["c", "b", "e", "a", "d"]


WRONG = [
    (7, "", "Expected `object`, got `int`"),
    ({**RULE, "lable": "x"}, "lable", "unknown setting"),
    ({"operation": "filter_event"}, "label", "is missing"),
    ({**RULE, "label": ""}, "label", "Expected `str` of length >= 1"),
    ({**RULE, "label": "two\nlines"}, "label", "Expected `str` matching"),
    ({**RULE, "operation": "custom_code"}, "operation", "Invalid enum value 'custom_code'"),
    ({**RULE, "environment": "live"}, "environment", "Invalid enum value"),
    ({**RULE, "timing": "never"}, "timing", "Invalid enum value"),
    ({**RULE, "status": "deleted"}, "status", "Invalid enum value"),
    ({**RULE, "order": "first"}, "order", "Expected `int`"),
    ({**RULE, "sources": ["shp"]}, "sources[0]", "there is no source 'shp'"),
    ({**RULE, "sources": ["shop", "lab"]}, "sources[1]", "'lab' is of the environment staging"),
    ({**RULE, "to": "x"}, "to", "has no effect with operation: filter_event"),
    ({**RULE, "operation": "rename_event"}, "to", "is missing"),
    ({**RULE, "operation": "rename_event", "to": " "}, "to", "is no name for an event"),
    ({**RULE, "operation": "rename_event", "to": "x" * 257}, "to", "is no name for an event"),
    ({**RULE, "operation": "derive_event"}, "name", "is missing"),
    ({**RULE, "operation": "modify_properties"}, "properties", "is missing"),
    ({**RULE, "operation": "modify_properties", "properties": []}, "properties", "is empty"),
    ({**RULE, "when": ""}, "when", "is empty"),
    ({**RULE, "when": "a = "}, "when", "line 1, column 5: "),
    ({**RULE, "when": "a AND\n  UPPR(b)"}, "when", "line 2, column 3: there is no function UPPR"),
    ({**RULE, "when": 'a ~ "("'}, "when", "line 1, column 5: invalid pattern"),
    ({**RULE, "when": [{"property": "a", "operator": "si", "value": 1}]}, "when[0].operator", "'si' is no operator"),
    (row(action="move", property="a"), "properties[0].action", "Invalid enum value 'move'"),
    (row(action="delete"), "properties[0].property", "is missing"),
    (row(action="delete", property="a..b"), "properties[0].property", "'a..b' is no path"),
    (row(action="delete", property=".".join("a" * 33)), "properties[0].property", "has more than 32 segments"),
    (row(action="delete", property="a", to="b"), "properties[0].to", "has no effect with action: delete"),
    (row(action="map", property="a"), "properties[0].from", "is missing"),
    (row(action="map", property="a", from_="b."), "properties[0].from", "'b.' is no path"),
    (row(action="map", property="a", from_="event_name.b"), "properties[0].from", "leads through event_name"),
    (row(action="rename", property="a"), "properties[0].to", "is missing"),
    (row(action="rename", property="a", to="a"), "properties[0].to", "is the property itself"),
    (row(action="rename", property="a.b", to="a.b.c"), "properties[0].to", "is the property itself, or inside it"),
    (row(action="rename", property="items.0", to="x"), "properties[0].property", "is an element of an array"),
    (row(action="set", property="a"), "properties[0].expression", "is missing"),
    (row(action="set", property="a", expression=""), "properties[0].expression", "line 1, column 1: "),
    (row(action="set", property="a", expression="1,2"), "properties[0].expression", "line 1, column 2: the decimal"),
    (row(action="set", property="a", expression=[1]), "properties[0].expression", "Expected"),
    (row(action="set", property="event_name.a", expression=1), "properties[0].property", "leads through event_name"),
    (row(action="set", property="user", expression="x"), "properties[0]", "changes user.consent_categories"),
    (row(action="delete", property="user.consent_categories"), "properties[0]", "changes user.consent_categories"),
    (row(action="rename", property="a", to="user.consent_categories.b"), "properties[0]", "changes user.consent_categ"),
]


@pytest.mark.parametrize(("rule", "path", "message"), WRONG, ids=[f"{path}: {text}" for _, path, text in WRONG])
def test_what_can_never_work_is_refused_with_its_place(rule: object, path: str, message: str) -> None:
    (problem,) = problems(rule)
    assert problem.path == path
    assert problem.message.startswith(message)


def test_every_error_of_every_rule_is_told_at_once() -> None:
    several = row(action="set", property="a..b", expression="UPPR(x)")
    found = problems({**RULE, "when": "(", "sources": ["x"]}, several, {**RULE, "label": "r"}, {**RULE, "to": "x"})
    assert [problem.path for problem in found] == [
        "when",
        "sources[0]",
        "[1].label",
        "[1].properties[0].property",
        "[1].properties[0].expression",
        "[2].label",
        "[3].label",
        "[3].to",
    ]
    assert "did you mean UPPER?" in str(found[4])


def test_labels_are_unique_within_a_site_only() -> None:
    sites = {site: {"sources": {"s": {"type": "web", "key": site}}, "cleansing": [RULE]} for site in ("29", "30")}
    found = load(msgspec.json.encode({"sites": sites}).decode(), {}).cleansing
    assert [(rule.site, rule.label) for rule in found] == [("29", "r"), ("30", "r")]


@pytest.mark.parametrize(
    ("rule", "path", "message"),
    [
        (row(action="set", property="event_name", expression='"x"'), ".properties[0]", "changes event_name"),
        (row(action="delete", property="context.event_id"), ".properties[0]", "changes context.event_id"),
        (
            row(action="rename", property="context.event_timestamp", to="t"),
            ".properties[0]",
            "changes context.event_time",
        ),
        (row(action="map", property="context.event_id", from_="id"), ".properties[0]", "changes context.event_id"),
        ({"label": "r", "operation": "filter_event"}, ".when", "is missing: every event of these sources is dropped"),
        ({**RULE, "environment": "development"}, "", "concerns no source: none is of the environment development"),
        (row(action="set", property="n", expression='SUM(items, "price")'), ".properties[0].expression", "column 12: "),
        ({**RULE, "when": 'SUM(items, "price") > 1'}, ".when", "column 12: "),
    ],
    ids=str,
)
def test_what_is_probably_a_mistake_is_a_warning(rule: object, path: str, message: str) -> None:
    snapshot = loaded(rule)
    (warning,) = snapshot.warnings
    assert warning.path == f'sites."29".cleansing[0]{path}'
    assert warning.message.startswith(message)
    assert len(snapshot.cleansing) == 1


def test_consent_is_changed_by_who_confirms_it() -> None:
    snapshot = loaded(row(action="set", property="user.consent_categories", expression="[]", confirm=True))
    assert snapshot.warnings == ()
    assert len(snapshot.cleansing) == 1


def test_prod_is_production() -> None:
    assert only({**RULE, "environment": "prod"}).environment == "production"
