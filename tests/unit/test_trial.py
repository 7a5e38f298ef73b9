"""An event tried out: every state, every destination's verdict, and the same result as in earnest."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from turnout.cli import app
from turnout.cli.try_event import changes
from turnout.control.configfile import load
from turnout.judge import judge
from turnout.model.trial import Trial
from turnout.trial import attempt

NOW_MS = 1_795_000_000_000
CONFIG = """
sites:
  "29":
    sources:
      shop: {type: server, key: k1}
      other: {type: server, key: k2}
    destinations:
      archive: {type: file, sources: [shop], settings: {path: out/x.ndjson}}
      hook:
        type: webhook
        sources: [shop]
        consent: ["3", "4"]
        filter: value > 5
        settings: {url: "https://partner.example/in?k={{plan}}", headers: {X-Api-Key: 4f1c2b7a90}}
      narrow: {type: file, sources: [shop], event_names: [purchase], settings: {path: out/n.ndjson}}
      unlinked: {type: file, sources: [other], settings: {path: out/o.ndjson}}
      asleep: {type: file, sources: [shop], status: inactive, settings: {path: out/a.ndjson}}
      mapped:
        type: webhook
        sources: [shop]
        dry_mode: true
        mapping: {properties: [{action: rename, property: plan, to: tariff}]}
        settings: {url: "https://mapped.example/"}
    cleansing:
      - {label: No robots, when: 'user.robot = true', operation: filter_event}
      - {label: Short names, when: 'event_name = "sub"', operation: rename_event, to: subscribe}
      - {label: Late, operation: modify_properties, timing: after_enrichment,
         properties: [{action: set, property: doubled, expression: value * 2}]}
      - {label: Leads, when: 'value > 5', operation: derive_event, name: lead}
    specification:
      actions: {production: {missing: reject, format: omit, properties: omit}}
      events:
        subscribe: {properties: {plan: {type: string, required: true}, value: }}
        lead: {properties: {plan: {type: string}, value: }}
