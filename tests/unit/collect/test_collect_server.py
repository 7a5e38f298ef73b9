"""The server answers after the commit, refuses what it can't hold or store, and keeps its caches small."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from turnout.collect.directory import Directory
from turnout.collect.endpoint import Endpoint
from turnout.collect.server import CollectServer, Limits
from turnout.model.config import EMPTY, Snapshot, Source
from turnout.model.errors import LogFullError

SOURCE = Source(site="29", name="shop", type="server", environment="production", key="k")
DIRECTORY = Directory(Snapshot(version="1", sites=frozenset({"29"}), sources={SOURCE.ref: SOURCE}), 0)
URL = b"/events?tc_s=29&token=k"


def post(body: object, close: bool = False) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    end = b"Connection: close\r\n" if close else b""
    head = b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
    return head % (URL, len(data), end) + data


EVENT = {"event_name": "x", "context": {"event_id": "e"}}
HEALTHY = b"GET /healthy HTTP/1.1\r\nHost: t\r\n\r\n"


class Disk:
    """An append that waits until it may, and fails when it should."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.full: Exception | None = None
        self.stored: list[bytes] = []

    def append(self, records: Sequence[bytes]) -> None:
        assert self.open.wait(60)
        if self.full is not None:
            raise self.full
        self.stored += records


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def status(self) -> int:
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 60)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await self._reader.readexactly(length)
        return int(head.split()[1])

    def waits(self) -> bool:
        return not self._reader._buffer  # type: ignore[attr-defined]


@asynccontextmanager
async def serving(disk: Disk, limits: Limits = Limits()) -> AsyncIterator[tuple[CollectServer, list[Client]]]:  # noqa: B008
    """A server and three clients."""
    server = CollectServer(disk.append, Endpoint(), DIRECTORY, limits=limits)
    port = await server.start("127.0.0.1", 0)
    stop = asyncio.Event()
    running = asyncio.create_task(server.run(stop))
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    try:
        yield server, [Client(*stream) for stream in streams]
    finally:
        disk.open.set()
        for _, writer in streams:
            writer.close()
        stop.set()
        await running


def test_a_200_waits_for_the_append_and_nothing_else_does() -> None:
    async def check() -> None:
        disk = Disk()
        async with serving(disk) as (_, (one, two, three)):
            disk.open.clear()
            one.send(post(EVENT))
            two.send(HEALTHY * 2)
            assert [await two.status() for _ in range(2)] == [200, 200]
            two.send(post(EVENT) + HEALTHY + post(b"{"))
            three.send(HEALTHY)
            assert await three.status() == 200
            assert one.waits()
            assert two.waits(), "an answer never overtakes an earlier one"
            assert disk.stored == []
            disk.open.set()
            assert await one.status() == 200
            assert [await two.status() for _ in range(3)] == [200, 200, 400]
            assert len(disk.stored) == 3

    asyncio.run(check())


@pytest.mark.parametrize("error", [LogFullError("no room"), OSError("surprise")])
def test_when_the_append_fails_every_request_with_records_gets_503(error: Exception) -> None:
    async def check() -> None:
        disk = Disk()
        async with serving(disk) as (server, (one, two, _)):
            disk.full = error
            one.send(post(EVENT) + HEALTHY + post(b"{"))
            two.send(post(EVENT))
            assert [await one.status() for _ in range(3)] == [503, 200, 503]
            assert await two.status() == 503
            assert str(error) in server.trouble
            disk.full = None
            one.send(post(EVENT))
            assert await one.status() == 200
            assert (server.trouble, len(disk.stored)) == ("", 1)

    asyncio.run(check())


def test_what_waits_for_a_slow_disk_is_bounded() -> None:
    async def check() -> None:
        disk = Disk()
        async with serving(disk, Limits(held_bytes=50_000)) as (server, (one, two, three)):
            disk.open.clear()
            for _ in range(9):
                one.send(post({**EVENT, "x": "y" * 10_000}))
            while server.held <= 50_000:  # noqa: ASYNC110 - a count, no event tells of it
                await asyncio.sleep(0)
            two.send(post(EVENT))
            assert await two.status() == 503, "no room"
            three.send(HEALTHY)
            assert await three.status() == 200
            assert server.held < 50_000 + 11_000
            disk.open.set()
            answers = [await one.status() for _ in range(9)]
            assert set(answers) == {200, 503}
            assert answers.count(200) == len(disk.stored)
            two.send(post(EVENT))
            assert await two.status() == 200
            assert server.held == 0

    asyncio.run(check())


def test_incomplete_requests_are_bounded() -> None:
    async def check() -> None:
        async with serving(Disk(), Limits(held_bytes=50_000)) as (_, (one, two, three)):
            half = post({"event_name": "x", "x": "y" * 30_000})[:-1]
            one.send(half)
            three.send(HEALTHY)
            assert await three.status() == 200
            two.send(half)
            assert await two.status() == 503
            one.send(b"}")
            assert await one.status() == 200
            three.send(half + b"}")
            assert await three.status() == 200, "what was held is given back"

    asyncio.run(check())


def test_heads_whose_bodies_are_on_their_way_count_as_held() -> None:
    async def check() -> None:
        async with serving(Disk(), Limits(held_bytes=60_000)) as (server, (one, two, three)):
            head = b"POST /events?%b HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n" % (b"y" * 40_000)
            one.send(head)
            three.send(HEALTHY)
            assert await three.status() == 200
            assert server.held > 40_000
            two.send(head)
            assert await two.status() == 503
            one.send(b"123456789")
            assert await one.status() == 200
            assert server.held == 0

    asyncio.run(check())


def test_short_targets_are_cached_until_the_configuration_changes_and_long_ones_never() -> None:
    server = CollectServer(Disk().append, Endpoint(), DIRECTORY)
    long = URL + b"&x=" + b"y" * 2_000
    assert server.target(URL, None) is server.target(URL, None)
    assert server.target(URL, b"x" * 2_000) is not server.target(URL, b"x" * 2_000)
    assert server.target(long, None) is not server.target(long, None)
    assert server.target(long, None).access == server.target(URL, None).access
    server.configure(Directory(EMPTY, 0))
    found = server.target(URL, None).access
    assert found is not None
    assert found.refusal is not None
