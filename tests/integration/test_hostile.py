"""What strangers send to hurt: what they get, what is recorded, and that the collector's memory stays bounded.

Bytes that are no HTTP, smuggling, lying lengths and broken chunks are in `test_protocol_connections.py`.
"""

import gzip
import json
import os
import resource
import socket
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.support.raw import RawClient, Response
from tests.support.server import BACKEND, KEY, Server, until
from tests.support.web import Records, ask, records_of
from turnout.control import factsfile
from turnout.model.event import ACCEPTED

MB = 1 << 20
ROOM = 48 * MB
"""What a collector may grow by: its caches, its buffers, and what the allocator does not give back."""
MINE = f"tc_s=29&token={BACKEND}"
CONFIG = f"""
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}
      backend: {{type: server, key: {BACKEND}}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {"TURNOUT_HEAD_SECONDS": "4", "TURNOUT_BODY_SECONDS": "4", "TURNOUT_MAX_CONNECTIONS": "10500"}
    with Server(tmp_path_factory.mktemp("hostile") / "data", CONFIG, **limits) as running:
        # What the first requests of each kind make the process load and build is no growth.
        for _ in range(50):
            running.post({"event_name": "x", "long": "y" * 30_000})
            ask(running.port, f"/events?{MINE}&event_name=x&long={'y' * 30_000}")
        yield running


@pytest.fixture(scope="module")
def records(server: Server) -> Iterator[Records]:
    with records_of(server) as found:
        yield found


def resident(server: Server) -> int:
    """Bytes of memory that the collector has now."""
    with open(f"/proc/{server.pid('collector')}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.fixture(autouse=True)
def _bounded(server: Server) -> Iterator[None]:
    """Every test leaves the collector alive, in its right mind, and not much larger."""
    before, pid = resident(server), server.pid("collector")
    yield
    assert server.post({"event_name": "after"}) == (200, b"{}")
    assert server.pid("collector") == pid
    assert resident(server) - before < ROOM


def get(query: str) -> bytes:
    return f"GET /events?{MINE}&event_name=x&{query} HTTP/1.1\r\nHost: t\r\n\r\n".encode()


def post(body: bytes, *headers: str, path: str = "/events") -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    head = f"POST {path}?{MINE} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n{lines}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def event(inner: str) -> bytes:
    return b'{"event_name":"x",' + inner.encode() + b"}"


def packed(size: int, level: int = 9) -> bytes:
    """That many spaces, as gzip."""
    out = zlib.compressobj(level, wbits=31)
    return b"".join(out.compress(b" " * MB) for _ in range(size // MB)) + out.flush()


def many(element: bytes) -> bytes:
    """A batch of that, 5,000 times."""
    return b'{"batch":[' + b",".join([element] * 5_000) + b"]}"


class Attack(NamedTuple):
    name: str
    sent: bytes
    answers: set[int]
    record: str
    """The reason or status of the record it leaves; empty if it leaves none."""
    times: int = 30


BATCH = "/events/batch"
GZIP = "Content-Encoding: gzip"
DEEP = "a" + "[a]" * 10
ATTACKS = [
    # headers
    Attack("500 headers", post(b"{}", *(f"X-{n}: y" for n in range(500))), {200}, "missing_event_name"),
    Attack("headers without end", post(b"{}", *(f"X-{n}: {'y' * 100}" for n in range(500))), {431}, ""),
    Attack("one endless header", b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000, {431}, ""),
    Attack("one endless name", b"GET / HTTP/1.1\r\n" + b"y" * 200_000, {431}, ""),
    Attack("cookies", post(b"{}", *["Cookie: " + "a=b; " * 40] * 60), {200}, "missing_event_name"),
    Attack("proxies", post(b"{}", *["X-Forwarded-For: " + "1.2.3.4, " * 20] * 60), {200}, "missing_event_name"),
    # JSON
    Attack("arrays without end", post(b"[" * 32_000), {400}, "invalid_json"),
    Attack("objects without end", post(b'{"a":' * 6_000), {400}, "invalid_json"),
    Attack("33 levels", post(event('"a":' + "[" * 32 + "]" * 32)), {200}, "too_deep"),
    Attack("many arrays", post(event('"a":[' + "[]," * 10_000 + "[]]")), {200}, "valid"),
    Attack("many names", post(event(",".join(f'"k{n}":1' for n in range(3_000)))), {200}, "valid"),
    Attack("one name, many times", post(event(",".join('"k":1' for _ in range(5_000)))), {200}, "valid"),
    Attack("5000 digits", post(event(f'"a":{"9" * 5_000}')), {200}, "number_out_of_range"),
    Attack("30,000 digits", post(event(f'"a":{"9" * 30_000}')), {200}, "number_out_of_range"),
    Attack("1e400", post(event('"a":1e400')), {200}, "number_out_of_range"),
    Attack("many 1e400", post(event('"a":[' + "1e400," * 5_000 + "1]")), {200}, "number_out_of_range"),
    Attack("tiny", post(event('"a":1e-400')), {200}, "valid"),
    Attack("a long time", post(event(f'"context":{{"event_timestamp":"{"9" * 30_000}"}}')), {200}, "invalid_timestamp"),
    Attack("escapes", post(event('"a":"' + "\\ud800" * 5_000 + '"')), {200}, "valid"),
    Attack("an address", post(event(f'"context":{{"device":{{"ip":"{"1." * 15_000}"}}}}')), {200}, "invalid_accepted"),
    Attack("batch of nothings", post(many(b"{}"), path=BATCH), {200}, "missing_event_name", 3),
    Attack("batch of numbers", post(many(b"1"), path=BATCH), {200}, "event_not_object", 3),
    # gzip
    Attack("gzip bomb", post(packed(16 * MB), GZIP), {400}, "payload_too_large"),
    Attack("gzip bomb at the batch", post(packed(256 * MB), GZIP, path=BATCH), {400}, "payload_too_large", 5),
    Attack("a thousand empty members", post(gzip.compress(b"") * 1_000, GZIP), {400}, "invalid_json"),
    Attack("gzip in gzip", post(gzip.compress(packed(16 * MB)), GZIP), {400}, "invalid_json"),
    # queries
    Attack("deep", get("&".join(DEEP + f"[{n}]" * 20 + "=1" for n in range(200))), {200}, "valid"),
    Attack("as deep as allowed", get("&".join(f"a{n}" + "[a]" * 10 + "=1" for n in range(700))), {200}, "valid"),
    Attack("arrays in arrays", get("&".join("a" + "[]" * 10 + "=" for _ in range(1_200))), {200}, "valid"),
    Attack("brackets", get("a" + "[" * 32_000), {200}, "valid"),
    Attack("brackets that close", get("a" + "[]" * 16_000 + "=1"), {200}, "valid"),
    Attack("16,000 pairs", get("a&" * 16_000), {200}, "valid"),
    Attack("8,000 names", get("&".join(f"{n:x}" for n in range(7_000))), {200}, "valid"),
    Attack("empty pairs", get("&=" * 16_000), {200}, "valid"),
    Attack("a far index", get("items[999999999999999999][id]=1&a[888888888888888888]=2"), {200}, "valid"),
    Attack("colliding indexes", get("&".join(f"a[{n << 40}]=" for n in range(1_000))), {200}, "valid"),
    Attack("indexes that overflow", get("&".join(f"a[{n * (2**61 - 1)}]=" for n in range(900))), {200}, "valid"),
    Attack("escapes in a query", get("%00" * 10_000), {200}, "valid"),
    Attack("half escapes", get("%" * 32_000), {200}, "valid"),
    Attack("bytes that are no UTF-8", get("a=" + "%ff" * 10_000), {200}, "valid"),
    Attack("credentials", get("token=" + "&tc_s=29" * 4_000), {200}, "valid"),
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_answered_as_any_request_and_leaves_its_reason(
    server: Server, records: Records, attack: Attack
) -> None:
    start = records.log.end(ACCEPTED)
    before = resident(server)
    answers: list[Response] = []
    for _ in range(attack.times):
        with RawClient(server.port) as client:
            client.send(attack.sent)
            found = client.final()
            assert found is not None
            answers.append(found)
    assert {answer.status for answer in answers} == attack.answers
    found_records = records.since(start)
    said = {record.reasons[0].code if record.status == "rejected" else record.status for record in found_records}
    assert said == ({attack.record} if attack.record else set())
    assert resident(server) - before < ROOM


# Many different ones: caches are bounded


def flood(server: Server, requests: Iterator[bytes], together: int = 500) -> set[int]:
    """Send them pipelined over one connection; the statuses that came back."""
    seen: set[int] = set()
    with RawClient(server.port) as client:
        while chunk := [one for _, one in zip(range(together), requests, strict=False)]:
            client.send(b"".join(chunk))
            for _ in chunk:
                found = client.read()
                assert found is not None
                seen.add(found.status)
    return seen


STRANGER = b"POST /events?tc_s=29&token=%b HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}"
PIXEL = "GET /events?{}&event_name=x HTTP/1.1\r\nHost: t\r\n\r\n"


def keys() -> Iterator[bytes]:
    return (STRANGER % (f"{n:0900d}".encode()) for n in range(30_000))


def sites() -> Iterator[bytes]:
    return (PIXEL.format(f"tc_s={n}{'y' * 900}&token={n}").encode() for n in range(10_000))


def names() -> Iterator[bytes]:
    tail = "&".join(f"name[{'y' * 90}]" for _ in range(20))
    return (PIXEL.format(f"{MINE}&k{n}=1&{n}[{tail}]=2&a[{n}{'z' * 100}]=").encode() for n in range(10_000))


def origins() -> Iterator[bytes]:
    head = f"GET /healthy?{'y' * 500}"
    return (f"{head} HTTP/1.1\r\nHost: t\r\nOrigin: https://{n:0400d}.example\r\n\r\n".encode() for n in range(10_000))


def addresses() -> Iterator[bytes]:
    bodies = (
        f'{{"event_name":"x","context":{{"event_id":"{n}","device":{{"ip":"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"}}}}}}'
        for n in range(10_000)
    )
    return (post(body.encode()) for body in bodies)


@pytest.mark.parametrize("requests", [keys, sites, names, origins, addresses], ids=lambda make: make.__name__)
def test_a_flood_of_different_ones_fills_no_memory(server: Server, requests: Callable[[], Iterator[bytes]]) -> None:
    before = resident(server)
    assert flood(server, requests()) == {200}
    assert resident(server) - before < ROOM


def test_strangers_fill_neither_disk_nor_inspector(server: Server, records: Records) -> None:
    start = records.log.end(ACCEPTED)
    counted = suppressed(server)
    assert flood(server, (STRANGER % b"nobody" for _ in range(3_000))) == {200}
    until(lambda: suppressed(server) > counted, "the rest to be counted")
    refused = [record for record in records.since(start) if record.source == "29/"]
    assert len(refused) < 1_500


def suppressed(server: Server) -> int:
    facts = factsfile.read(server.data).get("collector")
    return sum(facts.suppressed.values()) if facts else 0


# Nothing that a stranger sends becomes a line of a log or a command of a terminal


FORGED = 'x\r\n{"level":"error","event":"forged"}\r\n\x1b[2J\x1b]0;forged\x07'


def test_logs_and_terminals_show_no_forged_line(server: Server) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in FORGED.encode())
    for query in (f"tc_s={quoted}&token={BACKEND}", f"tc_s=29&token={quoted}", f"{MINE}&{quoted}=1"):
        ask(server.port, f"/events?{query}&event_name={quoted}")
        server.post({"event_name": FORGED, "context": {"event_id": FORGED, FORGED: FORGED}}, query=query)
    with RawClient(server.port) as client:
        client.send(f"GET /{quoted} HTTP/1.1\r\nHost: t\r\nUser-Agent: {quoted}\x1b[2J\r\n\r\n".encode())
        client.end()
        client.rest()
    shown = server.run("tail", "--last", "20", "--no-follow").stdout + server.run("trace", FORGED).stdout
    assert b"forged" in shown
    assert b"\x1b" not in shown
    assert not [line for line in shown.splitlines() if line.startswith((b"{", b"\x07"))]
    assert "forged" not in server.errors


# Slowness


@pytest.mark.parametrize(
    ("beginning", "answer"),
    [
        (b"POST /events?" + b"y" * 40_000 + b" HTTP/1.1\r\nHost: t\r\nX: " + b"z" * 15_000, 408),
        (
            b"POST /events?%b HTTP/1.1\r\nHost: t\r\nAuthorization: %b\r\nContent-Length: 32000\r\n\r\n"
            % (b"y" * 40_000, b"z" * 15_000),
            408,
        ),
        (b"GET /events?%b HTTP/1.1\r\nHost: t\r\nContent-Length: 32000\r\n\r\n" % (b"a[b]=c&" * 5_000), 408),
        (post(event('"a":1'))[:-1], 408),
    ],
    ids=["head", "body behind a large head", "body of a GET", "one byte missing"],
)
def test_what_drips_is_held_within_its_account_and_then_ended(server: Server, beginning: bytes, answer: int) -> None:
    before = resident(server)
    clients = [RawClient(server.port) for _ in range(200)]
    try:
        for client in clients:
            client.send(beginning)
        held = resident(server) - before
        assert held < 200 * 150_000, "twice what was sent, and no more"
        for client in clients:
            found = client.read()
            assert found is not None
            assert found.status == answer
    finally:
        for client in clients:
            client.socket.close()


def test_who_does_not_read_is_not_read_from(server: Server) -> None:
    before = resident(server)
    clients = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(50)]
    many = b"GET /tag.js HTTP/1.1\r\nHost: t\r\n\r\n" * 2_000
    try:
        for client in clients:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            try:
                client.send(many)
            except BlockingIOError:
                continue
        assert ask(server.port, "/healthy").status == 200
        until(lambda: connections(server) <= 1, "them to be ended")
        assert resident(server) - before < ROOM
    finally:
        for client in clients:
            client.close()


def connections(server: Server) -> int:
    facts = factsfile.read(server.data).get("collector")
    return facts.connections if facts else -1


IDLE = 10_000
IDLE_BYTES = 8_192
"""What one idle connection may cost."""


def test_ten_thousand_idle_connections_cost_little_and_disturb_nobody(server: Server) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= IDLE + 1_000, f"this test needs {IDLE + 1_000} open files: ulimit -Hn"
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    until(lambda: connections(server) == 0, "earlier connections to be gone")
    before = resident(server)
    idle: list[socket.socket] = []
    try:
        for _ in range(IDLE):
            idle.append(socket.create_connection(("127.0.0.1", server.port), 20))
        until(lambda: connections(server) >= IDLE, "them to be counted")
        assert resident(server) - before < IDLE * IDLE_BYTES
        with RawClient(server.port) as client:
            client.send(post(event('"a":1')) * 50)
            assert [answer.status for answer in (client.read() for _ in range(50)) if answer] == [200] * 50
    finally:
        for one in idle:
            one.close()
    until(lambda: connections(server) == 0, "them to be gone")


def test_the_collector_was_never_started_again(server: Server) -> None:
    assert "process ended" not in server.errors
    assert "Traceback" not in server.errors
    assert "could not be decided" not in server.errors
    assert os.path.exists(f"/proc/{server.pid('collector')}")


def test_what_was_taken_is_whole(records: Records) -> None:
    for record in records.since(0):
        if record.status in ("valid", "invalid_accepted"):
            assert isinstance(json.loads(record.payload), dict)
