"""Trying over the API: every state of an event, drafts, formulas with their mistakes, and what an editor completes."""

from collections.abc import Iterator

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.server import BACKEND, Server, until

SECRET = "4f1c2b7a90-secret"
CONFIG = f"""
sites:
  "29":
    time_zone: Europe/Paris
    sources:
      backend: {{type: server, key: {BACKEND}}}
      closed: {{type: server, key: b1946ac9-2490-4a5b-9d61-000000000029, status: inactive}}
    destinations:
      crm:
        type: webhook
        sources: [backend]
        consent: "3"
        filter: value > 10
        mapping: {{properties: [{{action: rename, property: plan, to: tariff}}]}}
        settings: {{url: "http://127.0.0.1:9/{{{{user.id}}}}", headers: {{Authorization: {SECRET}}}}}
      archive: {{type: file, sources: [backend], event_names: [subscribe], settings: {{path: out/all.ndjson}}}}
    cleansing:
      - {{label: No robots, when: user.robot = true, operation: filter_event}}
      - {{label: Short names, when: 'event_name = "sub"', operation: rename_event, to: subscribe}}
      - label: Gross
        operation: modify_properties
        properties:
          - {{action: set, property: value, expression: value * 1.2}}
          - {{action: set, property: day, expression: 'DATEFORMAT(plan, "yyyy")'}}
      - {{label: Also a lead, when: value > 100, operation: derive_event, name: lead}}
    specification:
      properties: {{plan: {{type: string, label: Plan, pii: true}}}}
      events: {{subscribe: {{properties: {{plan: , value: }}}}}}
  "31":
    sources:
      other: {{type: server, key: b1946ac9-2490-4a5b-9d61-000000000031}}
"""
SUB = {
    "event_name": "sub",
    "plan": "pro",
    "value": 100,
    "user": {"id": "u/1", "consent_categories": ["3"]},
    "context": {"event_id": "t-1", "event_timestamp": 1_764_000_000_000, "device": {"ip": "203.0.113.77"}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("try") / "data", CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(server: Server) -> dict[str, str]:
    return {
        "viewer": token_for(server, "viewer", "29"),
        "editor": token_for(server, "editor", "29"),
        "admin": token_for(server, "admin", "29"),
        "owner": token_for(server, "admin", "*"),
        "narrow": token_for(server, "custom", "29", scopes=("inspector:read",)),
    }


def ask(server: Server, token: str, what: str, **attributes: object) -> Reply:
    return call(server, "POST", f"/v2/29/try/{what}", token, {"data": {"attributes": attributes}})


def said(reply: Reply) -> dict[str, object]:
    assert reply.status == 200, reply.body
    found = at(reply.json, "data", "attributes")
    assert isinstance(found, dict)
    return found


def test_an_event_is_shown_after_every_step_and_at_every_destination(server: Server, tokens: dict[str, str]) -> None:
    found = said(ask(server, tokens["viewer"], "event", payload=SUB))
    assert (found["http_status"], found["source"]) == (200, "backend")
    assert found["hits"] == {"No robots": 0, "Short names": 1, "Gross": 1, "Also a lead": 1}
    first, second = items(found["events"])
    assert at(first, "received", "event_name") == "sub"
    steps = items(first["steps"])
    assert [(one["step"], one["rule"], one["applied"]) for one in steps] == [
        ("cleanse", "No robots", False),
        ("cleanse", "Short names", True),
        ("cleanse", "Gross", True),
        ("cleanse", "Also a lead", True),
        ("check", None, True),
    ]
    assert steps[0]["event"] is None
    renamed = {"path": "event_name", "change": "changed", "before": "sub", "after": "subscribe"}
    assert renamed in items(steps[1]["changes"])
    gross = {one["path"]: (one["change"], one["before"], one["after"]) for one in items(steps[2]["changes"])}
    assert gross["value"] == ("changed", 100, 120)
    assert gross["day"] == ("added", None, None)
    assert steps[2]["warnings"] == ["formula_warning"]
    assert at(steps[2], "event", "context", "warnings", 0, "detail", "rule") == "Gross"
    assert at(first, "event", "context", "device", "ip") == "203.0.113.0"

    crm, archive = items(first["destinations"])
    assert (crm["name"], crm["outcome"], crm["filter"]) == ("crm", "send", "value > 10")
    assert crm["consent"] == {"required": ["3"], "mode": "all", "given": ["3"]}
    assert at(crm, "event", "tariff") == "pro"
    assert at(crm, "request", "url") == "http://127.0.0.1:9/u%2F1"
    assert SECRET not in str(found)
    assert (archive["outcome"], at(archive, "body", "plan")) == ("send", "pro")
    assert (second["event_name"], second["derived_from"]) == ("lead", "t-1")
    crm, archive = items(second["destinations"])
    assert (archive["outcome"], archive["reason"]) == ("filtered", "event_name")


def test_what_is_refused_or_filtered_says_why(server: Server, tokens: dict[str, str]) -> None:
    def tried(source: object = "backend", **more: object) -> dict[str, object]:
        found = said(ask(server, tokens["viewer"], "event", payload={**SUB, **more}, source=source))
        return items(found["events"])[0]

    robot = tried(user={"robot": True, "consent_categories": []})
    assert (robot["status"], robot["event"], at(robot, "reasons", 0, "message")) == ("filtered", None, "No robots")
    (only,) = items(robot["steps"])
    assert (only["rule"], only["status"]) == ("No robots", "filtered")
    assert {one["outcome"] for one in items(robot["destinations"])} == {"not_offered"}
    assert at(tried("closed"), "reasons", 0, "code") == "source_inactive"
    crm = items(tried(user={"consent_categories": ["1"]})["destinations"])[0]
    assert (crm["outcome"], crm["reason"], at(crm, "consent", "given")) == ("filtered", "consent", ["1"])


def test_a_recorded_event_is_tried_as_it_was_received(server: Server, tokens: dict[str, str]) -> None:
    assert server.post({**SUB, "context": {"event_id": "kept-1", "device": {"ip": "203.0.113.77"}}})[0] == 200
    until(lambda: server.trace("kept-1"), "the event")
    refused = ask(server, tokens["viewer"], "event", event_id="kept-1")
    assert (refused.status, refused.codes) == (403, ["MISSING_SCOPE"])
    (first, _) = items(said(ask(server, tokens["editor"], "event", event_id="kept-1"))["events"])
    assert (at(first, "received", "event_name"), first["event_name"]) == ("sub", "subscribe")
    assert first["status"] == server.trace("kept-1")[0]["status"]
    looked = items(call(server, "GET", "/v2/29/activity-logs", tokens["admin"]).json["data"])
    assert any(at(one, "attributes", "description") == "view events kept-1" for one in looked)
    assert ask(server, tokens["editor"], "event", event_id="never").status == 404


def test_parts_of_a_site_are_tried_before_they_are_saved(server: Server, tokens: dict[str, str]) -> None:
    draft = {
        "cleansing": [
            {
                "label": "Draft",
                "operation": "modify_properties",
                "properties": [{"action": "set", "property": "note", "expression": '"${HOME}" + plan'}],
            }
        ],
        "destinations": {"crm": {"filter": 'note CONTAINS "pro"', "consent": None, "mapping": None}},
    }
    found = said(ask(server, tokens["editor"], "event", payload=SUB, draft=draft))
    assert found["hits"] == {"Draft": 1}
    (event,) = items(found["events"])
    assert at(event, "event", "note") == "${HOME}pro"
    crm = items(event["destinations"])[0]
    assert (crm["outcome"], crm["consent"], crm["event"]) == ("send", None, None)
    assert ask(server, tokens["viewer"], "event", payload=SUB, draft=draft).codes == ["MISSING_SCOPE"]
    applied = said(ask(server, tokens["viewer"], "event", payload=SUB))
    assert "Draft" not in str(applied)

    wrong = {
        "cleansing": [
            {"label": "A", "operation": "rename_event"},
            {"label": "B", "operation": "filter_event", "when": "LOWR(x)"},
        ],
        "destinations": {"crm": {"filter": "value >"}},
    }
    refused = ask(server, tokens["editor"], "event", payload=SUB, draft=wrong)
    assert refused.status == 422
    faults = {at(one, "meta", "path"): one for one in items(refused.json["errors"])}
    assert set(faults) == {
        'sites."29".cleansing[0].to',
        'sites."29".cleansing[1].when',
        'sites."29".destinations.crm.filter',
    }
    assert "LOWER" in str(faults['sites."29".cleansing[1].when'])
    unknown = ask(server, tokens["editor"], "event", payload=SUB, draft={"destinations": {"crn": {"filter": "1"}}})
    assert at(unknown.json, "errors", 0, "source", "pointer") == "/data/attributes/draft/destinations/crn"


def test_a_whole_draft_is_for_those_who_may_apply_one(server: Server, tokens: dict[str, str]) -> None:
    draft = f'sites: {{"29": {{sources: {{fresh: {{type: server, key: {BACKEND}}}}}}}}}'
    for role in ("viewer", "editor"):
        assert ask(server, tokens[role], "event", payload=SUB, configuration=draft).codes == ["MISSING_SCOPE"]
    assert ask(server, tokens["admin"], "event", payload=SUB, configuration=draft).status == 404
    found = said(ask(server, tokens["owner"], "event", payload=SUB, configuration=draft))
    assert (found["source"], found["hits"], items(found["events"])[0]["destinations"]) == ("fresh", {}, [])
    refused = ask(server, tokens["owner"], "event", payload=SUB, configuration="sites: {a: {sorces: 1}, b: 2}")
    assert (refused.status, len(items(refused.json["errors"]))) == (422, 2)


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({}, "/data/attributes"),
        ({"payload": {}, "event_id": "x"}, "/data/attributes"),
        ({"payload": {}, "source": "nobody"}, "/data/attributes/source"),
        ({"payload": {}, "source": 99}, "/data/attributes/source"),
        ({"payload": {"batch": [{}] * 51}}, "/data/attributes/payload/batch"),
        ({"payload": {}, "draft": {}, "configuration": "x"}, "/data/attributes"),
    ],
)
def test_a_request_that_can_not_be_meant_is_told_where(
    server: Server, tokens: dict[str, str], attributes: dict[str, object], pointer: str
) -> None:
    reply = ask(server, tokens["owner"], "event", **attributes)
    assert (reply.status, at(reply.json, "errors", 0, "source", "pointer")) == (422, pointer)


