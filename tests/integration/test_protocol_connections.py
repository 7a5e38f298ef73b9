"""Connections behave as HTTP/1.1 asks, and nothing a client does to one hurts it or the others."""

import json
import os
import resource
import signal
import socket
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.raw import RawClient, Response
from tests.support.server import BACKEND, Server, until
from turnout.app import open_log
from turnout.control import factsfile
from turnout.log.interface import Log
from turnout.model.event import ACCEPTED, decode_received
from turnout.settings import Settings

TARGET = f"/events?tc_s=29&token={BACKEND}".encode()
BODY = b'{"event_name":"x"}'


def request(
    body: bytes = BODY, method: bytes = b"POST", target: bytes = TARGET, version: bytes = b"1.1", **headers: str
) -> bytes:
    """A whole request; a header given as "" is left out."""
    lines = {"Host": "test", "Content_Type": "application/json", "Content_Length": str(len(body)), **headers}
    text = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items() if value)
    return b"%b %b HTTP/%b\r\n%b\r\n%b" % (method, target, version, text.encode("latin-1"), body)


def chunked(*chunks: bytes, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    """The same in chunks."""
    head = request(b"", Content_Length="", Transfer_Encoding="chunked")
    parts = [b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks]
    return head + b"".join(parts) + b"0\r\n" + trailers + b"\r\n"


def named(event_id: str) -> bytes:
    """An event with this id."""
    return json.dumps({"event_name": "x", "context": {"event_id": event_id}}).encode()


GOOD = request()
CLOSE = request(Connection="close")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("connections") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def log(server: Server) -> Iterator[Log]:
    opened = open_log(Settings(data=str(server.data)))
    yield opened
    opened.close()


def ids_since(log: Log, start: int) -> list[str]:
    visitor = log.subscribe(ACCEPTED, None, start)
    batches = visitor.fetch(100_000)
    visitor.close()
    return [decode_received(record).event_id for batch in batches for record in batch.records]


def talk(server: Server, *pieces: bytes) -> list[Response]:
    """Send, say that this was all, and give every answer until the connection ends."""
    with RawClient(server.port) as client:
        client.send(*pieces)
        client.end()
        return client.rest()


def statuses(responses: list[Response]) -> list[int]:
    return [response.status for response in responses]


# Every answer of §1


class Answer(NamedTuple):
    name: str
    method: bytes
    target: bytes
    status: int
    body: bytes | None = None
    allow: str | None = None


EVENTS = "GET, HEAD, POST, OPTIONS"
BATCH = "POST, OPTIONS"
HEALTHY = "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "row",
    [
        Answer("POST", b"POST", TARGET, 200, b"{}"),
        Answer("POST to an absolute target", b"POST", b"http://test" + TARGET, 200, b"{}"),
        Answer("POST elsewhere", b"POST", b"/", 404),
        Answer("POST beside", b"POST", b"/eventsx", 404),
        Answer("GET events", b"GET", TARGET + b"&event_name=x", 200),
        Answer("GET a batch", b"GET", b"/events/batch", 405, allow=BATCH),
        Answer("HEAD a batch", b"HEAD", b"/events/batch", 405, b"", allow=BATCH),
        Answer("PUT", b"PUT", TARGET, 405, allow=EVENTS),
        Answer("PATCH", b"PATCH", TARGET, 405, allow=EVENTS),
        Answer("DELETE", b"DELETE", TARGET, 405, allow=EVENTS),
        Answer("TRACE", b"TRACE", TARGET, 405, allow=EVENTS),
        Answer("HEAD", b"HEAD", TARGET + b"&event_name=x", 200, b""),
        Answer("OPTIONS", b"OPTIONS", b"/events", 204, b""),
        Answer("OPTIONS a batch", b"OPTIONS", b"/cdp/events/batch/", 204, b""),
        Answer("OPTIONS healthy", b"OPTIONS", b"/healthy", 204, b""),
        Answer("OPTIONS elsewhere", b"OPTIONS", b"/x", 404),
        Answer("GET healthy", b"GET", b"/healthy", 200, b"ok"),
        Answer("GET healthy with slash", b"GET", b"/healthy/", 200, b"ok"),
        Answer("HEAD healthy", b"HEAD", b"/healthy", 200, b""),
        Answer("POST healthy", b"POST", b"/healthy", 405, allow=HEALTHY),
        Answer("GET elsewhere", b"GET", b"/favicon.ico", 404),
        Answer("HEAD elsewhere", b"HEAD", b"/x", 404, b""),
        Answer("CONNECT", b"CONNECT", b"test:443", 404),
    ],
    ids=lambda row: row.name,
)
def test_method_and_path(server: Server, log: Log, row: Answer) -> None:
    start = log.end(ACCEPTED)
    with RawClient(server.port) as client:
        client.send(request(BODY if row.method == b"POST" else b"", row.method, row.target))
        found = client.read(head=row.method == b"HEAD")
        assert found is not None
        assert found.status == row.status
        assert row.body is None or found.body == row.body
        assert found.headers.get("allow") == row.allow
        assert found.headers["cache-control"] == "no-store"
        client.end()
        assert client.rest() == []
    assert log.end(ACCEPTED) - start == (1 if row.method in (b"POST", b"GET") and TARGET in row.target else 0)


