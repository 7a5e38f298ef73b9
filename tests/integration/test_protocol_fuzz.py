"""Whatever bytes arrive: no 5xx, no hang, never more answers than requests, and the server goes on.

Hypothesis makes valid requests, requests with lies, and mutated bytes; they go to one running server, cut into
pieces anywhere. A script is a list of requests, and each knows what the protocol says may be answered to it.
"""

import gzip
import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.raw import RawClient, Response
from tests.support.server import BACKEND, KEY, Server
from turnout.app import open_log
from turnout.log.interface import Log
from turnout.model.event import ACCEPTED, decode_received
from turnout.settings import Settings

ECONOMICAL = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
GOOD = b'{"event_name":"ping","context":{"event_id":"ping","event_timestamp":1700000000000}}'
PING = (
    f"POST /events?tc_s=29&token={BACKEND} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(GOOD)}\r\n"
)
STAYS = PING.encode() + b"\r\n" + GOOD
LEAVES = PING.encode() + b"Connection: close\r\n\r\n" + GOOD


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("fuzz") / "data") as running:
        yield running
        assert "Traceback" not in running.errors


@pytest.fixture(scope="module")
def log(server: Server) -> Iterator[Log]:
    opened = open_log(Settings(data=str(server.data)))
    yield opened
    opened.close()


class Sent(NamedTuple):
    """One request as bytes, and what comes of it."""

    data: bytes
    status: int
    events: int = 0
    """How many records it leaves."""
    stranger: bool = False
    """No source is known: its records are capped."""


# Valid requests

VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "event_name",
        "event",
        "context",
        "user",
        "properties",
        "page",
        "device",
        "app",
        "event_id",
        "event_timestamp",
        "eventId",
        "version",
        "created",
        "test_code",
        "batch",
        "items",
        "consent_categories",
        "email_md5",
    ]
)
EVENT = st.dictionaries(NAMES | st.text(max_size=6), VALUE | st.dictionaries(NAMES, VALUE, max_size=5), max_size=8)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["X-A", "User-Agent", "Origin", "Cookie", "Authorization", "Accept", "Referer"]),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
    ),
    max_size=4,
)
TARGETS = st.sampled_from(
    [
        (f"/events?tc_s=29&token={BACKEND}", True),
        (f"/events/?tc_s=29&token={KEY}", True),
        (f"/cdp/events?token={KEY}&tc_s=29&x=%ZZ&&=", True),
        ("/events", False),
        ("/events?tc_s=29&tc_s=30&token=%00", False),
    ]
)
CONTENT_TYPES = st.sampled_from([("application/json", True), ("text/plain", True), ("text/html", False), ("", False)])


@st.composite
def posts(draw: st.DrawFn) -> Sent:
    """A well-formed POST of any JSON, framed and encoded in any way: 200, and one record (or one per element)."""
    batch = draw(st.booleans())
    elements = draw(st.lists(EVENT | VALUE, max_size=4))
    target, known = draw(TARGETS)
    if batch:
        target = target.replace("/events", "/events/batch", 1)
    content_type, taken = draw(CONTENT_TYPES)
    events = len(elements) if batch and known and taken else 1
    body = json.dumps({"batch": elements} if batch else elements[0] if elements else None).encode()
    lines = [f"{name}: {value}\r\n" for name, value in draw(HEADERS)]
    lines.append(f"Content-Type: {content_type}\r\n")
    if draw(st.integers(0, 3)) == 0:
        body = gzip.compress(body)
        lines.append("Content-Encoding: gzip\r\n")
    if draw(st.booleans()):
        data = body
        lines.append(f"Content-Length: {len(body)}\r\n")
    else:
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]
        data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        lines.append("Transfer-Encoding: chunked\r\n")
    if draw(st.integers(0, 4)) == 0:
        lines.append("Expect: 100-continue\r\n")
    lines = draw(st.permutations(lines))
    head = f"POST {target} HTTP/1.1\r\nHost: test\r\n{''.join(lines)}\r\n"
    return Sent(head.encode() + data, 200, events, not known)


