"""A full disk, and a full log: 503 while it lasts, no acknowledged event lost, and all goes on without a restart."""

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.crash.load import Load
from tests.support.server import BACKEND, Server, free_port, until

DISK_BYTES = 200_000_000
# Room is looked at once a second: the reserve holds several seconds of this load, as it does by default.
RESERVE_BYTES = 80_000_000
CONFIG = f"""
sites:
  "29":
    sources:
      backend: {{type: server, key: {BACKEND}}}
    destinations:
      archive: {{type: file, sources: [backend], settings: {{path: out/events.ndjson}}, delivery: {{backoff_s: 0.1}}}}
"""
HOOK = """
      hook: {{type: webhook, sources: [backend], settings: {{url: "http://127.0.0.1:{port}/in"}},
             delivery: {{backoff_s: 0.1, batch_size: 100}}}}
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, a small one."""
    assert os.geteuid() == 0, "this test mounts a small tmpfs: run it as root"
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@asynccontextmanager
async def under_load(server: Server) -> AsyncIterator[Load]:
    """A running server with clients that send without a pause."""
    await asyncio.to_thread(server.start)
    load = Load(server.port, 8)
    running = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        load.stop()
        await running
        await asyncio.to_thread(server.stop)


async def refused(load: Load, requests: int) -> None:
    """Wait until so many more requests got 503."""
    goal = load.answers[503] + requests
    await asyncio.to_thread(until, lambda: load.answers[503] >= goal, f"{requests} refusals")


def fill(disk: Path, leave: int) -> Path:
    """Take all but so many bytes of the disk."""
    ballast = disk / "ballast"
    # The server fills it at the same time.
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while (free := os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize) > leave:
            file.write(bytes(min(free - leave, 1 << 20)))
    return ballast


def says(server: Server, status: int, text: bytes) -> bool:
    """Whether `/ready` answers with this."""
    answer, body = server.get("/ready")
    return answer == status and text in body


def pids(server: Server) -> list[int | None]:
    return [server.pid(name) for name in ("collector", "worker", "control")]


@pytest.mark.parametrize(
    ("reserve", "leave"),
    [(RESERVE_BYTES, RESERVE_BYTES - 4_000_000), (0, 0)],
    ids=["the reserve is reached", "nothing is left"],
)
def test_a_full_disk_refuses_and_recovers(disk: Path, reserve: int, leave: int) -> None:
    data = disk / "data"
    data.mkdir()
    server = Server(data, CONFIG, TURNOUT_SEGMENT_BYTES="500000", TURNOUT_RESERVE_BYTES=str(reserve))

    async def scenario() -> None:
        async with under_load(server) as load:
            await load.acknowledge(500)
            before = pids(server)
            for _ in range(2):
                ballast = await asyncio.to_thread(fill, disk, leave)
                await refused(load, 100)
                if reserve:
                    await asyncio.to_thread(until, lambda: says(server, 503, b"kept in reserve"), "/ready to say so")
                ballast.unlink()
                await load.acknowledge(500)
            load.stop()
            assert set(load.answers) == {200, 503}
            assert load.without_retry_after == 0
            await asyncio.to_thread(until, lambda: set(load.acknowledged) <= archived(data), "the archive")
            assert pids(server) == before
            await asyncio.to_thread(until, server.ready, "the server to be ready")
            assert server.audit()["closes"]
            one = next(iter(load.acknowledged))
            assert server.trace(one)[0]["event_id"] == one

    asyncio.run(scenario())


def test_traffic_alone_fills_the_disk_and_loses_nothing(disk: Path) -> None:
    """Real ENOSPC wherever it happens: in a commit, a new segment, a checkpoint, the archive, the receipts."""
    data = disk / "data"
    data.mkdir()
    server = Server(data, CONFIG, TURNOUT_SEGMENT_BYTES="500000", TURNOUT_RESERVE_BYTES="0")

    async def scenario() -> None:
        async with under_load(server) as load:
            await load.acknowledge(100)
            before = pids(server)
            ballast = await asyncio.to_thread(fill, disk, 6_000_000)
            await refused(load, 300)
            ballast.unlink()
            await load.acknowledge(500)
            load.stop()
            await asyncio.to_thread(until, lambda: set(load.acknowledged) <= archived(data), "the archive", 60)
            assert pids(server) == before
            assert server.audit()["closes"]

    asyncio.run(scenario())


def test_a_log_full_of_unread_events_refuses_until_its_reader_goes_on(tmp_path: Path) -> None:
    port = free_port()
    received: set[str] = set()

    async def take(request: web.Request) -> web.Response:
        received.update(event["context"]["event_id"] for event in await request.json())
        return web.Response()

    server = Server(
        tmp_path / "data",
        CONFIG + HOOK.format(port=port),
        TURNOUT_SEGMENT_BYTES="300000",
        TURNOUT_LOG_BYTES="1000000",
        TURNOUT_RESERVE_BYTES="0",
    )

    async def scenario() -> None:
        application = web.Application()
        application.router.add_post("/in", take)
        runner = web.AppRunner(application)
        await runner.setup()
        async with under_load(server) as load:
            before = pids(server)
            await refused(load, 100)
            await asyncio.to_thread(until, lambda: says(server, 503, b"over its budget"), "/ready to say so")
            await web.TCPSite(runner, "127.0.0.1", port).start()
            await load.acknowledge(1000)
            load.stop()
            everything = set(load.acknowledged)
            await asyncio.to_thread(until, lambda: everything <= received, "the webhook")
            await asyncio.to_thread(until, lambda: everything <= archived(tmp_path / "data"), "the archive")
            assert pids(server) == before
            assert load.without_retry_after == 0
            assert server.audit()["closes"]
        await runner.cleanup()

    asyncio.run(scenario())


def archived(data: Path) -> set[str]:
    """The ids in the archive; while it is written its last line may not be whole."""
    path = data / "out/events.ndjson"
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return {json.loads(line)["context"]["event_id"] for line in whole.splitlines()}
