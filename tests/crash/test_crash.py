"""kill -9 at random moments under full load: every acknowledged event arrives whole, and the sums close.

`TURNOUT_CRASH_ROUNDS` sets the number of kills; `make soak` runs many.
"""

import asyncio
import json
import os
import random
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from tests.crash.load import PADDING, Load
from tests.support.server import BACKEND, Server, kill, until

ROUNDS = int(os.environ.get("TURNOUT_CRASH_ROUNDS", "20"))
CONNECTIONS = 32
EVENTS_A_ROUND = 1_500
SEGMENT_BYTES = 500_000
"""So small that files of the log fill up several times a second, and are often killed while they do."""
CONFIG = """
sites:
  "29":
    sources:
      backend: {{type: server, key: {key}}}
    destinations:
      archive: {{type: file, sources: [backend], settings: {{path: out/events.ndjson}}}}
      hook: {{type: webhook, sources: [backend], settings: {{url: "http://127.0.0.1:{port}/in"}},
             delivery: {{backoff_s: 0.1, batch_size: 100}}}}
"""


class Receiver:
    """A partner's endpoint: remembers the ids it has answered 200 for."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    async def take(self, request: web.Request) -> web.Response:
        self.ids.update(map(whole_event, msgspec.json.decode(await request.read(), type=list[msgspec.Raw])))
        return web.Response()

    async def start(self) -> int:
        application = web.Application(client_max_size=1 << 24)
        application.router.add_post("/in", self.take)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def close(self) -> None:
        await self._runner.cleanup()


def whole_event(text: bytes | msgspec.Raw) -> str:
    """The id of an event as `Load` sends them; fails if anything of it is missing."""
    event = json.loads(bytes(text))
    assert event["event_name"] == "crash"
    assert event["padding"] == PADDING
    event_id: str = event["context"]["event_id"]
    return event_id


async def crash_rounds(server: Server, load: Load, rounds: int) -> None:
    """Kill something, again and again, while the load goes on."""
    dice = random.Random()
    for _ in range(rounds):
        await load.acknowledge(dice.randint(1, EVENTS_A_ROUND))
        victim = dice.choice(["collector", "worker", "everything"])
        if victim == "everything":
            await asyncio.to_thread(server.kill_everything)
            await asyncio.to_thread(server.start)
        elif (pid := server.pid(victim)) is not None:
            kill(pid)


@pytest.mark.timeout(max(300, ROUNDS * 15))
def test_every_acknowledged_event_survives_kill_9(tmp_path: Path) -> None:
    async def scenario() -> None:
        receiver = Receiver()
        port = await receiver.start()
        config = CONFIG.format(key=BACKEND, port=port)
        server = Server(tmp_path / "data", config, TURNOUT_SEGMENT_BYTES=str(SEGMENT_BYTES))
        load = Load(server.port, CONNECTIONS, ahead=EVENTS_A_ROUND)
        try:
            await asyncio.to_thread(server.start)
            running = asyncio.create_task(load.run())
            await crash_rounds(server, load, ROUNDS)
            load.stop()
            await running
            await asyncio.to_thread(settled, server)
        finally:
            load.stop()
            await asyncio.to_thread(server.stop)
            await receiver.close()
        archive = (tmp_path / "data/out/events.ndjson").read_bytes()
        assert archive.endswith(b"\n")
        archived = set(map(whole_event, archive.splitlines()))
        assert len(load.acknowledged) >= ROUNDS
        assert load.acknowledged.keys() - receiver.ids == set()
        assert load.acknowledged.keys() - archived == set()
        assert halves(load.requests, archived) == []

    asyncio.run(scenario())


def halves(requests: Iterable[list[str]], ids: set[str]) -> list[list[str]]:
    """Requests of which some events are there and others not: a request is taken whole, or not at all."""
    return [request for request in requests if len(ids.intersection(request)) not in (0, len(request))]


def settled(server: Server) -> None:
    """Wait until nothing is under way; then the sums must close."""

    def done() -> bool:
        report = server.audit()
        destinations = report["destinations"]
        assert isinstance(destinations, list)
        waiting = sum(one["lag"] + one["outcomes"].get("pending", 0) for one in destinations)
        return not waiting and not report["unprocessed"]

    until(done, "everything to be delivered", 120)
    report = server.audit()
    assert report["closes"], report