CORS = {
    "access-control-allow-origin": "https://shop.example",
    "access-control-allow-credentials": "true",
    "vary": "Origin",
}
PREFLIGHT = {
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "Content-Type, Authorization",
    "access-control-max-age": "86400",
}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (request(Origin="https://shop.example"), CORS),
        (request(b"{", Origin="https://shop.example"), CORS),
        (request(b"{" * 40_000, Origin="https://shop.example"), CORS),
        (request(b"", b"OPTIONS", Origin="https://shop.example"), CORS | PREFLIGHT),
        (request(b"", b"OPTIONS"), PREFLIGHT),
        (request(Origin="null"), {**CORS, "access-control-allow-origin": "null"}),
        (request(), {}),
        (request(Origin="https://a.example\x80"), {}),
        (request(Origin="https://" + "a" * 600), {}),
    ],
    ids=range(9),
)
def test_cross_origin_headers(server: Server, sent: bytes, expected: dict[str, str]) -> None:
    (found,) = talk(server, sent)
    assert {name: value for name, value in found.headers.items() if name in CORS | PREFLIGHT} == expected


# Bytes as they are: what is answered, in order, before the connection ends


class Raw(NamedTuple):
    name: str
    sent: bytes
    answers: list[int]


def coded(coding: str, length: str = "") -> bytes:
    """An empty body in some transfer coding."""
    return request(b"", Transfer_Encoding=coding, Content_Length=length) + b"0\r\n\r\n"


def resized(size: bytes) -> bytes:
    """A chunk with this instead of its size."""
    return chunked(BODY).replace(b"12\r\n{", size + b"\r\n{")