def test_requests_are_only_shown_to_who_may_see_destinations(server: Server, tokens: dict[str, str]) -> None:
    reply = ask(server, tokens["narrow"], "event", payload=SUB)
    assert (reply.status, at(reply.json, "errors", 0, "meta", "required")) == (403, "destinations:read")


def test_a_formula_gives_its_value_and_what_did_not_fit(server: Server, tokens: dict[str, str]) -> None:
    found = said(ask(server, tokens["narrow"], "formula", formula="value*2  >  9 and upper(a)='X'", event={"value": 5}))
    assert (found["error"], found["usual"]) == (None, 'value * 2 > 9 && UPPER(a) = "X"')
    assert found["result"] == {"value": False, "holds": False, "exceeded": False, "warnings": []}
    found = said(ask(server, tokens["narrow"], "formula", formula='value * "x"', event={"value": 5}))
    assert (at(found, "result", "value"), at(found, "result", "warnings", 0, "code")) == (None, "not_a_number")
    text = said(
        ask(server, tokens["narrow"], "formula", formula="{{value}} EUR", event={"value": 5}, language="template")
    )
    assert at(text, "result", "value") == "5 EUR"
    event = {"items": [{"price": 2}, {"price": 3}], "rate": 10}
    each = said(ask(server, tokens["narrow"], "formula", formula="price * root.rate", event=event, within="items"))
    assert (each["result"], [one["value"] for one in items(each["elements"])]) == (None, [20, 30])


