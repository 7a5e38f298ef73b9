"""`mapping` of a destination in `turnout.yaml`: what it becomes, and every way to get it wrong (`processing.md` §8)."""

import msgspec
import pytest

from turnout.control.configfile import load
from turnout.mapping.standard import STANDARD
from turnout.model.change import Change
from turnout.model.config import Snapshot
from turnout.model.errors import ConfigError, Problem
from turnout.model.partner import PartnerMapping

PATH = 'sites."29".destinations.d.mapping'


def loaded(mapping: object) -> Snapshot:
    destination = {"type": "file", "sources": ["shop"], "settings": {"path": "o"}, "mapping": mapping}
    sites = {"29": {"sources": {"shop": {"type": "web", "key": "k"}}, "destinations": {"d": destination}}}
    return load(msgspec.json.encode({"sites": sites}).decode(), {})


def problems(mapping: object) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        loaded(mapping)
    return caught.value.problems


@pytest.mark.parametrize(
    ("given", "mapping"),
    [
        (None, None),
        ({}, None),
        ({"properties": []}, None),
        ({"parameters": {}}, PartnerMapping(parameters=STANDARD)),
        (
            {"parameters": {
                "value": "NUMBER(value)", "content_type": '"product"', "user_email": "", "user_phone": None,
            }},
            PartnerMapping(
                parameters={
                    name: {"value": "NUMBER(value)", "content_type": '"product"'}.get(name, standard)
                    for name, standard in STANDARD.items()
                    if name not in ("user_email", "user_phone")
                }
            ),
        ),
        (
            {
                "properties": [{"action": "rename", "property": "devise", "to": "currency"}],
                "events": {"order": "Purchase", "purchase": "{{event_name}}"},
                "other_events": "drop",
                "custom": {"size": "items.0.size", "n": 5, "yes": True},
            },
            PartnerMapping(
                changes=(Change("rename", "devise", "currency"),),
                events={"order": "Purchase", "purchase": "{{event_name}}"},
                others="drop",
                custom={"size": "items.0.size", "n": "5", "yes": "true"},
            ),
        ),
    ],
)  # fmt: skip
def test_what_is_written_is_what_is_meant(given: object, mapping: PartnerMapping | None) -> None:
    snapshot = loaded(given)
    assert snapshot.destinations["29/d"].mapping == mapping
    assert snapshot.warnings == ()


@pytest.mark.parametrize(
    ("mapping", "path", "message"),
    [
        ("x", "", "Expected `object`, got `str`"),
        ({"event": {}}, ".event", "unknown setting"),
        ({"other_events": "lose"}, ".other_events", "Invalid enum value 'lose'"),
        ({"properties": [{"action": "set", "property": "a", "expression": "LOWR(b)"}]},
         ".properties[0].expression", "line 1, column 1: there is no function LOWR"),
        ({"properties": [{"action": "map", "property": "a"}]}, ".properties[0].from", "is missing"),
        ({"properties": [{"action": "set", "property": "user.consent_categories", "expression": "[]"}]},
         ".properties[0]", "changes user.consent_categories, the user's own choice"),
        ({"properties": [{"action": "rename", "property": "a", "to": "user.consent_categories"}]},
         ".properties[0]", "changes user.consent_categories, the user's own choice"),
        ({"events": {"a": ""}}, ".events.a", "must be the partner's name for it"),
        ({"events": {"a": 5}}, ".events.a", "must be the partner's name for it"),
        ({"events": {" ": "x"}}, '.events." "', "is no name of an event"),
        ({"events": {"a": "x{{y"}}, ".events.a", "line 1, column 2: this `{{` is not closed"),
        ({"parameters": {"valeu": "a"}}, ".parameters.valeu", "is no standard parameter"),
        ({"parameters": {"value": "a +"}}, ".parameters.value", "line 1, column 4: a value is missing at the end"),
        ({"parameters": {"value": "{{a}}"}}, ".parameters.value", "is a formula already"),
        ({"parameters": {"value": ["a"]}}, ".parameters.value", "must be a formula"),
        ({"custom": {"a": ""}}, ".custom.a", "has no value"),
        ({"custom": {"a": None}}, ".custom.a", "has no value"),
        ({"custom": {"a..b": "x"}}, '.custom."a..b"', "'a..b' is no path"),
        ({"custom": {"event_name.b": "x"}}, '.custom."event_name.b"',
         "leads through event_name, which has nothing inside"),
        ({"custom": {"user.consent_categories": "x"}}, '.custom."user.consent_categories"',
         "changes user.consent_categories"),
        ({"custom": {"a": {"b": 1}}}, ".custom.a", "must be a formula"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_place(mapping: object, path: str, message: str) -> None:
    (problem,) = problems(mapping)
    assert (problem.path, problem.message) == (PATH + path, message)


def test_every_problem_is_told_at_once() -> None:
    wrong = {"properties": [5, {"action": "delete", "property": ""}], "events": {"a": 1}, "custom": {"b": "("}}
    assert [one.path.removeprefix(PATH) for one in problems(wrong)] == [
        ".properties[0]",
        ".properties[1].property",
        ".events.a",
        ".custom.b",
    ]


def test_a_destination_may_leave_out_what_others_rely_on() -> None:
    rows = [
        {"action": "delete", "property": "user"},
        {"action": "delete", "property": "context"},
        {"action": "set", "property": "event_name", "expression": '"x"'},
    ]
    assert loaded({"properties": rows}).warnings == ()


def test_dropping_every_event_is_doubtful() -> None:
    (warning,) = loaded({"other_events": "drop"}).warnings
    assert (warning.path, warning.message) == (
        f"{PATH}.other_events",
        "drops every event: there is none in events",
    )
