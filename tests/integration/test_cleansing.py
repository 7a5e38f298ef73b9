"""Cleansing on a running server: what arrives, what `trace`, `status`, `check` and the metrics say, and changes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import BACKEND, CONFIG, Server, until

RULES = """
    cleansing:
      - {label: Orders are purchases, when: 'event_name = "order"', operation: rename_event, to: purchase}
      - label: One currency
        when: 'event_name = "purchase"'
        operation: modify_properties
        properties:
          - {action: map, property: currency, from: devise}
          - {action: delete, property: devise}
          - {action: set, property: items.total, expression: price * quantity}
      - {label: No robots, when: 'user.robot = true', operation: filter_event}
      - {label: Leads, when: 'value > 100', operation: derive_event, name: lead,
         properties: [{action: delete, property: items}]}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("cleansing") / "data", CONFIG + RULES) as running:
        yield running


def send(server: Server, event_id: str, name: str, **properties: object) -> None:
    user = properties.pop("user", {"consent_categories": []})
    event = {"event_name": name, "user": user, "context": {"event_id": event_id}, **properties}
    assert server.post(event)[0] == 200


def arrived(server: Server) -> dict[str, dict[str, object]]:
    """What the file destination has, by id."""
    path = server.data / "out" / "events.ndjson"
    events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {event["context"]["event_id"]: event for event in events}


def only(values: object) -> str:
    """The only text of a list."""
    assert isinstance(values, list)
    (one,) = values
    return str(one)


def status(server: Server) -> dict[str, int]:
    """The hits of the rules, as `turnout status` says them."""
    found: dict[str, int] = json.loads(server.run("status", "--json").stdout)["processes"]["worker"]["cleansing"]
    return found


def test_events_arrive_cleansed_and_every_place_tells_what_happened(server: Server) -> None:
    send(
        server, "c-1", "order", devise="EUR", value=7, items=[{"price": 2, "quantity": 3}, {"price": 1, "quantity": 1}]
    )
    send(server, "c-2", "visit", user={"consent_categories": [], "robot": True}, value=500)
    send(server, "c-3", "visit", value=500, items=[{"id": 1}])
    until(lambda: len(arrived(server)) == 3, "three events to arrive")

    (traced,) = server.trace("c-3")
    child_id = only(traced["derived"])
    events = arrived(server)
    assert set(events) == {"c-1", "c-3", child_id}
    purchase = events["c-1"]
    assert (purchase["event_name"], purchase["currency"], "devise" in purchase) == ("purchase", "EUR", False)
    assert purchase["items"] == [{"price": 2, "quantity": 3, "total": 6}, {"price": 1, "quantity": 1, "total": 1}]
    assert purchase["context"]["original_event_name"] == "order"  # type: ignore[index] # an object
    assert "items" in events["c-3"]
    lead = events[child_id]
    assert (lead["event_name"], lead["value"], "items" in lead) == ("lead", 500, False)

    (child,) = server.trace(child_id)
    assert (child["event_name"], child["derived_from"], child["status"]) == ("lead", "c-3", "valid")
    assert [fate["outcome"] for fate in child["destinations"]] == ["delivered"]  # type: ignore[attr-defined] # a list
    assert f"derived    {child_id}" in server.run("trace", "c-3").stdout.decode()
    assert "derived    from c-3" in server.run("trace", child_id).stdout.decode()

    (robot,) = server.trace("c-2")
    assert (robot["status"], robot["destinations"]) == ("filtered", [])
    assert robot["reasons"] == [{"code": "filtered_by_rule", "path": "", "message": "No robots"}]

    hits = {"29 Orders are purchases": 1, "29 One currency": 1, "29 No robots": 1, "29 Leads": 1}
    until(lambda: status(server) == hits, "status to tell the hits")
    metric = 'turnout_cleansing_hits_total{rule="Orders are purchases",site="29"} 1.0'
    until(lambda: metric in server.get("/metrics")[1].decode(), "the metric to tell the hits")
    assert server.audit()["closes"] is True


def test_a_change_of_the_rules_is_effective_when_apply_returns(server: Server) -> None:
    changed = server.data.parent / "changed.yaml"
    changed.write_text(CONFIG + RULES.replace("to: purchase", "to: sale"))
    assert server.run("apply", "-f", str(changed)).returncode == 0
    send(server, "c-4", "order")
    until(lambda: "c-4" in arrived(server), "the event to arrive")
    assert arrived(server)["c-4"]["event_name"] == "sale"


def test_wrong_rules_are_refused_and_doubtful_ones_told(server: Server) -> None:
    file = server.data.parent / "draft.yaml"
    file.write_text(CONFIG + RULES.replace("value > 100", "valu(100)"))
    done = server.run("check", str(file))
    assert done.returncode == 1
    assert b'sites."29".cleansing[3].when: line 1, column 1: there is no function VALU' in done.stdout
    assert server.run("apply", "-f", str(file)).returncode != 0
    file.write_text(CONFIG + RULES + "      - {label: All, operation: filter_event, status: inactive}\n")
    done = server.run("check", str(file))
    assert done.returncode == 0
    assert b'warning: sites."29".cleansing[4].when: is missing' in done.stdout
    (warning,) = json.loads(server.run("check", str(file), "--json").stdout)["warnings"]
    assert warning["path"] == 'sites."29".cleansing[4].when'


def test_after_kill_9_every_event_and_what_derives_from_it_arrive(tmp_path: Path) -> None:
    with Server(tmp_path / "data", CONFIG + RULES) as running:
        for number in range(60):
            batch = [
                {"event_name": "visit", "value": 500, "user": {}, "context": {"event_id": f"k-{number}-{place}"}}
                for place in range(20)
            ]
            query = f"tc_s=29&token={BACKEND}"
            assert running.post({"batch": batch}, "/events/batch", query)[0] == 200
            if number == 30:
                running.kill_everything()
                running.start()
        until(lambda: len(arrived(running)) == 2400, "all events and those derived from them")
        parents = [one["context"].get("derived_from") for one in arrived(running).values()]  # type: ignore[attr-defined]
        assert len({parent for parent in parents if parent}) == 1200
        assert running.audit()["closes"] is True
