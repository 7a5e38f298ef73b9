"""The figures of delivery after kill -9 at random moments: those of the API, the audit and the partners agree.

So do the records of the inspector while nothing is sampled; and a replay moves pairs, but makes and loses none.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from tests.support.api import at, call, items, token_for
from tests.support.server import BACKEND, KEY, Server, kill, until

EVENTS, KILLS = 600, 4
NAMES = ("fine", "fine", "busy", "bad")
CONFIG = f"""
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}
      backend: {{type: server, key: {BACKEND}}}
    inspector: {{sampling: all}}
    destinations:
      hook: {{type: webhook, sources: [shop, backend], settings: {{url: "http://127.0.0.1:PORT/hook"}},
             delivery: {{backoff_s: 0.05}}}}
      consented: {{type: webhook, sources: [backend], settings: {{url: "http://127.0.0.1:PORT/consented"}},
                  consent: {{categories: ["3"]}}, delivery: {{backoff_s: 0.05}}}}
      dry: {{type: webhook, sources: [shop], settings: {{url: "http://127.0.0.1:PORT/dry"}}, dry_mode: true}}
"""
LABELS = ("hook", "consented", "dry")


class Partner:
    """Takes "fine" at once, "busy" at the second attempt, and "bad" only when it has been told to."""

    def __init__(self) -> None:
        self.taken: set[tuple[str, str]] = set()
        """(path, event id) of what got a 200."""
        self.lenient = False
        self._seen: set[tuple[str, str]] = set()
        partner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(partner.answer(self.path, event["event_name"], event["context"]["event_id"]))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def answer(self, path: str, name: str, event_id: str) -> int:
        key = (path, event_id)
        first = key not in self._seen
        self._seen.add(key)
        if name == "bad" and not self.lenient:
            return 400
        if name == "busy" and first:
            return 503
        self.taken.add(key)
        return 200

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Scene(NamedTuple):
    server: Server
    partner: Partner
    token: str
    numbers: dict[str, str]
    """Ids of destinations by their label."""

    def get(self, path: str) -> dict[str, object]:
        reply = call(self.server, "GET", f"/v2/29/{path}", self.token)
        assert reply.status == 200, reply.body
        return reply.json

    def metrics(self, query: str) -> dict[str, dict[str, object]]:
        """Attributes of `/delivery/metrics` by id."""
        found = items(self.get(f"delivery/metrics?compare=none&{query}")["data"])
        return {str(one["id"]): one["attributes"] for one in found}  # type: ignore[misc] # an object

    def audited(self) -> dict[str, dict[str, int]]:
        """Outcomes by the number of the destination and outcome, as the audit counts them from the bytes."""
        report = self.server.audit()
        assert report["closes"], report
        return {
            self.numbers[str(one["destination"]).partition("/")[2]]: {
                word: n
                for word, n in one["outcomes"].items()  # type: ignore[attr-defined] # an object
                if n
            }
            for one in items(report["destinations"])
        }

    def counted(self) -> dict[str, dict[str, int]]:
        """The same by the figures over time."""
        found: dict[str, dict[str, int]] = {}
        for key, attributes in self.metrics("group_by=destination,status").items():
            number, _, word = key.partition("/")
            found.setdefault(number, {})[word] = int(str(attributes["offered"]))
        return found

    def recorded(self, label: str) -> dict[str, int]:
        """Records of final outcomes in the inspector."""
        query = f"inspector/facets?direction=outgoing&filter[destination]={self.numbers[label]}"
        facets = at(self.get(query), "data", "attributes")
        assert isinstance(facets, dict)
        return {str(one["value"]): int(str(one["count"])) for one in items(facets["status"])}

    def settle(self, events: int) -> None:
        def done() -> bool:
            counted = self.counted()
            return (
                sum(counted.get(self.numbers["hook"], {}).values()) == events
                and not any(outcomes.get("pending") for outcomes in counted.values())
                and self.server.audit()["unprocessed"] == 0
                # The others may be behind `hook`: what they have not come to the audit alone counts, as pending.
                and counted == self.audited()
            )

        until(done, "everything to be settled", 120)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    partner = Partner()
    config = CONFIG.replace("PORT", str(partner.server.server_address[1]))
    try:
        with Server(tmp_path_factory.mktemp("figures") / "data", config) as server:
            token = token_for(server, "admin", "29")
            found = items(call(server, "GET", "/v2/29/destinations", token).json["data"])
            numbers = {str(at(one, "attributes", "label")): str(one["id"]) for one in found}
            made = Scene(server, partner, token, numbers)
            send_and_kill(made)
            made.settle(EVENTS)
            yield made
    finally:
        partner.close()


def send_and_kill(scene: Scene) -> None:
    """Send all events, from two sources, and kill the worker in between."""
    dice = random.Random()
    moments = set(dice.sample(range(20, EVENTS), KILLS))
    for number in range(EVENTS):
        if number in moments and (pid := scene.server.pid("worker")) is not None:
            kill(pid)
        event = {
            "event_name": NAMES[number % len(NAMES)],
            "user": {"id": "u", "consent_categories": ["3"] if number % 3 else []},
            "context": {"event_id": f"e-{number}"},
        }
        key = BACKEND if number % 2 else KEY
        assert scene.server.post(event, query=f"tc_s=29&token={key}")[0] == 200


def taken(scene: Scene, label: str) -> int:
    return sum(path == f"/{label}" for path, _ in scene.partner.taken)


def test_the_api_the_audit_and_the_partners_count_the_same(scene: Scene) -> None:
    counted, audited = scene.counted(), scene.audited()
    assert counted == audited
    for label in ("hook", "consented"):
        assert counted[scene.numbers[label]]["delivered"] == taken(scene, label)
    assert taken(scene, "dry") == 0
    bad = sum(NAMES[n % len(NAMES)] == "bad" for n in range(EVENTS))
    assert counted[scene.numbers["hook"]] == {"delivered": EVENTS - bad, "error": bad}
    assert counted[scene.numbers["dry"]] == {"dry_run": EVENTS // 2}
    names = scene.metrics(f"filter[destination]={scene.numbers['hook']}&group_by=event_name")
    assert {name: one["offered"] for name, one in names.items()} == dict(
        Counter(NAMES[n % len(NAMES)] for n in range(EVENTS))
    )
    assert {one["delivered_rate"] for one in scene.metrics("group_by=reason").values()} >= {0.0, 1.0}
    sources = scene.metrics(f"filter[destination]={scene.numbers['hook']}&group_by=source")
    assert [one["offered"] for one in sources.values()] == [EVENTS // 2] * 2


def test_the_inspector_has_a_record_of_each_outcome(scene: Scene) -> None:
    counted = scene.counted()
    for label in LABELS:
        final = {word: n for word, n in counted[scene.numbers[label]].items() if word != "pending"}

        def there(label: str = label, final: dict[str, int] = final) -> bool:
            found = scene.recorded(label)
            return {word: found.get(word, 0) for word in final} == final

        until(there, f"the records of {label}: {scene.recorded(label)}, wanted {final}")


def test_the_table_and_the_documented_operations_have_the_same_sums(scene: Scene) -> None:
    number = scene.numbers["hook"]
    (attributes,) = scene.metrics(f"filter[destination]={number}&include=dataset&granularity=60000").values()
    dataset = attributes["dataset"]
    assert isinstance(dataset, list)
    assert dataset[0] == ["dateTime", "delivered", "not_delivered", "filtered", "pending"]
    sums = [sum(row[column] for row in dataset[1:]) for column in range(1, 5)]
    assert sums == [at(attributes, "delivered", "total"), at(attributes, "not_delivered", "total"), 0, 0]
    health = at(scene.get(f"integrations/{number}/delivery/healths"), "data", "attributes")
    assert at(health, "total", "total") == EVENTS
    assert at(health, "fail", "error") == {"total": sums[1], "increase_rate": None}
    trend = at(
        scene.get(f"integrations/{number}/delivery/trends?granularity=3600000"), "data", "attributes", "datasets"
    )
    assert isinstance(trend, list)
    assert [sum(row[column] for row in trend[1:]) for column in (1, 2)] == sums[:2]
    (issue,) = items(at(scene.get(f"integrations/{number}/delivery/issues"), "data", "attributes", "error"))
    assert (issue["reason"], issue["events_count"], issue["event_types"]) == ("400_bad_request", sums[1], ["bad"])
    assert issue["replayable_count"] == sums[1]


def test_a_replay_moves_pairs_within_their_bucket_and_changes_no_sum(scene: Scene) -> None:
    number = scene.numbers["hook"]

    def rows() -> dict[int, int]:
        (attributes,) = scene.metrics(f"filter[destination]={number}&include=dataset&granularity=60000").values()
        dataset = attributes["dataset"]
        assert isinstance(dataset, list)
        return {row[0]: sum(row[1:]) for row in dataset[1:] if sum(row[1:])}

    before, counted = rows(), scene.counted()
    dead = counted[number]["error"]
    scene.partner.lenient = True
    body = {"data": {"attributes": {"destination": int(number)}}}
    reply = call(scene.server, "POST", "/v2/29/dead-letters/replay", scene.token, body)
    assert at(reply.json, "data", "attributes", "replayed") == dead
    if (pid := scene.server.pid("worker")) is not None:
        kill(pid)
    until(lambda: scene.counted()[number] == {"delivered": EVENTS}, "the replay", 60)
    assert rows() == before
    assert scene.counted() == scene.audited()
    assert taken(scene, "hook") == EVENTS
    (attributes,) = scene.metrics(f"filter[destination]={number}").values()
    assert int(str(at(attributes, "delivered", "retry"))) >= dead
