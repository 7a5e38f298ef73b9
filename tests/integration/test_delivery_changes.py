"""Destinations that come, change and go by `turnout apply` while events flow; and state.db lost or damaged."""

import itertools
import json
from collections.abc import Iterator

import pytest

from tests.support.partners import OK, Partner, Town, answer
from tests.support.server import BACKEND, Server, until

NUMBERS = itertools.count()


class Scene:
    """A running server, a partner, and the means to change what is configured."""

    def __init__(self, server: Server, town: Town, partner: Partner) -> None:
        self.server, self.town, self.partner = server, town, partner

    def apply(self, **destinations: str) -> None:
        """Configure these destinations: each "29/<name>" with its YAML beside the links."""
        # The file that the server is started with, so that a restart finds the same.
        file = self.server.data.with_suffix(".yaml")
        file.write_text(config(**destinations))
        done = self.server.run("apply", "-f", str(file))
        assert done.returncode == 0, done.stderr

    def send(self) -> str:
        """One event; gives its id."""
        name = f"e{next(NUMBERS)}"
        assert self.server.post({"event_name": "purchase", "context": {"event_id": name}})[0] == 200
        return name

    def fates(self, event_id: str) -> dict[str, str]:
        """Outcome by destination."""
        traces = self.server.trace(event_id)
        found = traces[0]["destinations"] if traces else []
        assert isinstance(found, list)
        return {fate["destination"]: fate["outcome"] for fate in found}

    def breaker(self, name: str) -> str:
        shown = json.loads(self.server.run("status", "--json").stdout)
        state: str = shown["processes"]["worker"]["destinations"][f"29/{name}"]["breaker"]
        return state

    def webhook(self, delivery: str = "backoff_s: 0.05", more: str = "") -> str:
        return (
            f'type: webhook, settings: {{url: "{self.partner.url}"}}, delivery: {{timeout_ms: 30000, {delivery}}}{more}'
        )


def config(**destinations: str) -> str:
    """The configuration with these destinations."""
    lines = [f"      {name}: {{sources: [backend], {rest}}}" for name, rest in destinations.items()]
    return f"""
sites:
  "29":
    sources:
      backend: {{type: server, key: {BACKEND}}}
    destinations:
      archive: {{type: file, sources: [backend], settings: {{path: out/events.ndjson}}}}
{chr(10).join(lines)}
"""


def collecting(server: Server) -> bool:
    """Whether the collector listens."""
    try:
        return server.post({})[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("changes") / "data", config()) as one:
        yield one


@pytest.fixture
def scene(server: Server) -> Iterator[Scene]:
    partner = Partner()
    with Town(partner) as town:
        yield Scene(server, town, partner)
        report = server.audit()
        assert report["closes"], report


def test_an_added_destination_gets_events_from_then_on(scene: Scene) -> None:
    before = scene.send()
    until(lambda: scene.fates(before) == {"29/archive": "delivered"}, "an event before")
    scene.apply(added=scene.webhook())
    after = scene.send()
    until(lambda: scene.partner.ids() == [after], "an event after")
    assert scene.fates(before) == {"29/archive": "delivered"}


def test_changed_settings_hold_for_the_next_event_and_for_what_waits(scene: Scene) -> None:
    scene.partner.replies = (answer("500 Oops"),)
    scene.apply(changed=scene.webhook("backoff_s: 0.3, max_attempts: 100"))
    waiting = scene.send()
    until(lambda: scene.partner.received, "a failure")
    with Town(other := Partner()):
        scene.apply(changed=scene.webhook().replace(scene.partner.url, other.url))
        after = scene.send()
        until(lambda: set(other.ids()) == {waiting, after}, "both at the new address")
        until(lambda: scene.fates(waiting)["29/changed"] == "delivered", "the receipt")


