"""What is fuzzed: bytes in, `AssertionError` or any other exception out when a promise is broken."""

import asyncio
import json
from collections.abc import Callable
from typing import cast

from turnout.collect import connection as connection_module
from turnout.collect import ga4, pixel, proxies, proxy_protocol
from turnout.collect.answers import Answer
from turnout.collect.connection import Connection
from turnout.collect.directory import Directory, parameters
from turnout.collect.endpoint import Decision, Endpoint, Request
from turnout.collect.server import CollectServer, Surroundings
from turnout.model.config import Snapshot, Source
from turnout.model.event import Received, decode_received, encode
from turnout.process.arrays import is_array

SHOP = Source(site="29", name="shop", type="web", environment="production", key="k", ip="truncate")
OPEN = Source(site="29", name="open", type="web", environment="production", key="o")
DIRECTORY = Directory(
    Snapshot(
        version="1",
        sites=frozenset({"29"}),
        first_party={"29": ("shop.example",)},
        sources={source.ref: source for source in (SHOP, OPEN)},
    ),
    0,
)
NOW = 1_700_000_000_000


class Broken(Exception):
    """A request made the collector raise."""


class _Log:
    def exception(self, what: str) -> None:
        raise Broken(what)


class _Transport:
    """Takes answers, as a client that reads them would."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def get_extra_info(self, name: str) -> object:
        return ("192.0.2.1", 5678) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = write_eof = close

    def pause_reading(self) -> None:
        """Nothing more comes anyway."""

    resume_reading = pause_reading


class _Server(CollectServer):
    """Answers at once, without a log to wait for."""

    def _put(
        self,
        connection: Connection,
        decision: Decision | None,
        origin: bytes | None,
        keep_alive: bool,
        head: bool = False,
    ) -> None:
        records = [encode(record) for record in decision.records] if decision is not None else []
        for record in records:
            _check(decode_received(record))
        self._answer([(connection, records, decision, origin, keep_alive, head)], stored=True)


def wire(data: bytes) -> None:
    """Any bytes on a connection, in two pieces: no exception, no 5xx, and answers that are whole."""
    setattr(connection_module, "log", _Log())  # noqa: B010 - another type, on purpose
    trusted = proxies.TrustedProxies(["192.0.2.0/24"])
    surroundings = Surroundings(trusted=trusted, is_array=is_array, proxy_protocol=data[:1] == b"\r")
    server = _Server(lambda _: None, Endpoint(is_array=is_array), DIRECTORY, surroundings=surroundings)
    connection, transport = Connection(server), _Transport()
    connection.connection_made(cast("asyncio.Transport", transport))
    half = len(data) // 2
    for piece in (data[:half], data[half:]):
        if piece and not transport.closing:
            connection.data_received(piece)
    connection.connection_lost(None)
    for status in (
        line.split(b" ", 2)[1] for line in transport.written.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")
    ):
        assert status in (b"100", b"200", b"204", b"304", b"400", b"404", b"405", b"408", b"414", b"431"), status
    assert server.held == 0


def query(data: bytes) -> None:
    """Any query: an event that can be written as JSON and is no deeper than its brackets may go."""
    decoded = pixel.decode(data, is_array)
    text = json.dumps(decoded.event)
    assert json.loads(text) == decoded.event
    assert "\\u0000" not in text
    assert not any(name.startswith("tc_") or name == "token" for name in decoded.event)
    decision = _decide("pixel", b"", pixel=decoded)
    assert decision.answer is Answer.PIXEL
    assert len(decision.records) == 1


def body(data: bytes) -> None:
    """Any body, to both endpoints: an answer of the contract, and records whose payload is JSON where it must be."""
    for endpoint in ("events", "events/batch"):
        for encoding in (None, b"gzip"):
            decision = _decide(endpoint, data, content_encoding=encoding)
            assert decision.answer in (Answer.OK, Answer.INVALID_JSON, Answer.TOO_LARGE)


def hits(data: bytes) -> None:
    """Any GA4 hit with any body: a bounded number of events."""
    head, _, rest = data.partition(b"\n")
    parts = ga4.split(f"tc_s=29&token=k&ga_url_param={head.decode('utf-8', 'replace')}")
    assert parts is not None
    decision = _decide("events", rest, hit=parts)
    assert decision.answer is Answer.OK
    assert len(decision.records) <= ga4.HITS


def headers(data: bytes) -> None:
    """Any forwarding headers and PROXY protocol prefaces: an address, or none."""
    trusted = proxies.TrustedProxies(["192.0.2.0/24"])
    for name in ("x_forwarded_for", "forwarded", "x_forwarded_host", "x_forwarded_proto"):
        found = proxies.client("192.0.2.1", {name: data, "host": data}, trusted)
        assert found.address == proxies.address_of(found.address)
    proxies.location_of({"x_forwarded_country": data})
    try:
        header = proxy_protocol.parse(data)
    except proxy_protocol.ProxyProtocolError:
        return
    assert header is None or header.size <= proxy_protocol.VERSION_2_BYTES


TARGETS: dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]] = {
    "wire": (
        wire,
        (
            b"POST /events?tc_s=29&token=k HTTP/1.1\r\nHost: c.shop.example\r\nContent-Type: application/json\r\n"
            b'Content-Length: 18\r\n\r\n{"event_name":"x"}GET /events?tc_s=29&token=o&event_name=x HTTP/1.1\r\n\r\n',
            b"POST /events/batch?tc_s=29&token=o HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2]\r\n0\r\n\r\n",
            b"GET /get-cookie?name=CAID HTTP/1.1\r\nCookie: CAID=1\r\n\r\nHEAD /tag.js HTTP/1.1\r\n\r\n",
            b"GET /events?event_name=x HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: a\r\n\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\1\2\3\4\5\6\7\x08\0\1\0\2GET /healthy HTTP/1.1\r\n\r\n",
        ),
    ),
    "query": (
        query,
        (b"event_name=x&a[b][]=1&items[0][id]=A&user[consent_categories]=1", b"tc_s=29&a[=%ZZ&b]=%00&c=%ff"),
    ),
    "body": (body, (b'{"event_name":"x","properties":{"a":1}}', b'{"batch":[{"event_name":"x"},3]}', b'{"a":1e400}')),
    "hits": (hits, (b"/g/collect?v=2&en=page_view", b"/g/collect?v=2\nen=a\nen=b&x=%ff")),
    "headers": (headers, (b'for="[2001:db8::1]:80";host=a.b, for=10.0.0.1', b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n")),
}
"""By name: the target, and inputs to begin with."""


def _decide(endpoint: str, data: bytes, **more: object) -> Decision:
    for key in ("k", "o"):
        access = DIRECTORY.resolve(parameters(f"tc_s=29&token={key}"))
        given: dict[str, object] = {"content_encoding": None, "cookie": data[:64], "host": "c.shop.example", **more}
        request = Request(
            endpoint,
            access,
            data,
            b"application/json",
            origin=None,
            user_agent=data[:32],
            client_ip="192.0.2.1",
            received_ms=NOW,
            size=len(data),
            **given,  # type: ignore[arg-type] # fields of the struct, by name
        )
        decision = Endpoint(is_array=is_array).handle(request)
        for record in decision.records:
            _check(decode_received(encode(record)))
    return decision


def _check(record: Received) -> None:
    assert record.event_id
    if record.status != "rejected":
        assert isinstance(json.loads(record.payload), dict)