RAW = [
    # framing
    Raw("two at once", GOOD + GOOD, [200, 200]),
    Raw("good, bad, good", GOOD + request(b"{") + GOOD, [200, 400, 200]),
    Raw("nothing follows a close", CLOSE + GOOD + GOOD, [200]),
    Raw("HTTP/1.0", request(version=b"1.0") + GOOD, [200]),
    Raw("HTTP/1.0 that asks for keep-alive", request(version=b"1.0", Connection="keep-alive") + GOOD, [200]),
    Raw("empty lines before and behind", b"\r\n\r\n" + GOOD + b"\r\n" + GOOD + b"\r\n", [200, 200]),
    Raw("no body at all", request(b"", Content_Length=""), [400]),
    Raw("chunked", chunked(BODY[:3], BODY[3:]) + GOOD, [200, 200]),
    Raw("chunks of one byte", chunked(*(BODY[i : i + 1] for i in range(len(BODY)))) + GOOD, [200, 200]),
    Raw("chunk extensions", chunked(BODY, extension=b';a="b c";d') + GOOD, [200, 200]),
    Raw(
        "trailers change nothing",
        chunked(BODY, trailers=b"Content-Type: text/html\r\nContent-Encoding: br\r\nAuthorization: x\r\n") + GOOD,
        [200, 200],
    ),
    Raw("a length among the trailers", chunked(BODY, trailers=b"Content-Length: 3\r\n") + GOOD, [400]),
    Raw("trailers behind a long body", chunked(BODY.ljust(32_768), trailers=b"X: y\r\n") + GOOD, [200, 200]),
    Raw("chunked and too large", chunked(b"{" * 20_000, b"{" * 20_000) + GOOD, [400, 200]),
    Raw("far too large", request(b"{" * 3_000_000) + GOOD, [400]),
    Raw("upgrade asked in passing", request(Connection="Upgrade, HTTP2-Settings", Upgrade="h2c") * 3 + GOOD, [200] * 4),
    Raw("upgrade and close", request(Connection="upgrade, close", Upgrade="websocket") + GOOD, [200]),
    Raw(
        "upgrade with a chunked body",
        chunked(BODY).replace(b"Host: test", b"Connection: Upgrade\r\nUpgrade: h2c") + GOOD,
        [200, 200],
    ),
    Raw("bytes behind CONNECT are for nobody", request(b"", b"CONNECT", b"test:443") + GOOD, [404]),
    # lengths that lie
    Raw("too short a length", request(Content_Length="10") + GOOD, [400, 400]),
    Raw("too long a length", request(Content_Length="99"), []),
    Raw("negative length", request(Content_Length="-18") + GOOD, [400]),
    Raw("signed length", request(Content_Length="+18") + GOOD, [400]),
    Raw("hexadecimal length", request(Content_Length="0x12") + GOOD, [400]),
    Raw("two lengths in one", request(Content_Length="18, 18") + GOOD, [400]),
    Raw("two lengths alike", request(X="1\r\nContent-Length: 18") + GOOD, [400]),
    Raw("two lengths", request(X="1\r\nContent-Length: 3") + GOOD, [400]),
    Raw("huge length", request(Content_Length="9" * 30) + GOOD, [400]),
    Raw("length of thousands of digits", request(Content_Length="0" * 6_000 + "18") + GOOD, [400]),
    Raw("length with zeros", request(Content_Length="00018") + GOOD, [200, 200]),
    # smuggling
    Raw("length and chunked", coded("chunked", "5") + GOOD, [400]),
    Raw("chunked and length", coded("chunked\r\nContent-Length: 5") + GOOD, [400]),
    Raw("chunked is not last", coded("chunked, gzip") + GOOD, [400]),
    Raw("another coding before", coded("gzip, chunked") + GOOD, [400]),
    Raw("identity", coded("identity") + GOOD, [400]),
    Raw("almost chunked", coded("xchunked") + GOOD, [400]),
    Raw("chunked behind a tab", coded("\x0bchunked") + GOOD, [400]),
    Raw("twice chunked", coded("chunked\r\nTransfer-Encoding: chunked") + GOOD, [400]),
    Raw("chunked twice in one", coded("chunked, chunked") + GOOD, [400]),
    Raw("space before the colon", GOOD.replace(b"Content-Length:", b"Content-Length :") + GOOD, [400]),
    Raw("folded header", request(X="a\r\n b") + GOOD, [400]),
    Raw("folded length", request(Content_Length="1\r\n 8") + GOOD, [400]),
    Raw("bare LF", GOOD.replace(b"\r\n", b"\n") + GOOD, [400]),
    Raw("bare CR", GOOD.replace(b"\r\n", b"\r") + GOOD, [400]),
    Raw("LF in a header", request(X="a\nContent-Length: 3") + GOOD, [400]),
    Raw("negative chunk", resized(b"-12") + GOOD, [400]),
    Raw("prefixed chunk", resized(b"0x12") + GOOD, [400]),
    Raw("huge chunk", resized(b"f" * 20) + GOOD, [400]),
    Raw("chunk longer than said", resized(b"10") + GOOD, [400]),
    Raw("chunk with bare LF", chunked(BODY).replace(b"12\r\n{", b"12\n{") + GOOD, [400]),
    Raw("request in the body of another", request(GOOD, Connection="close"), [400]),
    # other protocols and garbage
    Raw("HTTP/0.9", b"GET /events\r\n\r\n", [400]),
    Raw("HTTP/1.2", request(version=b"1.2") + GOOD, [400]),
    Raw("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", [400]),
    Raw("TLS hello", bytes.fromhex("16030100c8010000c40303") + b"\1" * 200, [400]),
    Raw("PROXY protocol", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + GOOD, [400]),
    Raw("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", [400]),
    Raw("null bytes", b"\0" * 64, [400]),
    Raw("null byte in a header", request(X="a\0b") + GOOD, [400]),
    Raw("null byte in the target", request(target=TARGET + b"\0") + GOOD, [400]),
    Raw("null bytes as body", request(b"\0" * 9) + GOOD, [400, 200]),
    Raw("unknown method", request(method=b"BREW") + GOOD, [400]),
    Raw("method in lower case", request(method=b"post") + GOOD, [400]),
    Raw("target that is not ASCII", request(target=b"/\xe9") + GOOD, [400]),
    Raw("garbage behind a good request", GOOD + b"\xff\xfe\0garbage", [200, 400]),
    Raw("nothing", b"", []),
    Raw("half a head", GOOD[:40], []),
    Raw("half a body", GOOD[:-3], []),
    Raw("a good one and half of another", GOOD + GOOD[:-3], [200]),
    # limits
    Raw("request line of 40 KB", request(target=TARGET.ljust(40_960, b"a")) + GOOD, [200, 200]),
    Raw("request line over 40 KB", request(target=TARGET.ljust(40_961, b"a")) + GOOD, [414]),
    Raw("request line that never ends", b"POST " + TARGET + b"a" * 200_000, [414]),
    Raw("request line far over 40 KB", request(target=TARGET + b"a" * 100_000) + GOOD, [414]),
    Raw("one long header", request(X="a" * 16_000) + GOOD, [200, 200]),
    Raw("one header too long", request(X="a" * 16_384) + GOOD, [431]),
    Raw("header that never ends", GOOD.split(b"Host")[0] + b"X: " + b"a" * 200_000, [431]),
    Raw("header name that never ends", GOOD.split(b"Host")[0] + b"a" * 200_000, [431]),
    Raw("many headers", GOOD.replace(b"Host", b"A: b\r\n" * 4_000 + b"Host") + GOOD, [431]),
    Raw("trailer that never ends", chunked(BODY)[:-2] + b"X: " + b"a" * 400_000, [431]),
    Raw("chunk extension that never ends", chunked(BODY)[:-5] + b"5;" + b"a" * 400_000, [431]),
]


