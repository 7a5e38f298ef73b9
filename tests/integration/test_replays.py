"""Replays on a running server (`config-api.md` C6, D11): counted right, sent once, followed to the end; killed, too."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.partners import OK, Partner, Town, answer
from tests.support.server import BACKEND, Server, kill, until

CONFIG = f"""
sites:
  "29":
    sources:
      backend: {{type: server, key: {BACKEND}}}
    destinations:
      orders: {{type: webhook, sources: [backend], settings: {{url: "URL"}}, delivery: {{max_attempts: 1}}}}
      resting: {{type: webhook, sources: [backend], status: inactive, settings: {{url: "URL"}}}}
"""
BAD = answer("422 No")


class Scene:
    """A server whose partner refuses everything until it is told otherwise."""

    def __init__(self, server: Server, partner: Partner) -> None:
        self.server, self.partner = server, partner
        self.token = token_for(server, "admin", "29")
        now, hour = datetime.now(UTC), timedelta(hours=1)
        self.period = {"start": (now - hour).isoformat(), "end": (now + hour).isoformat()}
        listed = items(self.get("/v2/29/destinations").json["data"])
        self.numbers = {str(at(one, "attributes", "label")): one["id"] for one in listed}

    def get(self, path: str) -> Reply:
        return call(self.server, "GET", path, self.token)

    def fail(self, *ids: str, name: str = "purchase") -> None:
        """Send events, and wait until they are dead letters."""
        self.partner.replies = (BAD,)
        before = self.dead()
        batch = [{"event_name": name, "context": {"event_id": one}, "value": len(one)} for one in ids]
        assert self.server.post({"batch": batch}, "/events/batch")[0] == 200
        until(lambda: self.dead() == before + len(ids), "the events to be refused")

    def dead(self) -> int:
        return len(items(self.get("/v2/29/dead-letters?page[size]=200").json["data"]))

    def replay(self, query: str = "", destination: str = "orders", key: str = "", **more: object) -> Reply:
        attributes = {"destinations": [self.numbers[destination]], **self.period, **more}
        body = {"data": {"type": "replays", "attributes": attributes}}
        headers = {"Idempotency-Key": key} if key else {}
        return call(self.server, "POST", f"/v2/29/replays{query}", self.token, body, headers)

    def change(self, path: str, **attributes: object) -> Reply:
        return call(self.server, "PATCH", path, self.token, {"data": {"attributes": attributes}})

    def ended(self, path: str) -> dict[str, object]:
        """The attributes of a replay, once it is at its end."""
        found: dict[str, object] = {}

        def over() -> bool:
            try:
                attributes = at(self.get(path).json, "data", "attributes")
            except OSError:
                return False
            assert isinstance(attributes, dict)
            found.update(attributes)
            return found["finished"] is not None

        until(over, "the replay to end", 60)
        return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    partner = Partner(BAD)
    with (
        Town(partner),
        Server(tmp_path_factory.mktemp("replays") / "data", CONFIG.replace("URL", partner.url)) as server,
    ):
        yield Scene(server, partner)


def test_a_dry_run_counts_what_a_replay_then_delivers_once(scene: Scene) -> None:
    ids = [f"r-{number}" for number in range(12)]
    scene.fail(*ids)
    scene.partner.replies = (OK,)
    dry = scene.replay("?dry_run=true")
    assert (dry.status, at(dry.json, "data", "id")) == (200, None)
    counted = at(dry.json, "data", "attributes")
    assert [at(counted, name) for name in ("matched", "replayable", "expired", "skipped_delivered")] == [12, 12, 0, 0]
    seen = len(scene.partner.received)
    made = scene.replay(key="k-1")
    assert made.status == 202
    assert at(scene.replay(key="k-1").json, "data", "id") == at(made.json, "data", "id")
    done = scene.ended(made.headers["location"])
    assert (done["state"], at(done, "progress", "delivered"), at(done, "progress", "pending")) == ("completed", 12, 0)
    assert Counter(one for request in scene.partner.received[seen:] for one in request.ids()) == Counter(ids)
    assert scene.dead() == 0
    assert scene.server.audit()["closes"]
    fate = at(scene.server.trace("r-3")[0], "destinations", 0)
    assert at(fate, "outcome") == "delivered"
    listed = items(scene.get(f"{made.headers['location']}/items?filter[status]=delivered").json["data"])
    assert {at(one, "attributes", "event_id") for one in listed} == set(ids)
    shown = f"/v2/29/inspector/outgoing?filter[replay]={at(made.json, 'data', 'id')}"
    until(lambda: len(items(scene.get(shown).json["data"])) == 12, "the attempts to be shown")


def test_conditions_choose(scene: Scene) -> None:
    scene.fail("c-1", "c-22", name="login")
    scene.fail("c-333", name="search")
    for conditions, count in (
        ({"event_names": ["login"]}, 2),
        ({"event_ids": ["c-1", "c-333", "r-1"]}, 2),
        ({"property": [{"path": "value", "op": "gt", "values": ["3"]}]}, 2),
        ({"reasons": ["404_not_found"]}, 0),
        ({"statuses": ["rejected"]}, 0),
        ({"limit": 1}, 1),
    ):
        attributes = at(scene.replay("?dry_run=true", **conditions).json, "data", "attributes")
        assert at(attributes, "replayable") == count, conditions
    skipped = at(scene.replay("?dry_run=true", event_ids=["r-1"]).json, "data", "attributes", "skipped_delivered")
    assert skipped == 1
    issues = items(scene.get("/v2/29/delivery/issues").json["data"])
    dry = scene.replay("?dry_run=true", issue_id=issues[0]["id"])
    assert at(dry.json, "data", "attributes", "replayable") == 3
    wrong = scene.replay("?dry_run=true", property=[{"path": "a", "op": "matches", "values": ["("]}])
    assert (wrong.status, wrong.codes) == (422, ["INVALID_PROPERTY_FORMAT"])


def test_one_at_a_time_paused_changed_and_cancelled(scene: Scene) -> None:
    scene.fail(*(f"p-{number}" for number in range(20)))
    assert (scene.replay(destination="resting").status, scene.replay(start=None).status) == (409, 422)
    made = scene.replay(rate_per_second=1)
    path = made.headers["location"]
    assert scene.replay().codes == ["REPLAY_RUNNING"]
    assert at(scene.change(path, state="paused").json, "data", "attributes", "state") == "paused"
    assert scene.replay().codes == ["REPLAY_RUNNING"]
    assert at(scene.change(path, state="running", rate_per_second=2).json, "data", "attributes", "state") == "running"
    assert scene.change(path, state="cancelled").status == 200
    done = scene.ended(path)
    assert done["state"] == "cancelled"
    progress = done["progress"]
    assert isinstance(progress, dict)
    assert sum(progress.values()) == done["replayable"]
    assert progress["cancelled"] >= 15
    assert scene.change(path, state="running").codes == ["CONFLICT"]
    assert scene.dead() == done["replayable"]
    assert scene.server.audit()["closes"]


def test_one_attempt_is_tried_again(scene: Scene) -> None:
    scene.fail("o-1", name="add_to_cart")
    scene.partner.replies = (OK,)
    shown = "/v2/29/inspector/outgoing?filter[event_id]=o-1"
    until(lambda: items(scene.get(shown).json["data"]), "the attempt to be shown")
    (hit,) = items(scene.get(shown).json["data"])
    made = call(scene.server, "POST", f"/v2/29/inspector/outgoing/{hit['id']}/replay", scene.token)
    assert made.status == 202, made.body
    assert at(scene.ended(made.headers["location"]), "progress", "delivered") == 1
    again = call(scene.server, "POST", f"/v2/29/inspector/outgoing/{hit['id']}/replay", scene.token)
    assert (again.status, again.codes) == (409, ["CONFLICT"])


def test_kill_9_of_control_and_worker_repeats_nothing_but_what_was_under_way(tmp_path: Path) -> None:
    chance = random.Random(11)
    partner = Partner(BAD)
    with Town(partner), Server(tmp_path / "data", CONFIG.replace("URL", partner.url)) as server:
        scene = Scene(server, partner)
        ids = [f"k-{number}" for number in range(150)]
        for start in range(0, 150, 50):
            scene.fail(*ids[start : start + 50])
        until(lambda: scene.dead() == 150, "all to be refused")
        partner.replies = (OK,)
        seen = len(partner.received)
        path = scene.replay(rate_per_second=60).headers["location"]
        for process in ("worker", "control", "worker", "control"):
            time.sleep(chance.random() * 0.4)
            if (pid := server.pid(process)) is not None:
                kill(pid)
        done = scene.ended(path)
        assert at(done, "progress", "delivered") == 150
        times = Counter(one for request in partner.received[seen:] for one in request.ids())
        assert set(times) == set(ids)
        # Two kills of the worker, each with as many attempts under way as the destination takes at once.
        assert sum(times.values()) - 150 <= 2 * 64
        assert scene.dead() == 0
        until(lambda: server.audit()["closes"], "the sums to close")