OTHERS = st.sampled_from(
    [
        Sent(b"PUT /events HTTP/1.1\r\nHost: t\r\n\r\n", 405),
        Sent(b"OPTIONS /events/batch HTTP/1.1\r\nHost: t\r\nOrigin: https://a.example\r\n\r\n", 204),
        Sent(b"DELETE /x HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc", 404),
        Sent(b"GET /healthy HTTP/1.1\r\nHost: t\r\n\r\n", 200),
        Sent(b"POST /events HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", 400, 1, True),
        Sent(
            b"POST /events HTTP/1.1\r\nHost: t\r\nContent-Length: 40000\r\n\r\n" + b"{" * 40_000,
            400,
            1,
            True,
        ),
        Sent(
            b"POST /events HTTP/1.1\r\nHost: t\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}",
            200,
            1,
            True,
        ),
    ]
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at these places (modulo its length)."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a < b]


CUTS = st.lists(st.integers(0, 100_000), max_size=6)


def exchange(server: Server, data: list[bytes]) -> list[Response]:
    """Send the pieces over a new connection, say that this was all, give every answer."""
    with RawClient(server.port) as client:
        client.send(*data)
        client.end()
        return client.rest()


@ECONOMICAL
@given(st.lists(posts() | OTHERS, min_size=1, max_size=5), CUTS)
def test_every_request_of_a_pipeline_gets_its_answer_in_order_and_leaves_its_records(
    server: Server, log: Log, script: list[Sent], cuts: list[int]
) -> None:
    start = log.end(ACCEPTED)
    found = exchange(server, pieces(b"".join(sent.data for sent in script) + LEAVES, cuts))
    assert len(found) == len(script) + 1
    for sent, response in zip(script, found, strict=False):
        assert response.status == sent.status, sent.data
    assert found[-1].status == 200
    visitor = log.subscribe(ACCEPTED, None, start)
    records = [decode_received(record) for batch in visitor.fetch(1000) for record in batch.records]
    visitor.close()
    assert records.pop().event_id == "ping"
    expected = sum(sent.events for sent in script if not sent.stranger)
    assert len([record for record in records if record.source]) == expected
    for record in records:
        assert record.event_id
        if record.status != "rejected":
            assert json.loads(record.payload)["context"]["event_id"] == record.event_id


# Lies, smuggling, mutations, noise

EVIL = st.sampled_from(
    [
        b"Content-Length: 0\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999\r\n",
        b"Content-Length: 1 1\r\n",
        b"Content-Length : 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Transfer-Encoding\r\n",
        b" folded: yes\r\n",
        b"X: a\n",
        b"X: a\rb\r\n",
        b"X\0: a\r\n",
        b"Upgrade: h2c\r\nConnection: upgrade\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive, close\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"0\r\n\r\n",
        b"5\r\nabcde\r\n",
        b"ffffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"\0" * 9,
        b"A: b\r\n" * 3000,
        b"a" * 70_000,
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Requests one behind the other, with something inserted, removed or replaced in some places."""
    data = b"".join(sent.data for sent in draw(st.lists(posts() | OTHERS, min_size=1, max_size=3)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        if draw(st.booleans()):
            line = data.find(b"\r\n", at)
            at = line + 2 if line >= 0 else at
        piece = draw(EVIL | st.binary(max_size=12))
        data = data[:at] + piece + data[at + draw(st.integers(0, 12)) :]
    return data


NOISE = st.binary(max_size=300) | st.lists(EVIL | st.just(STAYS) | st.binary(max_size=20), max_size=8).map(b"".join)


@ECONOMICAL
@given(mutated() | NOISE, CUTS)
def test_any_bytes_are_answered_or_refused_and_the_server_goes_on(server: Server, data: bytes, cuts: list[int]) -> None:
    found = exchange(server, pieces(data, cuts))
    # Nothing that holds fewer line ends than a request has can be one; a last piece that is none may get its own 400.
    assert len(found) <= data.count(b"\n\r\n") + data.count(b"\n\n") + 1
    for n, response in enumerate(found):
        assert response.status in (200, 204, 400, 404, 405, 408, 414, 431)
        last = n == len(found) - 1
        assert last or "connection" not in response.headers, "nothing follows the answer that closes"
    (alive,) = exchange(server, [STAYS])
    assert (alive.status, alive.body) == (200, b"{}")


@settings(ECONOMICAL, max_examples=100)
@given(mutated() | NOISE, CUTS)
def test_what_one_connection_sends_never_leaks_into_another(server: Server, data: bytes, cuts: list[int]) -> None:
    with RawClient(server.port) as evil, RawClient(server.port) as good:
        parts = pieces(data, cuts)
        for n in range(max(3, len(parts))):
            evil.send(*parts[n : n + 1])
            good.send(STAYS)
            found = good.final()
            assert found is not None
            assert (found.status, found.body, "connection" in found.headers) == (200, b"{}", False)