def test_a_removed_destination_ends_what_it_owes_and_replays_when_it_is_back(scene: Scene) -> None:
    scene.partner.replies = (answer("500 Oops"),)
    scene.apply(removed=scene.webhook("backoff_s: 600"))
    owed = scene.send()
    until(lambda: scene.partner.received, "a failure")
    scene.apply()
    until(lambda: scene.fates(owed)["29/removed"] == "error", "the end")
    missed = scene.send()
    until(lambda: scene.fates(missed) == {"29/archive": "delivered"}, "an event meanwhile")
    refused = scene.server.run("dead", "replay", "--destination", "removed")
    assert refused.returncode == 2
    scene.partner.replies = (OK,)
    scene.apply(removed=scene.webhook())
    said = scene.server.run("dead", "replay", "--reason", "destination_deleted").stdout
    assert said.startswith(b"1 dead letters are tried again"), said
    until(lambda: scene.fates(owed)["29/removed"] == "delivered", "the replay")
    assert missed not in scene.partner.ids()


def test_the_breaker_opens_visibly_and_closes_when_the_partner_is_back(scene: Scene) -> None:
    scene.town.down(scene.partner)
    scene.apply(broken=scene.webhook("backoff_s: 0.05, max_attempts: 100"))
    for _ in range(12):
        scene.send()
    until(lambda: scene.breaker("broken") == "open", "the breaker to open")
    text = scene.server.get("/metrics")[1].decode()
    assert any("breaker" in line and "29/broken" in line for line in text.splitlines())
    last = scene.send()
    scene.town.up(scene.partner)
    until(lambda: scene.fates(last)["29/broken"] == "delivered", "everything to arrive")
    assert scene.breaker("broken") == "closed"
    assert len(set(scene.partner.ids())) == 13


def test_dry_mode_off_and_on(scene: Scene) -> None:
    scene.apply(dry=scene.webhook(more=", dry_mode: true"))
    simulated = scene.send()
    until(lambda: scene.fates(simulated).get("29/dry") == "dry_run", "a dry run")
    scene.apply(dry=scene.webhook())
    real = scene.send()
    until(lambda: scene.fates(real).get("29/dry") == "delivered", "a delivery")
    assert scene.partner.ids() == [real]


def test_a_slow_partner_delays_no_change(scene: Scene) -> None:
    scene.partner.replies = ("never",)
    scene.apply(slow=scene.webhook().replace("timeout_ms: 30000", "timeout_ms: 100000"))
    scene.send()
    until(lambda: scene.partner.received, "an attempt under way")
    with Town(other := Partner()):
        fast = scene.webhook().replace(scene.partner.url, other.url)
        scene.apply(slow=scene.webhook(more=", dry_mode: true"), fast=fast)
        event = scene.send()
        until(lambda: other.ids() == [event], "the new destination to get it while the slow one is at it")
    scene.partner.replies = (OK,)
    scene.town.down(scene.partner)
    until(lambda: "waiting" not in scene.fates(event).values(), "the slow one to end")


def test_a_damaged_state_db_is_named_and_collection_goes_on(scene: Scene) -> None:
    server = scene.server
    scene.apply()
    server.stop()
    path = server.data / "state.db"
    kept = path.read_bytes()
    path.write_bytes(b"garbage" * 5_000)
    path.with_name("state.db-wal").unlink(missing_ok=True)
    server.launch()
    until(lambda: f"{path}: file is not a database" in server.errors, "the message")
    until(lambda: collecting(server), "the collector")
    event = scene.send()
    assert str(path) in server.run("audit").stderr.decode()
    path.write_bytes(kept)
    until(lambda: scene.fates(event) == {"29/archive": "delivered"}, "the event, with the file back")


def test_a_lost_state_db_costs_repeats_not_events(scene: Scene) -> None:
    server = scene.server
    scene.apply(hook=scene.webhook())
    first = scene.send()
    until(lambda: scene.partner.ids() == [first], "an event")
    server.kill_everything()
    for path in server.data.glob("state.db*"):
        path.unlink()
    server.start()
    second = scene.send()
    until(lambda: second in scene.partner.ids(), "the next event")
    until(lambda: scene.fates(second) == {"29/archive": "delivered", "29/hook": "delivered"}, "receipts")
    until(lambda: scene.server.trace(first), "the index to know earlier events again")