"""
USER = {"consistent_anonymous_id": "1", "consent_categories": [3, 4]}


def event(**properties: object) -> bytes:
    whole = {"event_name": "sub", "plan": "pro", "value": "7", "user": USER, "context": {"event_id": "e-1"}}
    return json.dumps({**whole, **properties}).encode()


def tried(body: bytes) -> list[Trial]:
    snapshot = load(CONFIG, {})
    status, trials = attempt(snapshot, snapshot.sources["29/shop"], body, NOW_MS)
    assert (status, [one.event_id for one in trials][:1]) == (200, ["e-1"])
    return trials


EVENTS = [
    event(),
    event(colour="red", plan=5),
    event(value=1),
    event(plan=None),
    event(event_name="unheard_of", items=[{"x": 1}]),
    event(user={"robot": True}),
    event(user={**USER, "consent_categories": []}),
    event(context={"event_id": "e-1", "event_timestamp": 5}),
]


@pytest.mark.parametrize("body", EVENTS)
def test_a_trial_comes_to_what_processing_comes_to(body: bytes) -> None:
    snapshot = load(CONFIG, {})
    _, judged = judge(snapshot, snapshot.sources["29/shop"], body, NOW_MS)
    in_earnest = [one for _, processed in judged for one in processed]
    trials = tried(body)
    assert [(one.event_id, one.status, one.reasons) for one in trials] == [
        (one.event_id, one.status, list(one.reasons)) for one in in_earnest
    ]
    for trial, processed in zip(trials, in_earnest, strict=True):
        events = [trial.received, *(state.event for state in trial.states if state.event is not None)]
        if trial.event is not None:
            assert trial.event == events[-1] == json.loads(processed.payload)
            assert trial.status == trial.states[-1].status


def test_every_step_is_shown_with_what_it_did() -> None:
    trial, lead = tried(event(colour="red"))
    assert [(one.step, one.rule, one.applied, one.event is not None) for one in trial.states] == [
        ("cleanse", "No robots", False, False),
        ("cleanse", "Short names", True, True),
        ("cleanse", "Leads", True, False),
        ("normalise", "", True, True),
        ("cleanse_after_enrichment", "Late", True, True),
        ("check", "", True, False),
    ]
    assert [(one.code, one.path) for one in trial.states[3].reasons] == [("unspecified_property", "colour")]
    assert [one.step for one in lead.states] == ["normalise", "cleanse_after_enrichment", "check"]
    assert (lead.event_name, lead.derived_from) == ("lead", "e-1")


def outcomes(trial: Trial) -> dict[str, tuple[str, str]]:
    return {one.destination.partition("/")[2]: (one.outcome, one.reason) for one in trial.destinations}


def test_every_destination_says_what_it_would_do() -> None:
    trial, _ = tried(event())
    assert outcomes(trial) == {
        "archive": ("send", ""),
        "hook": ("send", ""),
        "narrow": ("filtered", "event_name"),
        "unlinked": ("not_offered", ""),
        "asleep": ("not_offered", "inactive"),
        "mapped": ("dry_run", ""),
    }
    by_name = {one.destination.partition("/")[2]: one for one in trial.destinations}
    hook = by_name["hook"]
    assert (hook.required, hook.mode, hook.given, hook.filter) == (["3", "4"], "all", ["3", "4"], "value > 5")
    assert hook.request is not None
    assert (hook.request.method, hook.request.url) == ("POST", "https://partner.example/in?k=pro")
    assert hook.request.headers["X-Api-Key"] == "***"
    assert json.loads(hook.request.body) == trial.event
    mapped: Any = by_name["mapped"].event
    assert (mapped["tariff"], "plan" in mapped) == ("pro", False)
    assert [one.linked for one in trial.destinations] == [True, True, True, False, True, True]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (event(user={**USER, "consent_categories": [3]}), ("filtered", "consent")),
        (event(value=5), ("filtered", "condition")),
        (event(plan=None), ("not_offered", "")),
    ],
)
def test_what_stops_an_event(body: bytes, outcome: tuple[str, str]) -> None:
    assert outcomes(tried(body)[0])["hook"] == outcome


def command(tmp_path: Path, body: bytes, *arguments: str) -> Result:
    (tmp_path / "turnout.yaml").write_text(CONFIG)
    words = ["try", "event", "-", "--config", str(tmp_path / "turnout.yaml"), *arguments]
    return CliRunner().invoke(app, words, input=body, env={"TURNOUT_DATA": str(tmp_path / "data")})


def test_the_command_tells_it_to_people_and_machines(tmp_path: Path) -> None:
    done = command(tmp_path, event(colour="red"))
    assert done.exit_code == 0
    for line in (
        "cleanse    No robots: does not apply",
        'event_name: "sub" → "subscribe"',
        'colour: "red" → -',
        "unspecified_property at colour: subscribe event has no .colour property in its specification",
        "29/hook              send",
        "request            POST https://partner.example/in?k=pro",
        "29/unlinked          not offered: the source is not linked",
        "lead  derived from e-1",
    ):
        assert line in done.stdout
    document = json.loads(command(tmp_path, event(colour="red"), "--json").stdout)
    assert document["http_status"] == 200
    assert document["events"][0]["reasons"] == [
        {
            "code": "unspecified_property",
            "path": "colour",
            "message": "subscribe event has no .colour property in its specification",
        }
    ]
    assert not (tmp_path / "data").exists(), "nothing is written"


@pytest.mark.parametrize(
    ("body", "arguments", "code", "words"),
    [
        (event(plan=None, value=1), (), 1, "invalid_rejected"),
        (b"{", (), 1, "invalid_json"),
        (event(), ("--site", "30"), 2, "there is no such source; there are 29/shop, 29/other"),
        (event(), ("--source", "other"), 0, "29/unlinked          send"),
    ],
)
def test_the_command_s_exit_codes(
    tmp_path: Path, body: bytes, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = command(tmp_path, body, *arguments)
    assert (done.exit_code, words in done.output) == (code, True)


def test_without_any_configuration_it_says_what_to_do(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["try", "event", "-"], input=b"{}", env={"TURNOUT_DATA": str(tmp_path)})
    assert (done.exit_code, "no configuration was applied yet" in done.output) == (2, True)


def test_changes_between_two_values() -> None:
    before = {"a": 1, "b": {"c": True}, "l": [1, 2], "m": [1]}
    after = {"a": 1, "b": {"c": 1}, "l": [1, "2"], "m": [], "n": None}
    assert list(changes(before, after)) == [
        ("b.c", "true", "1"), ("l.1", "2", '"2"'), ("m", "[1]", "[]"), ("n", "-", "null"),
    ]  # fmt: skip
