"""A load generator for this machine: closed-loop clients that send events to a collector on loopback."""

import asyncio
from time import perf_counter

import msgspec
import uvloop

EVENT = {
    "event_name": "search",
    "search_term": "t-shirts",
    "user": {"id": "12345", "consistent_anonymous_id": "67892", "consent_categories": ["1", "3"]},
    "context": {
        "event_id": "#",
        "event_timestamp": "1639044446636",
        "page": {"title": "Search page", "url": "https://shop.example/search?q=t-shirts", "lang": "en"},
        "device": {"user_agent": "turnout bench", "ip": "192.0.2.56", "lang": "fr", "timezone": "Europe/Paris"},
    },
}
_BEFORE, _, _AFTER = msgspec.json.encode(EVENT).partition(b"#")
_ID_DIGITS = 18


class Load(msgspec.Struct, kw_only=True):
    """What a run gave: events that got their 200, seconds it took, seconds each request waited (sorted)."""

    events: int
    seconds: float
    waits: list[float]

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    def wait_ms(self, share: float) -> float:
        """How long this share of the requests waited at most (ms)."""
        return self.waits[min(len(self.waits) - 1, int(len(self.waits) * share))] * 1000


def run(port: int, query: str, *, connections: int, requests: int, batch: int = 0, first: int = 0) -> Load:
    """Send `requests` requests as fast as they are answered; with `batch`, each carries so many events.

    Event ids are numbers from `first` on. Raises RuntimeError at the first answer that is not 200.
    """
    return uvloop.run(_run(port, query, connections, requests, batch, first))


async def _run(port: int, query: str, connections: int, requests: int, batch: int, first: int) -> Load:
    loop = asyncio.get_running_loop()
    todo = iter(range(first, first + requests * max(batch, 1), max(batch, 1)))
    waits: list[float] = []
    ended: list[asyncio.Future[None]] = [loop.create_future() for _ in range(connections)]
    start = perf_counter()

    class Client(asyncio.Protocol):
        """One request at a time."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment] # uvloop's is one
            self._end = ended.pop()
            ended.insert(0, self._end)
            self._next()

        def data_received(self, data: bytes) -> None:
            # The answer is short and constant; it comes in one piece over loopback.
            if not data.startswith(b"HTTP/1.1 200"):
                self._end.set_exception(RuntimeError(f"the collector answered {data[:200]!r}"))
                self._transport.close()
                return
            waits.append(perf_counter() - self._sent)
            self._next()

        def connection_lost(self, exc: Exception | None) -> None:
            if not self._end.done():
                self._end.set_exception(exc or ConnectionError("the collector closed the connection"))

        def _next(self) -> None:
            number = next(todo, None)
            if number is None:
                self._end.set_result(None)
                self._transport.close()
                return
            self._sent = perf_counter()
            self._transport.write(_request(query, number, batch))

    for _ in range(connections):
        await loop.create_connection(Client, "127.0.0.1", port)
    await asyncio.gather(*ended)
    return Load(events=len(waits) * max(batch, 1), seconds=perf_counter() - start, waits=sorted(waits))


def _request(query: str, number: int, batch: int) -> bytes:
    if batch:
        path, body = "/events/batch", b'{"batch":[' + b",".join(_event(number + i) for i in range(batch)) + b"]}"
    else:
        path, body = "/events", _event(number)
    head = f"POST {path}?{query} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _event(number: int) -> bytes:
    return _BEFORE + b"%0*d" % (_ID_DIGITS, number) + _AFTER
