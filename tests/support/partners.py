"""Partners on loopback that behave as they are told: one event loop in a thread, a listening socket for each."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, NamedTuple

import msgspec

from tests.support.server import free_port

Reply = bytes | Literal["never", "drip", "close"]
"""Bytes are written as they are, and the connection is kept if they say so."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_DRIP_S = 0.05


def answer(status: str, *headers: str, body: str = "") -> bytes:
    """A whole answer: `answer("503 Busy", "Retry-After: 1")`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", body]
    return "\r\n".join(lines).encode()


class Context(msgspec.Struct):
    """Where the id is."""

    event_id: str


class Event(msgspec.Struct):
    """What tests look at in an event."""

    event_name: str
    context: Context
    user: dict[str, object] = {}
    n: int = -1


class Received(NamedTuple):
    """One request as it came."""

    at_s: float
    path: str
    headers: dict[str, str]
    body: bytes

    def events(self) -> list[Event]:
        """The events in the body, one or an array of them."""
        found: Event | list[Event] = msgspec.json.decode(self.body, type=Event | list[Event])
        return found if isinstance(found, list) else [found]

    def ids(self) -> list[str]:
        return [event.context.event_id for event in self.events()]


class Partner:
    """Answers the nth request for the same first event by the nth reply, the last one from then on."""

    def __init__(self, *replies: Reply) -> None:
        self.replies: Sequence[Reply] = replies or (OK,)
        self.received: list[Received] = []
        self.port = free_port()
        self._attempts: Counter[str] = Counter()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"

    def ids(self) -> list[str]:
        """Ids of all events received, in order, repeats included."""
        return [one for request in list(self.received) for one in request.ids()]

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=1 << 24)

    async def hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in list(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                continue
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Received(time.monotonic(), first.split()[1], headers, body)
        self.received.append(request)
        name = request.ids()[0] if body else request.path
        self._attempts[name] += 1
        reply = self.replies[min(self._attempts[name], len(self.replies)) - 1]
        if isinstance(reply, bytes):
            writer.write(reply)
            await writer.drain()
            return reply.startswith(b"HTTP/1.1 ") and reply.endswith(b"\r\n\r\n")
        if reply == "drip":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while reply != "close":
            # Nothing, or a byte now and then, for as long as the other side waits.
            writer.write(b"x" if reply == "drip" else b"")
            await writer.drain()
            await asyncio.sleep(_DRIP_S)
        return False


class Town:
    """Runs partners; a context manager."""

    def __init__(self, *partners: Partner) -> None:
        self._partners = partners
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="partners", daemon=True)

    def __enter__(self) -> "Town":
        self._thread.start()
        for partner in self._partners:
            self.up(partner)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for partner in self._partners:
            self.down(partner)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def up(self, partner: Partner) -> None:
        """Let it listen."""
        asyncio.run_coroutine_threadsafe(partner.listen(), self._loop).result(60)

    def down(self, partner: Partner) -> None:
        """End its connections, and refuse new ones."""
        asyncio.run_coroutine_threadsafe(partner.hang_up(), self._loop).result(60)
