"""One client connection: HTTP/1.1 in, answers out, in order.

Strategy. httptools (llhttp, strict) parses; this class counts, so that nothing a client sends can make us
hold more than the limits allow, and hands every complete request to the server. It never waits: answers come
back through `answer`, in the order of the requests, after the commit that made their events durable.

What must stay true: one answer per request, never two; whatever can't be parsed ends the connection; a
connection that is not making progress has a deadline that the server's sweep enforces.
"""

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

from turnout.collect.answers import Answer

if TYPE_CHECKING:
    from turnout.collect.server import CollectServer, Target

REQUEST_LINE_BYTES = 40_960
HEADER_BYTES = 16_384
PIPELINE = 64
"""Answers a connection may wait for before we stop reading from it."""
DRAIN_BYTES = 1 << 20
"""How much of a body that is too large we read and drop, so that the client gets to read the answer."""

_WANTED = {
    b"content-type": "content_type",
    b"content-encoding": "content_encoding",
    b"authorization": "authorization",
    b"origin": "origin",
    b"user-agent": "user_agent",
    b"expect": "expect",
    b"content-length": "content_length",
}
_IDLE, _HEAD, _BODY, _CLOSING = range(4)


class Connection(asyncio.Protocol):
    """See the module. `server` owns limits, clock, routing and the commit."""

    __slots__ = (
        "_chunks",
        "_head_bytes",
        "_headers",
        "_parser",
        "_paused",
        "_pending",
        "_server",
        "_size",
        "_state",
        "_target",
        "_too_large",
        "_transport",
        "_url",
        "deadline",
        "peer",
    )

    def __init__(self, server: "CollectServer") -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._state = _IDLE
        self._url = b""
        self._headers: dict[str, bytes] = {}
        self._chunks: list[bytes] = []
        self._size = 0
        self._head_bytes = 0
        self._too_large = False
        self._pending = 0
        self._paused = False
        self._target: Target | None = None
        self.peer = ""
        self.deadline = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio.Transport does without deriving from it.
        self._transport = cast("asyncio.Transport", transport)
        peername = transport.get_extra_info("peername")
        self.peer = peername[0] if peername else ""
        self.deadline = self._server.now + self._server.limits.idle_s
        if not self._server.admit(self):
            self._end(Answer.UNAVAILABLE)

    def data_received(self, data: bytes) -> None:
        if self._state == _CLOSING:
            return
        if self._state == _IDLE:
            self._state = _HEAD
            self.deadline = self._server.now + self._server.limits.head_s
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end(None if self._pending else Answer.BAD_REQUEST)
            return
        except httptools.HttpParserError:
            self._end(Answer.BAD_REQUEST)
            return
        if self._state == _HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > REQUEST_LINE_BYTES + HEADER_BYTES:
                self._end(Answer.HEADERS_TOO_LARGE)

    def eof_received(self) -> bool:
        """Half-closed by the client: answers that are on their way still go out, then we close."""
        if self._state == _CLOSING or not self._pending:
            return False
        self._state = _CLOSING
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _CLOSING
        self._release()
        self._transport = None
        self._server.forget(self)

    def pause_writing(self) -> None:
        """The client does not read its answers: stop reading from it until it does."""
        self.deadline = self._server.now + self._server.limits.body_s
        self._pause()

    def resume_writing(self) -> None:
        self.deadline = self._server.now + self._server.limits.idle_s
        self._resume()

    # httptools

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > REQUEST_LINE_BYTES:
            self._end(Answer.URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value) + 4
        if self._size > HEADER_BYTES:
            self._end(Answer.HEADERS_TOO_LARGE)
            return
        wanted = _WANTED.get(name.lower())
        if wanted is not None:
            self._headers[wanted] = value

    def on_headers_complete(self) -> None:
        if self._state == _CLOSING:
            return
        server = self._server
        self._state = _BODY
        self._size = self._head_bytes = 0
        headers = self._headers
        target = self._target = server.target(self._url, headers.get("authorization"))
        self.deadline = server.now + server.limits.body_s
        declared = headers.get("content_length", b"0")
        if declared.isdigit() and int(declared) > target.body_bytes:
            self._too_large = True
            self._size = int(declared)
        if "expect" in headers and headers["expect"].lower() == b"100-continue":
            if self._too_large:
                self._complete(keep_alive=False)
            elif not self._pending and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        if self._state == _CLOSING:
            return
        size = len(chunk)
        if self._too_large:
            self._head_bytes += size
            if self._head_bytes > DRAIN_BYTES:
                self._complete(keep_alive=False)
            return
        self._size += size
        assert self._target is not None
        if self._size > self._target.body_bytes:
            self._too_large = True
            self._release()
            return
        if not self._server.hold(size):
            self._end(Answer.UNAVAILABLE)
            return
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if self._state != _CLOSING:
            self._complete(keep_alive=self._parser.should_keep_alive())

    # the server's side

    def answer(self, data: bytes, close: bool) -> None:
        """Send one answer; with `close`, the last one."""
        self._pending -= 1
        transport = self._transport
        if transport is None:
            return
        if data:
            transport.write(data)
        if close or (self._state == _CLOSING and not self._pending):
            self._finish()
        elif self._paused and self._pending < PIPELINE // 2:
            self._resume()

    def sweep(self) -> None:
        """Called when the deadline has passed: end what makes no progress."""
        if self._transport is None:
            return
        if self._state == _CLOSING or self._paused:
            self._transport.abort()
        elif self._state == _IDLE:
            if not self._pending:
                self._transport.close()
        else:
            self._end(Answer.TIMEOUT)

    def stop(self) -> None:
        """The server is draining: close when nothing is in hand."""
        if self._state == _IDLE and not self._pending and self._transport is not None:
            self._transport.close()

    def _complete(self, keep_alive: bool) -> None:
        target = self._target
        assert target is not None
        headers, size, too_large = self._headers, self._size, self._too_large
        body = b"" if too_large else self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        method = self._parser.get_method()
        self._release()
        self._url = b""
        self._headers = {}
        self._size = self._head_bytes = 0
        self._too_large = False
        self._pending += 1
        if keep_alive and not self._server.draining:
            self._state = _IDLE
            self.deadline = self._server.now + self._server.limits.idle_s
            if self._pending >= PIPELINE:
                self._pause()
        else:
            keep_alive = False
            self._close_after_answer()
        self._server.request(self, method, target, headers, body, size if too_large else -1, keep_alive)

    def _end(self, answer: Answer | None) -> None:
        """Answer what can't be a request (None: nothing), behind those still under way, and close."""
        if self._state == _CLOSING:
            return
        self._close_after_answer()
        self._release()
        self._pending += 1
        self._server.refuse(self, answer)

    def _close_after_answer(self) -> None:
        self._state = _CLOSING
        # A close with unread input would make the kernel drop the answer: read and discard for a while.
        self.deadline = self._server.now + self._server.limits.head_s

    def _finish(self) -> None:
        assert self._transport is not None
        self._state = _CLOSING
        self.deadline = self._server.now + self._server.limits.linger_s
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._resume()

    def _release(self) -> None:
        if self._chunks:
            self._server.hold(-sum(map(len, self._chunks)))
            self._chunks = []

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