@pytest.mark.parametrize(
    ("formula", "offset", "length", "suggestion"),
    [
        ("1 + LOWR(x)", 4, 4, "did you mean LOWER?"),
        ('x ~ "[a"', 4, 4, None),
        ("value >", 7, 0, None),
        ("a\n  = = b", 6, 1, None),
    ],
)
def test_a_mistake_in_a_formula_is_marked(
    server: Server, tokens: dict[str, str], formula: str, offset: int, length: int, suggestion: str | None
) -> None:
    found = said(ask(server, tokens["narrow"], "formula", formula=formula))
    error = found["error"]
    assert found["result"] is None
    assert (at(error, "offset"), at(error, "length"), at(error, "message") != "") == (offset, length, True)
    if suggestion is not None:
        assert at(error, "suggestion") == suggestion
    assert (at(error, "line"), at(error, "column")) == (
        formula[:offset].count("\n") + 1,
        offset - formula.rfind("\n", 0, offset),
    )


def test_an_editor_is_told_every_function_with_help_and_examples(server: Server, tokens: dict[str, str]) -> None:
    found = items(call(server, "GET", "/v2/29/formulas/functions", tokens["narrow"]).json["data"])
    by_name = {str(one["id"]): one["attributes"] for one in found}
    assert at(by_name["SUBSTRING"], "signature") == "SUBSTRING(text, from, [to])"
    assert all(at(one, "help") and at(one, "section") for one in by_name.values())
    for one in by_name.values():
        assert items(at(one, "examples"))


