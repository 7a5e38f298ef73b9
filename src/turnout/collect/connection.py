"""One client connection: HTTP/1.1 in, answers out, in order.

Strategy. httptools (llhttp, strict) parses; this class counts, so that nothing a client sends can make us
hold more than the limits allow, and hands every complete request to the server. It never waits: answers come
back through `answer`, in the order of the requests, after the commit that made their events durable.

What must stay true: one answer per request, never two; whatever can't be parsed ends the connection; a
connection that is not making progress has a deadline that the server's sweep enforces; while a client does not
read its answers we do not read its requests; what is held of a request that is not complete, and of answers that are
not read, is accounted for.
"""

import asyncio
from typing import TYPE_CHECKING, cast

import httptools
import structlog

from turnout.collect import proxy_protocol
from turnout.collect.answers import Answer
from turnout.collect.head import (
    HEADER_BYTES,
    JOINED,
    REQUEST_LINE_BYTES,
    WANTED,
    well_framed,
    wire_limit,
    without_upgrade,
)
from turnout.collect.proxies import address_of

if TYPE_CHECKING:
    from turnout.collect.server import CollectServer, Target

PIPELINE = 64
"""Answers a connection may wait for before we stop reading from it."""
SLICE_BYTES = 8_192
"""How much is parsed before we look whether the client reads what it is answered."""
DRAIN_BYTES = 1 << 20
"""How much of a body that is too large we read and drop, so that the client gets to read the answer."""
_IDLE, _HEAD, _BODY, _CLOSING = range(4)

log = structlog.get_logger("collect")


