"""A partner that answers 200 to everything: `python -m bench.receiver PORT`, until SIGTERM."""

import asyncio
import sys
from collections.abc import Callable
from typing import cast

import httptools
import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Partner(asyncio.Protocol):
    """Reads requests; `seen` gets every body."""

    def __init__(self, seen: Callable[[bytes], object]) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._seen = seen
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._seen(self._body)
        self._body = b""
        self._transport.write(_ANSWER)


async def listen(port: int, seen: Callable[[bytes], object]) -> asyncio.Server:
    """A partner on this port of loopback."""
    return await asyncio.get_running_loop().create_server(lambda: Partner(seen), "127.0.0.1", port)


async def _forever(port: int) -> None:
    await (await listen(port, lambda _: None)).serve_forever()


if __name__ == "__main__":
    uvloop.run(_forever(int(sys.argv[1])))
