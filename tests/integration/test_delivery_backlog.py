"""A partner that is down while 200,000 events come: others get theirs, and afterwards it gets everything, in order."""

import json
from collections.abc import Iterator

import pytest

from tests.support.partners import OK, Partner, Town, answer
from tests.support.server import BACKEND, Server, until
from turnout.control import factsfile
from turnout.model.facts import DestinationFacts

EVENTS, USERS, REQUEST = 200_000, 1_000, 2_000
CONFIG = """
sites:
  "29":
    sources:
      backend: {{type: server, key: {key}}}
    destinations:
      archive: {{type: file, sources: [backend], settings: {{path: out/events.ndjson}}}}
      ordered: {{type: webhook, sources: [backend], settings: {{url: "{ordered}"}},
                delivery: {{ordered: true, batch_size: 1000, backoff_s: 0.2}}}}
      failing: {{type: webhook, sources: [backend], settings: {{url: "{failing}"}},
                delivery: {{batch_size: 1000, backoff_s: 0.2}}}}
      slow: {{type: webhook, sources: [backend], event_names: [rare], settings: {{url: "{slow}"}},
             delivery: {{timeout_ms: 60000}}}}
"""


class Scene:
    """The server, its partners, and how long the collector took for the events."""

    def __init__(self, server: Server, town: Town, ordered: Partner, failing: Partner, slow: Partner) -> None:
        self.server, self.town = server, town
        self.ordered, self.failing, self.slow = ordered, failing, slow
        self.archive = server.data / "out/events.ndjson"

    def facts(self, name: str) -> DestinationFacts:
        worker = factsfile.read(self.server.data)["worker"]
        return worker.destinations[f"29/{name}"]

    def send(self, start: int, end: int) -> None:
        for base in range(start, end, REQUEST):
            batch = [event(number) for number in range(base, min(base + REQUEST, end))]
            status, _ = self.server.post({"batch": batch}, "/events/batch")
            assert status == 200

    def archived(self) -> int:
        return self.archive.read_bytes().count(b"\n") if self.archive.exists() else 0


def event(number: int) -> dict[str, object]:
    context = {"event_id": f"e{number}"}
    return {"event_name": "view", "user": {"id": f"u{number % USERS}"}, "n": number, "context": context}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    ordered, failing, slow = Partner(), Partner(answer("500 Oops")), Partner("never")
    data = tmp_path_factory.mktemp("backlog") / "data"
    config = CONFIG.format(key=BACKEND, ordered=ordered.url, failing=failing.url, slow=slow.url)
    with Town(ordered, failing, slow) as town, Server(data, config) as server:
        town.down(ordered)
        yield Scene(server, town, ordered, failing, slow)


@pytest.mark.timeout(300)
def test_a_backlog_of_200_000_events_arrives_complete_and_in_order(scene: Scene) -> None:
    scene.server.post({"event_name": "rare", "context": {"event_id": "rare"}})
    scene.send(0, EVENTS)
    until(lambda: scene.archived() == EVENTS + 1, "the file to have everything while three partners fail", 120)
    assert scene.ordered.received == []
    shown = json.loads(scene.server.run("status", "--json").stdout)
    for name in ("ordered", "failing"):
        one = shown["processes"]["worker"]["destinations"][f"29/{name}"]
        assert one["breaker"] in ("open", "half_open"), name
        assert one["lag"] > EVENTS / 2, name
        assert one["trouble"]
        assert one["drift"] == 0
    assert scene.server.get("/ready")[0] == 200, "a partner that is down makes the server no less ready"
    assert scene.server.post(event(EVENTS))[0] == 200
    until(lambda: scene.archived() == EVENTS + 2, "another event to arrive in the file meanwhile")
    assert scene.server.audit()["closes"]

    scene.town.up(scene.ordered)
    scene.failing.replies = (OK,)
    scene.town.down(scene.slow)
    scene.slow.replies = (OK,)
    scene.town.up(scene.slow)
    until(lambda: settled(scene), "everything to be delivered", 150)
    assert_complete_and_ordered(scene.ordered)
    assert set(scene.failing.ids()) == {f"e{number}" for number in range(EVENTS + 1)} | {"rare"}
    assert scene.slow.ids().count("rare") >= 2
    report = scene.server.audit()
    assert report["closes"], report
    assert isinstance(report["destinations"], list)
    outcomes = {one["destination"]: one["outcomes"] for one in report["destinations"]}
    everything = {"delivered": EVENTS + 2}
    assert outcomes == {
        "29/archive": everything,
        "29/ordered": everything,
        "29/failing": everything,
        "29/slow": {"delivered": 1, "filtered": EVENTS + 1},
    }


def settled(scene: Scene) -> bool:
    facts = [scene.facts(name) for name in ("archive", "ordered", "failing", "slow")]
    return all(not one.lag and not one.ledger and one.breaker == "closed" for one in facts)


def assert_complete_and_ordered(partner: Partner) -> None:
    last: dict[str, int] = {}
    seen = 0
    for request in partner.received:
        for one in request.events():
            if one.event_name == "view":
                user = str(one.user["id"])
                assert last.get(user, -1) < one.n, f"{user}: {one.n} came after {last[user]}"
                last[user] = one.n
                seen += 1
    assert seen == EVENTS + 1
