"""kill -9 at random moments under load: every acknowledged event arrives, and the sums close.

`TURNOUT_CRASH_ROUNDS` sets the number of kills; `make soak` runs many.
"""

import asyncio
import json
import os
import random
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.server import BACKEND, Server, kill, until

ROUNDS = int(os.environ.get("TURNOUT_CRASH_ROUNDS", "20"))
CONNECTIONS = 24
EVENTS_A_ROUND = 250
CONFIG = """
sites:
  "29":
    sources:
      backend: {{type: server, key: {key}}}
    destinations:
      archive: {{type: file, sources: [backend], settings: {{path: out/events.ndjson}}}}
      hook: {{type: webhook, sources: [backend], settings: {{url: "http://127.0.0.1:{port}/in"}},
             delivery: {{backoff_s: 0.1}}}}
"""


class Receiver:
    """A partner's endpoint: remembers the ids it has answered 200 for."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    async def take(self, request: web.Request) -> web.Response:
        event = await request.json()
        self.ids.add(event["context"]["event_id"])
        return web.Response()

    async def start(self) -> int:
        application = web.Application()
        application.router.add_post("/in", self.take)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def close(self) -> None:
        await self._runner.cleanup()


class Load:
    """Clients that send as fast as they are answered; `acknowledged` holds ids that got a 200."""

    def __init__(self, port: int) -> None:
        self.acknowledged: set[str] = set()
        self._port = port
        self._stop = False
        self._goal = 0
        self._reached = asyncio.Event()

    async def run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(CONNECTIONS)))

    async def acknowledge(self, events: int) -> None:
        """Wait until so many more events got a 200."""
        self._goal = len(self.acknowledged) + events
        self._reached.clear()
        await self._reached.wait()

    def stop(self) -> None:
        self._stop = True

    async def _client(self, number: int) -> None:
        sent = 0
        while not self._stop:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            try:
                while not self._stop:
                    event_id = f"e-{number}-{sent}"
                    sent += 1
                    await self._send(reader, writer, event_id)
                    await asyncio.sleep(0.01)
            except (OSError, asyncio.IncompleteReadError):
                continue
            finally:
                writer.close()

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, event_id: str) -> None:
        body = json.dumps({"event_name": "crash", "context": {"event_id": event_id}, "padding": "x" * 500})
        head = (
            f"POST /events?tc_s=29&token={BACKEND} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write((head + body).encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if answer.startswith(b"HTTP/1.1 200"):
            await reader.readexactly(2)
            self.acknowledged.add(event_id)
            if len(self.acknowledged) >= self._goal:
                self._reached.set()
        else:
            raise ConnectionError(answer)


async def crash_rounds(server: Server, load: Load, rounds: int) -> None:
    """Kill something, again and again, while the load goes on."""
    dice = random.Random()
    for _ in range(rounds):
        await load.acknowledge(EVENTS_A_ROUND)
        await asyncio.sleep(dice.random() * 0.2)
        victim = dice.choice(["collector", "worker", "everything"])
        if victim == "everything":
            await asyncio.to_thread(server.kill_everything)
            await asyncio.to_thread(server.start)
        elif (pid := server.pid(victim)) is not None:
            kill(pid)


@pytest.mark.timeout(max(240, ROUNDS * 15))
def test_every_acknowledged_event_survives_kill_9(tmp_path: Path) -> None:
    async def scenario() -> None:
        receiver = Receiver()
        port = await receiver.start()
        server = Server(tmp_path / "data", CONFIG.format(key=BACKEND, port=port))
        await asyncio.to_thread(server.start)
        try:
            load = Load(server.port)
            running = asyncio.create_task(load.run())
            await crash_rounds(server, load, ROUNDS)
            load.stop()
            await running
            await asyncio.to_thread(settled, server)
        finally:
            await asyncio.to_thread(server.stop)
            await receiver.close()
        assert len(load.acknowledged) >= ROUNDS * EVENTS_A_ROUND
        assert load.acknowledged - receiver.ids == set()
        assert load.acknowledged - ids_in(tmp_path / "data/out/events.ndjson") == set()

    asyncio.run(scenario())


def settled(server: Server) -> None:
    """Wait until nothing is under way; then the sums must close."""

    def done() -> bool:
        report = server.audit()
        destinations = report["destinations"]
        assert isinstance(destinations, list)
        waiting = sum(one["lag"] + one["outcomes"].get("pending", 0) for one in destinations)
        return not waiting and not report["unprocessed"]

    until(done, "everything to be delivered", 90)
    report = server.audit()
    assert report["closes"], report


def ids_in(path: Path) -> set[str]:
    """The event ids in an NDJSON file; every line must be a whole event."""
    text = path.read_bytes()
    assert text.endswith(b"\n")
    return {json.loads(line)["context"]["event_id"] for line in text.splitlines()}