@pytest.mark.parametrize("row", RAW, ids=lambda row: row.name)
def test_bytes_as_they_are(server: Server, log: Log, row: Raw) -> None:
    start = log.end(ACCEPTED)
    found = talk(server, row.sent)
    assert statuses(found) == row.answers
    assert server.post(BODY)[0] == 200, "and the server goes on"
    # Each answer of the endpoint stands for one record, and nothing else does.
    endpoint = [one for one in found if one.status == 200 or one.headers.get("content-type") == "application/json"]
    assert log.end(ACCEPTED) - start == len(endpoint) + 1


@pytest.mark.parametrize("over", [0, 1])
def test_all_headers_together_at_exactly_their_limit_and_one_over(server: Server, over: int) -> None:
    size = sum(len(line) + 2 for line in request(X="y").split(b"\r\n\r\n")[0].split(b"\r\n")[1:])
    sent = request(X="y" * (16_384 - size + 1 + over))
    assert statuses(talk(server, sent)) == [431 if over else 200]


# Pieces


def test_a_request_may_be_split_at_every_byte(server: Server) -> None:
    whole = chunked(BODY[:7], BODY[7:], trailers=b"X: y\r\n")
    with RawClient(server.port) as client:
        for at in range(1, len(whole)):
            client.send(whole[:at], whole[at:])
            found = client.final()
            assert found is not None
            assert (found.status, found.body) == (200, b"{}"), f"split at {at}"
        client.send(*(bytes((byte,)) for byte in GOOD + whole))
        assert [one.status for one in (client.final(), client.final()) if one] == [200, 200]