class Connection(asyncio.Protocol):
    """See the module. `server` owns limits, clock, routing and the commit."""

    __slots__ = (
        "_body",
        "_body_limit",
        "_choked",
        "_drained",
        "_encrypted",
        "_eof",
        "_head",
        "_headers",
        "_held",
        "_method",
        "_owed",
        "_parser",
        "_paused",
        "_preface",
        "_rest",
        "_server",
        "_size",
        "_state",
        "_target",
        "_too_large",
        "_transport",
        "_unseen",
        "_url",
        "deadline",
        "peer",
        "pending",
    )

    def __init__(self, server: "CollectServer") -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._state = _IDLE
        self._url = self._method = b""
        self._headers: dict[str, bytes] = {}
        self._body: bytes | bytearray = b""
        self._body_limit = 0
        self._size = 0  # of the headers until they are complete, then of the body
        self._head = 0  # of a request whose body is on its way: the bytes before it
        self._unseen = 0  # bytes since the parser last handed over a head or a piece of a body
        self._held = 0  # bytes of the incomplete request, as the server knows it
        self._owed = 0  # bytes of answers that it does not read, as the server knows it
        self._drained = 0
        self._too_large = False
        self._paused = False  # we do not read
        self._choked = False  # the client does not read
        self._eof = False  # the client will send no more
        self._encrypted = False
        self._rest = b""  # what came and is not parsed while the client does not read
        self._preface: bytes | None = None  # what has come of a header of the PROXY protocol, where one must come
        self._target: Target | None = None
        self.pending = 0
        self.peer = ""
        self.deadline = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio.Transport does without deriving from it.
        self._transport = cast("asyncio.Transport", transport)
        peername = transport.get_extra_info("peername")
        self.peer = address_of(peername[0]) if peername else ""
        self._encrypted = transport.get_extra_info("ssl_object") is not None
        self.deadline = self._server.now + self._server.limits.idle_s
        if self._server.announced(self.peer):
            self._preface = b""
            self.deadline = self._server.now + self._server.limits.head_s
        if not self._server.admit(self):
            self._end(Answer.UNAVAILABLE)
            if self._server.crowded:
                self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._preface is not None:
            data = self._introduced(self._preface + data)
        if not data:
            return
        if len(data) <= SLICE_BYTES:
            self._parse(data)
        else:
            # Small requests may have large answers: what a client doesn't read must not pile up here.
            for start in range(0, len(data), SLICE_BYTES):
                if self._choked:
                    self._rest = data[start:]
                    break
                self._parse(data[start : start + SLICE_BYTES])
        if self._state != _IDLE or self._held or self._choked:
            self._account()

    def eof_received(self) -> bool:
        """Half-closed by the client: answers that are on their way still go out, then we close."""
        self._eof = True
        if not self.pending or self._encrypted:
            # TLS has no half-closed connections.
            return False
        self._close_after_answer()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _CLOSING
        self._release()
        self._server.owe(-self._owed)
        self._owed = 0
        self._transport = None
        self._server.forget(self)

    def pause_writing(self) -> None:
        """The client does not read its answers: stop reading from it until it does."""
        self._choked = True
        self.deadline = self._server.now + self._server.limits.body_s
        self._pause()

    def resume_writing(self) -> None:
        self._choked = False
        if self._state != _CLOSING:
            self.deadline = self._server.now + self._server.limits.idle_s
        rest, self._rest = self._rest, b""
        if rest:
            self.data_received(rest)
        else:
            self._account()
        if self.pending < PIPELINE and not self._choked:
            self._resume()

    # httptools

    def on_url(self, url: bytes) -> None:
        if self._state == _IDLE:
            self._begin()
        self._url += url
        if len(self._url) > REQUEST_LINE_BYTES:
            self._end(Answer.URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._state != _HEAD:
            return  # a trailer says nothing we want; `_unseen` bounds it
        self._size += len(name) + len(value) + 4
        if self._size > HEADER_BYTES:
            self._end(Answer.HEADERS_TOO_LARGE)
            return
        wanted = WANTED.get(name.lower())
        if wanted is not None:
            headers = self._headers
            if wanted in headers and wanted in JOINED:
                value = headers[wanted] + JOINED[wanted] + value
            headers[wanted] = value

    def on_headers_complete(self) -> None:
        if self._state == _CLOSING or self._upgrading():
            return
        server = self._server
        self._state = _BODY
        self._head = len(self._url) + self._size
        self._size = self._unseen = 0
        headers = self._headers
        method = self._method = self._parser.get_method()
        target = self._target = server.target(self._url, headers.get("authorization"), method)
        self.deadline = server.now + server.limits.body_s
        if not well_framed(headers) or (method != b"POST" and self._parser.get_http_version() == "0.9"):
            self._end(Answer.BAD_REQUEST)
            return
        limit = self._body_limit = wire_limit(target.body_bytes, headers)
        declared = int(headers.get("content_length", b"0"))
        if declared > limit:
            self._too_large = True
            self._size = declared
        if "expect" in headers and headers["expect"].lower() == b"100-continue":
            if self._too_large:
                self._complete(keep_alive=False)
            elif not self.pending and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        if self._state == _CLOSING:
            return
        self._unseen = 0
        size = len(chunk)
        if self._too_large:
            self._drained += size
            if self._drained > DRAIN_BYTES:
                self._complete(keep_alive=False)
            return
        self._size += size
        if self._size > self._body_limit:
            self._too_large = True
            self._release()
        elif not self._body:
            self._body = chunk
        else:
            # One object, however small the pieces are.
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += chunk

    def on_message_complete(self) -> None:
        if self._state == _CLOSING or self._upgrading():
            return
        keep_alive = self._parser.should_keep_alive()
        if keep_alive and "connection" in self._headers and self._parser.get_http_version() != "1.1":
            # HTTP/1.0 asks for it in words, and wants to hear the same words: it gets a close instead.
            keep_alive = False
        self._complete(keep_alive)

    # the server's side

    def answer(self, data: bytes, close: bool) -> None:
        """Send one answer; with `close`, the last one."""
        self.pending -= 1
        transport = self._transport
        if transport is None:
            return
        if data:
            transport.write(data)
        if close or (self._state == _CLOSING and not self.pending):
            self._finish()
        elif self._paused and not self._choked and self.pending < PIPELINE // 2:
            self._resume()

    def sweep(self) -> None:
        """Called when the deadline has passed: end what makes no progress."""
        if self._transport is None:
            return
        if self._choked:
            self._transport.abort()
        elif self.pending:
            return  # it waits for us
        elif self._state == _CLOSING:
            self._transport.abort()
        elif self._state == _IDLE or not self._url:
            self._transport.close()
        else:
            self._end(Answer.TIMEOUT)

    def stop(self) -> None:
        """The server is draining: close when nothing is in hand."""
        if self._state == _IDLE and not self.pending and self._transport is not None:
            self._transport.close()

    def _parse(self, data: bytes) -> None:
        if self._state == _CLOSING:
            return
        if self._state == _IDLE:
            self._begin()
        self._unseen += len(data)
        try:
            while data:
                try:
                    self._parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as upgrade:
                    data = self._decline(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            log.exception("a request could not be decided")
            if self._transport is not None:
                self._transport.abort()
            return
        except httptools.HttpParserError:
            self._end(Answer.BAD_REQUEST)
            return
        if self._unseen > REQUEST_LINE_BYTES + HEADER_BYTES:
            self._end(Answer.HEADERS_TOO_LARGE)

    def _account(self) -> None:
        """Tell the server what we hold of this client's; where there is no room for it, end."""
        if self._state == _CLOSING:
            return
        waiting = self._unseen if self._state == _HEAD else self._head + len(self._body) + len(self._rest)
        if waiting != self._held:
            if self._server.hold(waiting - self._held):
                self._held = waiting
            else:
                self._end(Answer.UNAVAILABLE)
        unread = self._transport.get_write_buffer_size() if self._choked and self._transport is not None else 0
        if unread != self._owed:
            if self._server.owe(unread - self._owed):
                self._owed = unread
            elif self._transport is not None:
                self._transport.abort()

    def _begin(self) -> None:
        self._state = _HEAD
        self.deadline = self._server.now + self._server.limits.head_s

    def _upgrading(self) -> bool:
        """Whether the parser takes what follows this head for another protocol; `_decline` sets it right."""
        return "upgrade" in self._headers and self._parser.should_upgrade() and self._parser.get_method() != b"CONNECT"

    def _decline(self, rest: bytes) -> bytes:
        """The parser followed an upgrade and skipped the body: give it the same request without, and the `rest`."""
        if self._state == _CLOSING:
            return b""
        if self._state != _HEAD:  # CONNECT: answered, and what follows is for nobody
            self._end(None)
            return b""
        parser, url, headers = self._parser, self._url, self._headers
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._headers, self._size = b"", {}, 0
        return without_upgrade(parser.get_method(), url, parser.get_http_version(), headers) + rest

    def _complete(self, keep_alive: bool) -> None:
        target = self._target
        assert target is not None
        headers, body = self._headers, self._body
        refused_bytes = self._size if self._too_large else -1
        method = self._method
        self._release()
        self._url = b""
        self._headers = {}
        self._size = self._unseen = self._drained = self._head = 0
        self._too_large = False
        self.pending += 1
        if keep_alive and not self._server.draining:
            self._state = _IDLE
            self.deadline = self._server.now + self._server.limits.idle_s
            if self.pending >= PIPELINE:
                self._pause()
        else:
            keep_alive = False
            self._close_after_answer()
        self._server.request(self, method, target, headers, bytes(body), refused_bytes, keep_alive)

    def _end(self, answer: Answer | None) -> None:
        """Answer what can't be a request (None: nothing), behind those still under way, and close."""
        if self._state == _CLOSING:
            return
        self._close_after_answer()
        self.pending += 1
        self._server.refuse(self, answer)

    def _close_after_answer(self) -> None:
        self._state = _CLOSING
        self._release()

    def _finish(self) -> None:
        """The last answer is written: say so, then read and discard what is still coming.

        To close with unread input would make the kernel drop the answer.
        """
        assert self._transport is not None
        self._state = _CLOSING
        self.deadline = self._server.now + self._server.limits.linger_s
        if self._eof or self._encrypted:
            # TLS says goodbye in words, and waits for the answer.
            self._transport.close()
        else:
            self._transport.write_eof()
            self._resume()

    def _introduced(self, data: bytes) -> bytes:
        """What follows the header of the PROXY protocol; nothing while it is not complete."""
        try:
            header = proxy_protocol.parse(data)
        except proxy_protocol.ProxyProtocolError as error:
            self._server.surprise("no PROXY protocol header from a trusted proxy", proxy=self.peer, reason=str(error))
            self._preface = None
            self._end(None)
            return b""
        if header is None:
            self._preface = data
            return b""
        self._preface = None
        self.peer = header.address or self.peer
        return data[header.size :]

    def _release(self) -> None:
        self._body = self._rest = b""
        if self._held:
            self._server.hold(-self._held)
            self._held = 0

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
