"""Erasing a person on a running server: not a byte is left, sums close, others stay as they are, kill -9 or not."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import at, call, items, token_for
from tests.support.partners import OK, Partner, Town, answer
from tests.support.server import BACKEND, KEY, Server, kill, until

ANA, ANAS_PHONE, MAIL = "customer-77012", "device-5f2e9b", "ana.lovelace@example.org"
CONFIG = f"""
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}
      backend: {{type: server, key: {BACKEND}}}
    destinations:
      good: {{type: webhook, sources: [backend], settings: {{url: "GOOD"}}}}
      refusing: {{type: webhook, sources: [backend], settings: {{url: "REFUSING"}}, delivery: {{max_attempts: 1}}}}
      down: {{type: webhook, sources: [backend], settings: {{url: "DOWN"}}, delivery: {{backoff_s: 3600}}}}
"""
_ALL = ("29/good", "29/refusing", "29/down")


class Scene:
    """A server whose partners take, refuse and fail, with events of several people."""

    def __init__(self, server: Server, good: Partner, down: Partner) -> None:
        self.server, self.good, self.down = server, good, down
        self.sent: dict[str, dict[str, object]] = {}

    def send(self, event_id: str, **event: object) -> None:
        body = {"event_name": "purchase", "context": {"event_id": event_id}, "note": "x" * 200, **event}
        assert self.server.post(body)[0] == 200
        self.sent[event_id] = body

    def settled(self, events: int, *refs: str) -> bool:
        """Whether each destination, or these, has come to so many events."""
        return all(one["offered"] == events for one in self.destinations() if one["destination"] in (refs or _ALL))

    def destinations(self) -> list[dict[str, object]]:
        found = self.server.audit()
        assert found["closes"], found
        destinations = found["destinations"]
        assert isinstance(destinations, list)
        return destinations

    def traces(self) -> list[str]:
        """Files of the data directory in which there is anything of Ana."""
        wanted = [one.encode() for one in (ANA, ANAS_PHONE, MAIL)]
        found = []
        for path in self.server.data.rglob("*"):
            try:
                data = path.read_bytes() if path.is_file() else b""
            except FileNotFoundError:
                continue
            found += [f"{one.decode()} in {path.name}" for one in wanted if one in data]
        return found

    def erase(self, *options: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.server.run("erase", "--site", "29", "--json", *options).stdout)
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    good, refusing, down = Partner(OK), Partner(answer("422 No", body="")), Partner(answer("503 Busy"))
    config = CONFIG.replace("GOOD", good.url).replace("REFUSING", refusing.url).replace("DOWN", down.url)
    with Town(good, refusing, down), Server(tmp_path / "data", config) as server:
        yield Scene(server, good, down)


def populate(scene: Scene) -> set[str]:
    """Events of Ana and of others; gives the ids of hers."""
    hers = {"a-1", "a-2", "a-3", "a-4"}
    scene.send("a-1", user={"id": ANA, "consistent_anonymous_id": ANAS_PHONE})
    scene.send("a-2", user={"email": MAIL.title()})
    scene.send("a-3", user={"consistent_anonymous_id": ANAS_PHONE})
    scene.send("b-1", user={"id": "bob", "email": "bob@example.org"}, note="b" * 3000)
    scene.send("a-4", user={"id": ANA, "email": MAIL}, context={"event_id": "a-4"}, properties={"old": True})
    scene.send("b-2", user={"id": f"{ANA[:-1]}"})
    # Refused ones, one of them in the first version's form and one that is no JSON.
    assert scene.server.post({"properties": {"user": {"id": ANA}}, "page": {}})[0] == 200
    assert scene.server.post(b'{"event_name": "x", "user": {"email": "' + MAIL.encode())[0] == 400
    return hers


def of_others(scene: Scene, hers: set[str]) -> dict[str, object]:
    return {one: scene.server.trace(one)[0]["payload"] for one in scene.sent if one not in hers}


def test_not_a_byte_is_left_and_others_stay_as_they_are(scene: Scene) -> None:
    hers = populate(scene)
    until(lambda: scene.settled(6), "all events to be tried everywhere")
    others = of_others(scene, hers)
    assert scene.traces()
    counts = {"accepted": 6, "processed": 6, "retry_ledger": 4, "dead_letters": 4, "data_stores": 0}
    person = ("--user-id", ANA, "--email", MAIL)
    dry = scene.erase(*person, "--dry-run")
    assert (at(dry, "state"), at(dry, "receipt", "erased")) == ("completed", counts)
    assert scene.traces()
    done = scene.erase(*person)
    assert at(done, "receipt", "erased") == {**counts, "inspector": at(done, "receipt", "erased", "inspector")}
    assert at(done, "receipt", "erased", "inspector") != 0
    assert at(done, "receipt", "delivered") == {"29/good": 4}
    assert scene.traces() == []
    assert of_others(scene, hers) == others
    (trace,) = scene.server.trace("a-1")
    assert (trace["status"], trace["payload"], at(trace, "reasons", 0, "code")) == ("invalid_accepted", "", "erased")
    fates = {str(one["destination"]): (one["outcome"], one["reason"]) for one in items(trace["destinations"])}
    assert fates["29/down"] == ("cancelled", "erased")
    assert fates["29/good"] == ("delivered", "")
    by_ref = {str(one["destination"]): one["outcomes"] for one in scene.destinations()}
    assert by_ref["29/down"] == {"pending": 2, "cancelled": 4}
    assert by_ref["29/refusing"] == {"rejected": 6} or by_ref["29/refusing"] == {"error": 6}
    assert at(scene.erase(*person), "receipt", "erased") == dict.fromkeys([*counts, "inspector"], 0)
    # Whoever comes back is somebody new.
    scene.send("a-9", user={"id": ANA})
    until(lambda: "a-9" in scene.good.ids(), "a later event to be delivered")


def test_what_waits_to_be_delivered_is_cancelled(scene: Scene) -> None:
    scene.send("a-1", user={"id": ANA})
    worker = scene.server.pid("worker")
    assert worker is not None
    until(lambda: scene.settled(1), "the first event to be tried")
    scene.server.kill_everything()
    scene.server.start()
    for number in range(20):
        scene.send(f"a-w{number}", user={"id": ANA})
    assert at(scene.erase("--user-id", ANA), "state") == "completed"
    until(lambda: scene.settled(21), "all events to have an outcome")
    assert scene.traces() == []


def test_kill_9_at_any_moment_and_it_is_done_in_the_end(scene: Scene) -> None:
    chance = random.Random(4)
    hers = populate(scene)
    for number in range(60):
        user = {"id": ANA} if chance.random() < 0.3 else {"id": f"other-{number}"}
        scene.send(f"k-{number}", user=user)
        hers |= {f"k-{number}"} if user["id"] == ANA else set()
    # The third has its breaker open by then: what is erased for it is still in the log.
    until(lambda: scene.settled(66, "29/good", "29/refusing"), "all events to be tried")
    others = of_others(scene, {*hers, *(f"k-{n}" for n in range(6, 60))})
    token = token_for(scene.server, "admin", "29")
    body = {"data": {"type": "erasures", "attributes": {"user_ids": [ANA], "emails": [MAIL]}}}
    reply = call(scene.server, "POST", "/v2/29/erasures", token, body)
    assert reply.status == 202
    for process in ("control", "worker", "control", "collector", "control"):
        time.sleep(chance.random() * 0.15)
        pid = scene.server.pid(process)
        if pid is not None:
            kill(pid)
    path = reply.headers["location"]

    def completed() -> bool:
        try:
            return at(call(scene.server, "GET", path, token).json, "data", "attributes", "state") == "completed"
        except OSError:
            return False

    until(completed, "the erasure to be completed", 60)
    assert scene.traces() == []
    assert of_others(scene, {*hers, *(f"k-{n}" for n in range(6, 60))}) == others
    seen = len(scene.down.received)
    scene.down.replies = (OK,)
    until(lambda: scene.settled(66), "the third destination to come to the end")
    assert not hers.intersection(one for request in scene.down.received[seen:] for one in request.ids())
    by_ref = {str(one["destination"]): one["outcomes"] for one in scene.destinations()}
    assert at(by_ref, "29/down", "cancelled") == len(hers)
    assert scene.traces() == []