def test_pipelined_requests_are_answered_in_order(server: Server, log: Log) -> None:
    kinds = [
        (request(named("p")), 200),
        (request(b"{"), 400),
        (request(b"", b"PUT"), 405),
        (request(target=b"/x"), 404),
        (request(b"", b"OPTIONS"), 204),
    ]
    start = log.end(ACCEPTED)
    with RawClient(server.port) as client:
        client.send(b"".join(sent for sent, _ in kinds) * 200, CLOSE)
        assert statuses(client.rest()) == [status for _, status in kinds] * 200 + [200]
    assert log.end(ACCEPTED) - start == 401


def test_events_of_one_connection_are_stored_in_the_order_they_were_sent(server: Server, log: Log) -> None:
    start = log.end(ACCEPTED)
    talk(server, *(request(named(f"order-{n}")) for n in range(300)))
    assert ids_since(log, start) == [f"order-{n}" for n in range(300)]


# Expect: 100-continue


def test_a_client_that_waits_for_100_gets_it_once_and_then_its_answer(server: Server) -> None:
    sent = request(Expect="100-continue")
    with RawClient(server.port) as client:
        for _ in range(2):
            client.send(sent[: -len(BODY)])
            assert client.read() == Response(100, {}, b"")
            client.send(BODY)
            found = client.read()
            assert found is not None
            assert found.status == 200
        client.end()
        assert client.read() is None


def test_a_client_that_waits_to_send_too_much_is_refused_at_once(server: Server) -> None:
    with RawClient(server.port) as client:
        client.send(request(b"", Expect="100-continue", Content_Length="32769"))
        found = client.read()
        assert found is not None
        assert (found.status, found.headers["connection"]) == (400, "close")
        assert client.read() is None


# Half-close and abort


@pytest.mark.parametrize("sent", [GOOD, CLOSE, request(version=b"1.0"), GOOD * 5], ids=range(4))
def test_a_half_closed_client_still_gets_its_answers(server: Server, sent: bytes) -> None:
    assert set(statuses(talk(server, sent))) == {200}


def test_a_client_that_vanishes_hurts_nobody(server: Server) -> None:
    for at in range(0, len(GOOD), 9):
        with RawClient(server.port) as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.send(GOOD * 3 + GOOD[:at])
    assert server.post(BODY)[0] == 200
    until(lambda: connections(server) == 0, "the connections to be forgotten")


def test_a_client_that_never_reads_is_not_read_from(server: Server) -> None:
    many = request(b"", b"OPTIONS", Origin="https://shop.example") * 500
    with RawClient(server.port) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.socket.setblocking(False)
        sent, blocked = 0, 0

        def stuck() -> bool:
            nonlocal sent, blocked
            try:
                sent += client.socket.send(many)
                blocked = 0
            except BlockingIOError:
                blocked += 1
            assert sent < 64 << 20, "the server reads without end and keeps the answers in memory"
            return blocked > 50

        until(stuck, "the server to stop reading")
        assert server.post(BODY)[0] == 200


# Many at once


def raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections(server: Server) -> int:
    facts = factsfile.read(server.data).get("collector")
    return facts.connections if facts else -1


def test_a_thousand_idle_and_dripping_connections_leave_others_undisturbed(server: Server) -> None:
    starts = [b"", b"P", GOOD[:30], request(Content_Length="99"), chunked(BODY)[:-9]]
    raise_file_limit()
    clients = [RawClient(server.port) for _ in range(1_000)]
    try:
        for n, client in enumerate(clients):
            client.send(starts[n % len(starts)])
        until(lambda: connections(server) >= 1_000, "the connections to be counted")
        for _ in range(5):
            for client in clients[3::5]:
                client.send(b" ")
            with RawClient(server.port) as normal:
                normal.send(GOOD * 20 + CLOSE)
                assert statuses(normal.rest()) == [200] * 21
        clients[2].send(GOOD[30:])
        found = clients[2].final()
        assert found is not None
        assert found.status == 200, "and a slow one is served when it is done"
    finally:
        for client in clients:
            client.socket.close()


# Deadlines and the connection cap, on a server with little patience

