"""What would become of a payload: the same as becomes of it, and nothing is kept."""

from collections.abc import Iterator

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.server import BACKEND, Server, until

CONFIG = f"""
sites:
  "29":
    sources:
      backend: {{type: server, key: {BACKEND}}}
      closed: {{type: server, key: b1946ac9-2490-4a5b-9d61-000000000029, status: inactive}}
    destinations:
      all: {{type: file, sources: [backend], settings: {{path: out/all.ndjson}}}}
      paid: {{type: file, sources: [backend], settings: {{path: out/paid.ndjson}}, filter: value > 100}}
      agreed: {{type: file, sources: [backend], settings: {{path: out/agreed.ndjson}}, consent: ["3"]}}
      logins: {{type: file, sources: [backend], settings: {{path: out/logins.ndjson}}, event_names: [login]}}
      pretended: {{type: file, sources: [backend], settings: {{path: out/dry.ndjson}}, dry_mode: true}}
    cleansing:
      - {{label: Old orders, operation: rename_event, to: purchase, when: 'event_name = "order"'}}
      - {{label: Also a lead, operation: derive_event, name: generate_lead, when: 'event_name = "purchase"'}}
"""
PURCHASE = {
    "event_name": "purchase",
    "id": "o-1",
    "value": 120,
    "currency": "EUR",
    "user": {"id": "42", "consent_categories": ["1"]},
    "context": {"event_id": "dry-1", "event_timestamp": 1_764_000_000_000},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("validate") / "data", CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def viewer(server: Server) -> str:
    return token_for(server, "viewer", "29")


def validate(server: Server, token: str, payload: object, source: int = 1) -> Reply:
    body = {"data": {"attributes": {"source": source, "payload": payload}}}
    return call(server, "POST", "/v2/29/inspector/validate", token, body)


def verdicts(reply: Reply) -> list[dict[str, object]]:
    return items(at(reply.json, "data", "attributes", "events"))


def test_an_event_is_judged_as_it_would_be_delivered(server: Server, viewer: str) -> None:
    reply = validate(server, viewer, PURCHASE)
    assert (reply.status, at(reply.json, "data", "attributes", "http_status")) == (200, 200)
    first, second = verdicts(reply)
    assert (first["event_name"], first["derived"]) == ("purchase", False)
    assert (second["event_name"], second["derived"]) == ("generate_lead", True)
    fates = {one["label"]: (one["would_send"], one["reason"]) for one in items(first["destinations"])}
    assert fates == {
        "all": (True, None),
        "paid": (True, None),
        "agreed": (False, "consent"),
        "logins": (False, "event_name"),
        "pretended": (False, "dry_run"),
    }
    cheap = verdicts(validate(server, viewer, {**PURCHASE, "value": 5}))[0]
    assert {one["label"]: one["reason"] for one in items(cheap["destinations"])}["paid"] == "condition"


def test_the_verdict_is_that_of_the_event_when_it_is_sent(server: Server, viewer: str) -> None:
    payload = {**PURCHASE, "event_name": "order", "currency": 7, "context": {"event_id": "real-1"}}
    (first, _) = verdicts(validate(server, viewer, payload))
    assert server.post(payload)[0] == 200
    until(lambda: server.trace("real-1"), "the event")
    traced = server.trace("real-1")[0]
    assert (first["status"], first["event_name"]) == (traced["status"], "purchase")
    assert [at(one, "code") for one in items(first["reasons"])] == [at(one, "code") for one in items(traced["reasons"])]


@pytest.mark.parametrize(
    ("payload", "source", "status", "verdict", "code"),
    [
        ({"user": {}}, 1, 200, "rejected", "missing_event_name"),
        ({"event_name": "x", "context": {"event_timestamp": 5}}, 1, 200, "rejected", "timestamp_not_ms"),
        ({"event_name": "x", "pad": "x" * 40_000}, 1, 400, "rejected", "payload_too_large"),
        ({"event_name": "x"}, 2, 200, "rejected", "source_inactive"),
        ({"batch": "x"}, 1, 200, "rejected", "batch_not_array"),
    ],
)
def test_what_would_be_refused_is_told_with_the_reason(
    server: Server, viewer: str, payload: object, source: int, status: int, verdict: str, code: str
) -> None:
    reply = validate(server, viewer, payload, source)
    assert at(reply.json, "data", "attributes", "http_status") == status
    (found,) = verdicts(reply)
    assert (found["status"], at(found, "reasons", 0, "code")) == (verdict, code)
    assert all(one["would_send"] is False for one in items(found["destinations"]))


def test_a_batch_is_judged_element_by_element(server: Server, viewer: str) -> None:
    found = verdicts(validate(server, viewer, {"batch": [{"event_name": "seen"}, {}, 5]}))
    assert [one["status"] for one in found] == ["valid", "rejected", "rejected"]


def test_nothing_is_kept_and_foreign_sources_are_told(server: Server, viewer: str) -> None:
    validate(server, viewer, PURCHASE)
    assert server.post({"event_name": "later", "context": {"event_id": "later-1"}})[0] == 200
    until(lambda: server.trace("later-1"), "an event that was sent later")
    assert call(server, "GET", "/v2/29/inspector/events/dry-1", viewer).status == 404
    reply = validate(server, viewer, PURCHASE, 99)
    assert (reply.status, at(reply.json, "errors", 0, "source", "pointer")) == (422, "/data/attributes/source")