def test_an_editor_is_told_which_properties_there_are(server: Server, tokens: dict[str, str]) -> None:
    seen = {"event_name": "fresh", "colours": ["red"], "items": [{"size": 4}], "user": {"consent_categories": []}}
    assert server.post({**seen, "context": {"event_id": "seen-1"}})[0] == 200

    def properties(query: str = "") -> dict[str, object]:
        reply = call(server, "GET", f"/v2/29/formulas/properties{query}", tokens["narrow"])
        assert reply.status == 200, reply.body
        return {str(one["id"]): one["attributes"] for one in items(reply.json["data"])}

    until(lambda: "colours" in properties("?filter[event_name]=fresh"), "the record of the inspector")
    fresh = properties("?filter[event_name]=fresh")
    assert (at(fresh["colours"], "types"), at(fresh["items.size"], "types")) == (["array<string>"], ["number"])
    assert at(fresh["colours"], "specified") is False
    plan = properties("?filter[event_name]=subscribe")["plan"]
    assert (at(plan, "types"), at(plan, "label"), at(plan, "pii")) == (["string"], "Plan", True)
    everything = properties()
    assert at(everything["user.id"], "types") == ["string"]
    assert {"colours", "plan", "items.product.id", "user.email"} <= everything.keys()


def test_what_the_specification_flags_as_personal_is_for_who_may_see_it_also_by_search(
    server: Server, tokens: dict[str, str]
) -> None:
    event = {**SUB, "plan": "gold", "context": {"event_id": "flagged-1"}}
    assert server.post(event)[0] == 200
    viewer, editor = tokens["viewer"], tokens["editor"]

    def get(path: str, token: str) -> Reply:
        return call(server, "GET", f"/v2/29/inspector/{path}", token)

    def records(query: str, token: str) -> list[dict[str, object]]:
        return items(get(f"incoming?{query}", token).json["data"])

    until(lambda: records("filter[event_id]=flagged-1", viewer), "the record of the inspector")
    for token, shown in ((viewer, "***"), (editor, "gold")):
        (record,) = records("filter[event_id]=flagged-1&fields=full", token)
        assert at(record, "attributes", "normalized", "plan") == shown
        traced = get("events/flagged-1?fields=full", token)
        assert at(traced.json, "data", "attributes", "hits", 0, "event", "plan") == shown
        found = [at(one, "attributes", "event_id") for one in records("filter[q]=gold", token)]
        assert ("flagged-1" in found) is (token == editor)
    for query in ("incoming?filter[property][plan]=gold", "facets?facet=property&path=plan"):
        reply = get(query, viewer)
        assert (reply.status, at(reply.json, "errors", 0, "meta", "required")) == (403, "inspector:pii")
        assert get(query, editor).status == 200
    narrow = token_for(server, "custom", "29", scopes=("replay:write",))
    (first, *_) = items(call(server, "GET", "/v2/29/destinations", viewer).json["data"])
    selector = {"destinations": [first["id"]], "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
    guess = {"data": {"attributes": {**selector, "property": [{"path": "plan", "op": "eq", "values": ["gold"]}]}}}
    reply = call(server, "POST", "/v2/29/replays?dry_run=true", narrow, guess)
    assert (reply.status, reply.codes) == (403, ["MISSING_SCOPE"])
