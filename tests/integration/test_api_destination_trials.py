"""Previews and tests of destinations over the API: what they say is what delivery does, and they leave no trace."""

import json
from collections.abc import Iterator, Mapping

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.receiver import Receiver
from tests.support.server import BACKEND, CONFIG, Server, until

SECRET = "4f1c2b7a90-secret"
PARTNERS = f"""
      crm:
        type: webhook
        sources: [backend]
        status: inactive
        consent: "3"
        filter: value > 1
        event_names: [order, visit]
        mapping: {{events: {{order: Purchase}}, other_events: drop}}
        settings:
          url: http://127.0.0.1:PORT/{{{{user.id}}}}
          headers: {{Authorization: {SECRET}, X-Id: "{{{{id}}}}"}}
          body: {{type: "{{{{event_name}}}}", id: "{{{{id}}}}"}}
"""
ORDER = {
    "event_name": "order",
    "id": "O1",
    "value": 5,
    "user": {"id": "u/1", "consent_categories": ["3"]},
    "context": {"event_id": "t-1", "device": {"ip": "203.0.113.7"}},
}


class Scene:
    """A server, its partner, and what the API says of its destinations."""

    def __init__(self, server: Server, receiver: Receiver) -> None:
        self.server, self.receiver = server, receiver
        self.admin, self.viewer = token_for(server, "admin", "29"), token_for(server, "viewer", "29")
        found = items(call(server, "GET", "/v2/29/destinations", self.admin).json["data"])
        self.ids = {str(at(one, "attributes", "label")): one["id"] for one in found}

    def ask(self, what: str, given: Mapping[str, object], name: str = "crm", token: str = "") -> Reply:
        path = f"/v2/29/destinations/{self.ids[name]}/{what}"
        return call(self.server, "POST", path, token or self.admin, {"data": {"attributes": given}})

    def said(self, what: str, name: str = "crm", **given: object) -> dict[str, object]:
        reply = self.ask(what, given, name)
        assert reply.status == 200, reply.body
        found = at(reply.json, "data", "attributes")
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Receiver() as receiver:
        config = CONFIG + PARTNERS.replace("PORT", str(receiver.port))
        with Server(tmp_path_factory.mktemp("trials") / "data", config) as server:
            yield Scene(server, receiver)


def test_a_preview_shows_the_request_without_secrets_and_sends_nothing(scene: Scene) -> None:
    found = scene.said("preview", event=ORDER)
    assert (found["would_send"], found["reason"], found["body"]) == (True, None, {"type": "Purchase", "id": "O1"})
    assert at(found, "event", "event_name") == "Purchase"
    assert at(found, "event", "context", "device", "ip") == "203.0.113.0"
    assert at(found, "request", "url") == f"http://127.0.0.1:{scene.receiver.port}/u%2F1"
    assert (at(found, "request", "headers", "Authorization"), at(found, "request", "method")) == ("***", "POST")
    assert SECRET not in json.dumps(found)
    assert scene.receiver.got == []


@pytest.mark.parametrize(
    ("changed", "outcome", "reason"),
    [
        ({"event_name": "search"}, "filtered", "event_name"),
        ({"event_name": "visit"}, "filtered", "unsupported_event"),
        ({"user": {"id": "u", "consent_categories": ["1"]}}, "filtered", "consent"),
        ({"value": 1}, "filtered", "condition"),
        ({"user": {"consent_categories": ["3"]}}, "rejected", "incomplete"),
    ],
)
def test_what_would_not_be_sent_is_not_sent_by_a_test_either(
    scene: Scene, changed: dict[str, object], outcome: str, reason: str
) -> None:
    event = {**ORDER, **changed}
    preview = scene.said("preview", event=event)
    assert (preview["would_send"], preview["reason"], preview["request"]) == (False, reason, None)
    test = scene.said("test?mode=live", event=event)
    assert (test["outcome"], test["reason"], test["response"]) == (outcome, reason, None)
    assert scene.receiver.got == []


def test_only_a_live_test_sends_and_it_says_what_came_back(scene: Scene) -> None:
    dry = scene.said("test", event=ORDER)
    assert (dry["mode"], dry["outcome"], dry["response"], scene.receiver.got) == ("dry", "dry_run", None, [])
    scene.receiver.status = lambda _: 503
    failed = scene.said("test?mode=live", event=ORDER)
    assert (failed["outcome"], failed["reason"], failed["retryable"]) == ("error", "503_service_unavailable", True)
    scene.receiver.status = lambda _: 201
    live = scene.said("test?mode=live", event=ORDER)
    assert (live["outcome"], at(live, "response", "statusCode")) == ("delivered", 201)
    assert live["request"] == failed["request"] == dry["request"]
    assert SECRET not in json.dumps(live)
    sent = scene.receiver.got[-1]
    assert (sent.path, sent.headers["authorization"], sent.headers["x-id"]) == ("/u%2F1", SECRET, "O1")
    assert json.loads(sent.body) == {"type": "Purchase", "id": "O1"}
    assert scene.server.audit()["closes"] is True
    assert scene.server.trace("t-1") == []


def test_a_kept_event_can_be_tried_by_who_may_see_it(scene: Scene) -> None:
    query = f"tc_s=29&token={BACKEND}"
    assert scene.server.post({**ORDER, "context": {"event_id": "kept-1"}}, "/events", query)[0] == 200
    until(lambda: scene.server.trace("kept-1")[0]["processed"], "the event to be processed")
    assert scene.said("preview", event_id="kept-1")["body"] == {"type": "Purchase", "id": "O1"}
    refused = scene.ask("preview", {"event_id": "kept-1"}, token=scene.viewer)
    assert (refused.status, refused.codes) == (403, ["MISSING_SCOPE"])
    assert scene.ask("preview", {"event": ORDER}, token=scene.viewer).status == 200
    assert scene.ask("preview", {"event_id": "never"}).status == 404


def test_what_cannot_be_tried_is_told(scene: Scene) -> None:
    both: dict[str, object] = {"event": ORDER, "event_id": "t-1"}
    for given in ({}, both):
        reply = scene.ask("preview", given)
        assert (reply.status, reply.codes) == (422, ["MISSING_REQUIRED_PROPERTY"])
    path = "/v2/29/destinations/999/preview"
    assert call(scene.server, "POST", path, scene.admin, {"data": {"attributes": {"event": {}}}}).status == 404
    assert scene.ask("test", {"event": ORDER}, token=scene.viewer).status == 403


def test_a_file_is_previewed_as_what_is_written_and_kept_from_two_writers(scene: Scene) -> None:
    found = scene.said("preview", "archive", event={"event_name": "x"})
    assert (found["would_send"], found["body"], found["request"]) == (True, {"event_name": "x"}, None)
    until((scene.server.data / "out" / "events.ndjson").exists, "the worker to hold the file")
    live = scene.said("test?mode=live", "archive", event=ORDER)
    assert (live["outcome"], live["reason"], live["retryable"]) == ("error", "file_in_use", True)
