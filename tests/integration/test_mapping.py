"""Mapping on a running server: what partners receive, what becomes of the rest, through retries, replay and kill -9."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.receiver import Got, Receiver
from tests.support.server import BACKEND, CONFIG, Server, until

PARTNERS = """
      crm:
        type: webhook
        sources: [backend]
        delivery: {backoff_s: 0.05}
        mapping:
          properties:
            - {action: rename, property: devise, to: currency}
            - {action: delete, property: user.email}
          events: {order: Purchase, checkout: Purchase, nameless: "{{user.nothing}}"}
          other_events: drop
          parameters: {value: NUMBER(value), user_id: ""}
          custom: {sizes: items.product.size, doubled: note * 2}
        settings:
          url: http://127.0.0.1:PORT/{{event_name}}/{{user.id}}?at={{TIMESTAMP()}}
          method: PUT
          headers: {X-Currency: "{{currency}}"}
      raw: {type: webhook, sources: [backend], settings: {url: "http://127.0.0.1:PORT/raw"}}
"""
QUERY = f"tc_s=29&token={BACKEND}"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    config = CONFIG + PARTNERS.replace("PORT", str(receiver.port))
    with Server(tmp_path_factory.mktemp("mapping") / "data", config) as running:
        yield running


def event(event_id: str, name: str, **properties: object) -> dict[str, object]:
    user = {"id": "a/b", "email": "a@b.example", "consent_categories": []}
    return {"event_name": name, "user": user, "context": {"event_id": event_id}, **properties}


def send(server: Server, *events: dict[str, object]) -> None:
    assert server.post({"batch": events}, "/events/batch", QUERY)[0] == 200


def of(receiver: Receiver, destination: str, event_id: str) -> list[Got]:
    """The requests that carried an event to a destination."""
    return [got for got in receiver.got if got.headers["idempotency-key"] == f"{event_id}:29/{destination}"]


def fate(server: Server, event_id: str, destination: str) -> dict[str, object]:
    (traced,) = server.trace(event_id)
    fates: list[dict[str, object]] = traced["destinations"]  # type: ignore[assignment] # a list
    (found,) = (one for one in fates if one["destination"] == f"29/{destination}")
    return found


def test_each_partner_gets_what_it_wants_and_no_other_notices(server: Server, receiver: Receiver) -> None:
    order = event("m-1", "order", devise="EUR", value="12.5", items=[{"product": {"size": "M"}}, {"product": {}}])
    send(server, order)
    until(lambda: of(receiver, "crm", "m-1") and of(receiver, "raw", "m-1"), "both requests")
    (mapped,), (raw,) = of(receiver, "crm", "m-1"), of(receiver, "raw", "m-1")
    sent = json.loads(mapped.body)
    assert sent.pop("timestamp") == json.loads(raw.body)["context"]["event_timestamp"]
    assert sent == {
        "event_name": "Purchase",
        "event_id": "m-1",
        "value": 12.5,
        "currency": "EUR",
        "sizes": ["M", None],
    }
    assert mapped.path.startswith("/Purchase/a%2Fb?at=1")
    assert (mapped.method, mapped.headers["x-currency"]) == ("PUT", "EUR")
    whole = json.loads(raw.body)
    assert (raw.method, raw.path) == ("POST", "/raw")
    assert {name: whole[name] for name in ("event_name", "devise", "value", "items")} == {
        name: order[name] for name in ("event_name", "devise", "value", "items")
    }
    assert whole["user"]["email"] == "a@b.example"
    (line,) = (server.data / "out" / "events.ndjson").read_bytes().splitlines()
    assert line == raw.body


def test_what_is_not_sent_has_an_outcome_that_says_why(server: Server, receiver: Receiver) -> None:
    anonymous = {**event("m-4", "order"), "user": {"consent_categories": []}}
    send(server, event("m-2", "visit"), event("m-3", "nameless"), anonymous, event("m-5", "order", note="x"))
    until(lambda: len(of(receiver, "raw", "m-4")) and len(of(receiver, "crm", "m-5")), "the last requests")
    until(lambda: fate(server, "m-4", "crm")["outcome"] == "rejected", "the outcome")
    assert (fate(server, "m-2", "crm")["outcome"], fate(server, "m-2", "crm")["reason"]) == (
        "filtered",
        "unsupported_event",
    )
    assert (fate(server, "m-3", "crm")["reason"], fate(server, "m-4", "crm")["reason"]) == (
        "mapping_error",
        "incomplete",
    )
    assert [fate(server, one, "crm")["attempts"] for one in ("m-2", "m-3", "m-4", "m-5")] == [0, 0, 0, 1]
    assert not any(of(receiver, "crm", one) for one in ("m-2", "m-3", "m-4"))
    assert "doubled" not in json.loads(of(receiver, "crm", "m-5")[0].body)
    metric = 'turnout_mapping_warnings_total{destination="29/crm"} 1.0'
    until(lambda: metric in server.get("/metrics")[1].decode(), "the metric to tell the warning")
    assert server.audit()["closes"] is True


def test_every_attempt_is_the_same_request(server: Server, receiver: Receiver) -> None:
    receiver.status = lambda got: 503 if len(of(receiver, "crm", "m-6")) < 3 and "/Purchase" in got.path else 200
    send(server, event("m-6", "checkout", value=1))
    until(lambda: fate(server, "m-6", "crm")["outcome"] == "delivered", "the third attempt")
    first, second, third = of(receiver, "crm", "m-6")
    assert first == second == third


def test_what_a_wrong_mapping_rejected_is_replayed_with_the_right_one(server: Server, receiver: Receiver) -> None:
    until(lambda: fate(server, "m-3", "crm")["outcome"] == "rejected", "the dead letter")
    changed = server.data.parent / "changed.yaml"
    changed.write_text(server.configured.read_text().replace("{{user.nothing}}", "Named"))
    assert server.run("apply", "-f", str(changed)).returncode == 0
    done = server.run("dead", "replay", "--reason", "mapping_error")
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: of(receiver, "crm", "m-3"), "the replayed event")
    assert json.loads(of(receiver, "crm", "m-3")[0].body)["event_name"] == "Named"


def test_wrong_mappings_are_refused_with_their_place(server: Server) -> None:
    file = server.data.parent / "draft.yaml"
    file.write_text(
        server.configured.read_text().replace("NUMBER(value)", "NUMBR(value)").replace("{{currency}}", "{{(")
    )
    done = server.run("check", str(file))
    assert done.returncode == 1
    where = b'sites."29".destinations.crm'
    assert where + b".mapping.parameters.value: line 1, column 1: there is no function NUMBR" in done.stdout
    assert where + b".settings.headers.X-Currency: line 1, column 1: this `{{` is not closed" in done.stdout


def test_after_kill_9_every_event_arrives_mapped(tmp_path: Path) -> None:
    with Receiver() as receiver:
        config = CONFIG + PARTNERS.replace("PORT", str(receiver.port))
        with Server(tmp_path / "data", config) as running:
            for number in range(20):
                send(running, *(event(f"k-{number}-{place}", "order", value=str(place)) for place in range(20)))
                if number == 10:
                    running.kill_everything()
                    running.start()
            wanted = {f"k-{number}-{place}" for number in range(20) for place in range(20)}

            def mapped() -> dict[str, object]:
                found = [json.loads(got.body) for got in receiver.got if got.method == "PUT"]
                return {one["event_id"]: one["value"] for one in found}

            until(lambda: set(mapped()) == wanted, "every event")
            assert all(value == int(event_id.rpartition("-")[2]) for event_id, value in mapped().items())
            until(lambda: running.audit()["closes"] is True, "the sums to close")