CAP = 20


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {
        "TURNOUT_HEAD_SECONDS": "0.5",
        "TURNOUT_BODY_SECONDS": "0.5",
        "TURNOUT_IDLE_SECONDS": "0.5",
    }
    with Server(tmp_path_factory.mktemp("hasty") / "data", **limits) as running:
        yield running


class Slow(NamedTuple):
    name: str
    sent: bytes
    drip: bytes
    answers: list[int]


@pytest.mark.parametrize(
    "row",
    [
        Slow("nothing", b"", b"", []),
        Slow("half a method", b"PO", b"", []),
        Slow("half a head", GOOD[:40], b"", [408]),
        Slow("headers that drip", GOOD.split(b"Host")[0] + b"X: ", b"a", [408]),
        Slow("no body", GOOD[: -len(BODY)], b"", [408]),
        Slow("a body that drips", request(Content_Length="9999"), b" ", [408]),
        Slow("chunks that drip", chunked(BODY)[:-5], b"1\r\n \r\n", [408]),
        Slow("a body too large that drips", request(Content_Length="99999"), b" ", [408]),
        Slow("idle after a request", GOOD, b"", [200]),
        Slow("half of the next request", GOOD + GOOD[:40], b"", [200, 408]),
        Slow("half of the next method", GOOD + b"PO", b"", [200]),
        Slow("refused and not closed by the client", b"\0", b"", [400]),
    ],
    ids=lambda row: row.name,
)
def test_what_makes_no_progress_is_ended(hasty: Server, row: Slow) -> None:
    with RawClient(hasty.port) as client:
        client.send(row.sent)
        if not row.drip:
            assert statuses(client.rest()) == row.answers
            return
        client.socket.settimeout(0.1)
        found: list[Response] = []

        def answered() -> bool:
            client.send(row.drip)
            try:
                while (one := client.final()) is not None:
                    found.append(one)
            except TimeoutError:
                return False
            return True

        until(answered, "the server to lose patience")
        assert statuses(found) == row.answers


def test_connections_over_the_cap_are_refused_and_come_back_when_others_leave(tmp_path: Path) -> None:
    with Server(tmp_path / "data", TURNOUT_MAX_CONNECTIONS=str(CAP)) as small:
        clients = [RawClient(small.port) for _ in range(CAP)]
        for client in clients:
            client.send(GOOD)
            assert client.final() is not None
        with RawClient(small.port) as extra:
            (found,) = extra.rest()
            assert (found.status, found.headers["retry-after"]) == (503, "5")
        more = [RawClient(small.port) for _ in range(100)]
        for client in more:
            assert set(statuses(client.rest())) <= {503}
            client.socket.close()
        for client in clients:
            client.socket.close()

        def served() -> bool:
            with RawClient(small.port) as client:
                client.send(CLOSE)
                return statuses(client.rest()) == [200]

        until(served, "room again")


def test_two_connections_byte_by_byte_get_their_own_answers(server: Server) -> None:
    sent = [request(b"[", Origin="https://left.example"), request(Origin="https://right.example")]
    with RawClient(server.port) as left, RawClient(server.port) as right:
        for one, other in zip_longest(*sent, fillvalue=0):
            left.send(bytes((one,)) if one else b"")
            right.send(bytes((other,)) if other else b"")
        answers = [client.final() for client in (left, right)]
    assert [one and (one.status, one.headers["access-control-allow-origin"]) for one in answers] == [
        (400, "https://left.example"),
        (200, "https://right.example"),
    ]


def test_a_draining_collector_finishes_what_is_in_hand_and_closes(server: Server) -> None:
    collector = server.pid("collector")
    assert collector is not None
    with RawClient(server.port) as idle, RawClient(server.port) as half:
        half.send(GOOD[:-1])
        idle.send(GOOD)
        assert idle.final() is not None
        os.kill(collector, signal.SIGTERM)
        assert idle.rest() == [], "an idle connection is closed"
        half.send(GOOD[-1:])
        (found,) = half.rest()
        assert (found.status, found.headers["connection"]) == (200, "close")
    until(lambda: server.pid("collector") != collector and server.ready(), "the supervisor to start another")
