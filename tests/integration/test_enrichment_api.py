"""Enrichment by somebody's API on a running server: asked once, remembered, and never in the way of events."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.server import CONFIG, Server, until

ANN = {"city": "Lyon", "score": 7}


class Api(BaseHTTPRequestHandler):
    """Knows Ann; what else is asked for says how it goes wrong."""

    asked: ClassVar[list[tuple[str, str, str, bytes]]] = []
    given_up = threading.Event()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        who = parse_qs(urlsplit(self.path).query).get("id", [""])[0]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, self.headers.get("X-Key", ""), body))
        if who == "slow":
            self.given_up.wait(60)
        answer = b"no json" if who == "odd" else json.dumps(ANN).encode()
        self.send_response(503 if who.startswith("down") else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Tests look at `asked`."""


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def server(api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    rules = f"""
    enrichments:
      - label: Where
        api: {{url: "{api}/people?id={{{{user.id}}}}", headers: {{X-Key: k1}}, timeout_ms: 3000}}
        event_names: [login]
        properties: [{{property: city}}]
      - label: Score
        api:
          {{url: "{api}/score", method: POST, body: {{who: "{{{{user.id}}}}", city: "{{{{city}}}}"}}, cache_seconds: 0}}
        when: [{{property: city, operator: exists}}]
        placement: custom
        path: known
        properties: [{{property: score}}]
"""
    with Server(tmp_path_factory.mktemp("api") / "data", CONFIG + rules) as running:
        yield running


def outcome(server: Server, event_id: str, who: str, name: str = "login") -> tuple[dict[str, object], str, list[str]]:
    """The event as it was delivered, the status of its enrichment, and the codes of its warnings."""
    body = {"event_name": name, "user": {"id": who}, "context": {"event_id": event_id}}
    assert server.post(body)[0] == 200
    until(lambda: event_id in delivered(server), f"{event_id} to arrive")
    event = delivered(server)[event_id]
    context = event["context"]
    assert isinstance(context, dict)
    codes = [one["detail"]["code"] for one in context.get("warnings", [])]
    return event, context.get("enrichment", {}).get("status", ""), codes


def delivered(server: Server) -> dict[str, dict[str, object]]:
    file: Path = server.data / "out" / "events.ndjson"
    lines = file.read_text().splitlines() if file.exists() else []
    return {event["context"]["event_id"]: event for event in map(json.loads, lines)}


def test_what_one_api_says_can_be_asked_of_the_next_and_is_remembered(server: Server) -> None:
    Api.asked.clear()
    event, status, codes = outcome(server, "a1", "ann & co")
    assert (event["city"], event["known"], status, codes) == ("Lyon", {"score": 7}, "success", [])
    assert outcome(server, "a2", "ann & co")[1] == "success"
    people = [one for one in Api.asked if one[1].startswith("/people")]
    assert [(method, path, key) for method, path, key, _ in people] == [("GET", "/people?id=ann%20%26%20co", "k1")]
    scores = [json.loads(body) for method, path, _, body in Api.asked if path == "/score"]
    assert scores == [{"who": "ann & co", "city": "Lyon"}] * 2, "without a cache it is asked for each event"


@pytest.mark.parametrize(("who", "code"), [("slow", "timeout"), ("odd", "api_error"), ("down", "api_error")])
def test_what_goes_wrong_costs_the_enrichment_alone(server: Server, who: str, code: str) -> None:
    event, status, codes = outcome(server, f"w-{who}", who)
    assert "city" not in event
    assert (status, codes) == ("failed", [code])
    Api.given_up.set()


def test_events_that_no_rule_concerns_ask_nobody(server: Server) -> None:
    Api.asked.clear()
    assert outcome(server, "n1", "ann", "search")[1] == ""
    assert Api.asked == []


def test_an_api_that_keeps_failing_is_left_alone_and_events_go_on(server: Server) -> None:
    Api.asked.clear()
    events = [
        {"event_name": "login", "user": {"id": f"down-{n}"}, "context": {"event_id": f"d{n}"}} for n in range(300)
    ]
    assert server.post({"batch": events}, "/events/batch")[0] == 200
    until(lambda: {f"d{n}" for n in range(300)} <= set(delivered(server)), "all events to arrive")
    assert len(Api.asked) < 100
    order = [one for one in delivered(server) if one.startswith("d")]
    assert order == [f"d{n}" for n in range(300)]
    assert server.audit()["closes"] is True
