"""The webhook over real sockets, against partners that answer well, wrongly, late or never."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from msgspec import structs

from turnout.deliver.http import HttpDestination, open_session
from turnout.destinations.interface import Context, Destination, Event, Request, Response
from turnout.destinations.registry import validate
from turnout.destinations.webhook import Config, open_destination
from turnout.model.outcome import DELIVERED, Result

EVENT = Event("evt-1", "purchase", b'{"event_name":"purchase"}')
NOW_MS = 1_764_000_000_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Run = Callable[[Coroutine[object, object, None]], None]
Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]
"""Writes the answer to the request with this number, counted from 0."""


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test on one of the two loops: their exceptions differ."""

    def run_it(coroutine: Coroutine[object, object, None]) -> None:
        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(asyncio.wait_for(coroutine, 120))

    return run_it


class Partner:
    """A server on loopback that keeps what it received."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.port = 0
        self._answer = answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.rstrip().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((first, headers, body))
                await self._answer(len(self.requests) - 1, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def partner(answer: Answer) -> AsyncIterator[Partner]:
    it = Partner(answer)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        await it.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()


def says(*answers: bytes, then_close: bool = False) -> Answer:
    """Gives these answers in turn, the last one for ever."""

    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[min(number, len(answers) - 1)])
        if then_close:
            await writer.drain()
            writer.close()

    return answer


@asynccontextmanager
async def webhook(url: str, allow_private: bool = True, **settings: object) -> AsyncIterator[Destination]:
    config, problems = validate("webhook", {"url": url, "timeout_ms": 60_000, **settings})
    assert config is not None, [str(problem) for problem in problems]
    assert isinstance(config, Config)
    async with open_session(allow_private) as session:
        context = Context("29/orders", Path(), lambda it: HttpDestination(it, session, lambda: NOW_MS))
        destination = open_destination(config, context)
        yield destination
        await destination.close()


async def send_once(url: str, allow_private: bool = True, **settings: object) -> Result:
    async with webhook(url, allow_private, **settings) as destination:
        return await send(destination)


async def send(destination: Destination) -> Result:
    """The result of one event, without what went over the wire."""
    (result,) = await destination.send([EVENT])
    assert result.exchange is not None
    return structs.replace(result, exchange=None)


def test_a_result_carries_what_went_over_the_wire(run: Run) -> None:
    async def scenario() -> None:
        async with partner(says(OK)) as it, webhook(it.url, headers={"X-Api-Key": "k"}) as destination:
            (result,) = await destination.send([EVENT])
            assert result.exchange is not None
            request, response = result.exchange.request, result.exchange.response
            assert (request.method, request.url, request.body) == ("POST", it.url, EVENT.payload)
            assert request.headers["X-Api-Key"] == "k"
            assert response is not None
            assert (response.status, response.body) == (200, b"ok")
        (result,) = [await webhook_result(it.url)]
        assert result.exchange is not None
        assert (result.reason, result.exchange.response) == ("connection_failed", None)

    run(scenario())


async def webhook_result(url: str) -> Result:
    async with webhook(url) as destination:
        (result,) = await destination.send([EVENT])
        return result


def test_a_delivery_and_what_the_partner_sees(run: Run) -> None:
    async def scenario() -> None:
        async with partner(says(OK)) as it:
            assert await send_once(it.url + "?a=b%20c", headers={"X-Api-Key": "k"}) == DELIVERED
            ((first, headers, body),) = it.requests
            assert first == "POST /in?a=b%20c HTTP/1.1"
            assert body == EVENT.payload
            assert headers["content-type"] == "application/json; charset=utf-8"
            assert headers["idempotency-key"] == "evt-1:29/orders"
            assert headers["x-api-key"] == "k"
            assert headers["user-agent"].startswith("turnout/")
            assert headers["accept-encoding"] == "identity"

    run(scenario())


def test_connections_are_kept_and_cookies_are_not(run: Run) -> None:
    async def scenario() -> None:
        cookie = b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n"
        # By name, because clients never keep the cookies of a bare address.
        async with partner(says(cookie)) as it, webhook(f"http://localhost:{it.port}/") as destination:
            for _ in range(5):
                assert await send(destination) == DELIVERED
            assert it.connections == 1
            assert not any("cookie" in headers for _, headers, _ in it.requests)

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 500 Whatever\r\nContent-Length: 4\r\n\r\noops",
         Result("retry", "500_internal_server_error", "oops")),
        (b"HTTP/1.1 429 No\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n",
         Result("retry", "429_too_many_requests", "", 9.0)),
        (b"HTTP/1.1 503 No\r\nRetry-After: Mon, 24 Nov 2025 16:00:30 GMT\r\nContent-Length: 0\r\n\r\n",
         Result("retry", "503_service_unavailable", "", 30.0)),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", Result("error", "404_not_found")),
        (b"HTTP/1.1 302 No\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n",
         Result("error", "302_found")),
    ],
)  # fmt: skip
def test_answers_become_results(run: Run, answer: bytes, expected: Result) -> None:
    async def scenario() -> None:
        async with partner(says(answer, OK)) as it, webhook(it.url) as destination:
            assert await send(destination) == expected
            assert await send(destination) == DELIVERED
            assert len(it.requests) == 2

    run(scenario())


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff\xfe not http at all\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 OK 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ncut",
    ],
)
def test_garbage_and_cut_answers(run: Run, garbage: bytes) -> None:
    async def scenario() -> None:
        async with partner(says(garbage, then_close=True)) as it:
            result = await send_once(it.url)
            assert (result.kind, result.reason) == ("retry", "bad_response"), result

    run(scenario())


@pytest.mark.parametrize("half", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
def test_a_connection_closed_before_the_answer(run: Run, half: bytes) -> None:
    async def scenario() -> None:
        async with partner(says(half, then_close=True)) as it:
            result = await send_once(it.url)
            assert result.kind == "retry"
            assert result.reason in {"connection_failed", "bad_response"}

    run(scenario())


async def _never(_number: int, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def _drip(start: bytes, drop: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(start)
    while not writer.is_closing():
        writer.write(drop)
        await writer.drain()
        await asyncio.sleep(0.02)


async def _drip_headers(_number: int, writer: asyncio.StreamWriter) -> None:
    await _drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", writer)


async def _drip_body(_number: int, writer: asyncio.StreamWriter) -> None:
    await _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"x", writer)


async def _continue_for_ever(_number: int, writer: asyncio.StreamWriter) -> None:
    await _drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", writer)


@pytest.mark.parametrize("answer", [_never, _drip_headers, _drip_body, _continue_for_ever])
def test_slow_answers_end_at_the_time_limit(run: Run, answer: Answer) -> None:
    async def scenario() -> None:
        async with partner(answer) as it:
            result = await send_once(it.url, timeout_ms=150)
            assert result == Result("retry", "timeout", "no complete answer within 150 ms")

    run(scenario())


def test_a_slow_partner_takes_no_place_from_another(run: Run) -> None:
    all_wait = asyncio.Event()

    async def never(number: int, _writer: asyncio.StreamWriter) -> None:
        if number == 149:
            all_wait.set()
        await asyncio.sleep(3600)

    async def scenario() -> None:
        async with (
            partner(never) as slow,
            partner(says(OK)) as quick,
            webhook(slow.url, timeout_ms=20_000) as stuck,
            webhook(quick.url) as free,
        ):
            waiting = [asyncio.create_task(stuck.send([EVENT])) for _ in range(150)]
            await all_wait.wait()
            assert await send(free) == DELIVERED
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    run(scenario())


def test_nobody_there(run: Run) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]
        result = await send_once(f"http://127.0.0.1:{port}/")
        assert (result.kind, result.reason) == ("retry", "connection_failed")

    run(scenario())


def test_tls_towards_a_plain_port(run: Run) -> None:
    async def scenario() -> None:
        server = await asyncio.start_server(_speak_first, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        result = await send_once(f"https://127.0.0.1:{port}/")
        assert (result.kind, result.reason) == ("retry", "tls_failed"), result
        server.close()
        await server.wait_closed()

    run(scenario())


async def _speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()
    await reader.read(10_000)
    writer.close()


class Spy:
    """A translator that keeps the answer it was given."""

    batch_size = 1
    concurrency = 1
    timeout_ms = 5000

    def __init__(self, url: str) -> None:
        self.url = url
        self.responses: list[Response] = []

    def request(self, _events: Sequence[Event], _now_ms: int) -> Request:
        return Request("POST", self.url, {})

    def read(self, events: Sequence[Event], response: Response) -> Sequence[Result]:
        self.responses.append(response)
        return [DELIVERED] * len(events)


async def capture(url: str) -> Response:
    spy = Spy(url)
    async with open_session(allow_private=True) as session:
        await HttpDestination(spy, session, lambda: NOW_MS).send([EVENT])
    (response,) = spy.responses
    return response


def test_a_failure_is_shared_by_all_events_of_the_request(run: Run) -> None:
    async def scenario() -> None:
        async with partner(says(b"", then_close=True)) as it, open_session(allow_private=True) as session:
            results = await HttpDestination(Spy(it.url), session, lambda: NOW_MS).send([EVENT] * 3)
            assert [(result.kind, result.reason) for result in results] == [("retry", "connection_failed")] * 3

    run(scenario())


def test_an_endless_body_is_read_for_16_kb(run: Run) -> None:
    gone = asyncio.Event()

    async def endless(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b"x" * 65_536)
                await writer.drain()
        finally:
            gone.set()

    async def scenario() -> None:
        async with partner(endless) as it:
            response = await capture(it.url)
            assert response.body == b"x" * 16_384
            await asyncio.wait_for(gone.wait(), 60)

    run(scenario())


def test_a_body_of_exactly_16_kb_and_small_ones_are_complete(run: Run) -> None:
    async def scenario() -> None:
        for size in (0, 1, 16_383, 16_384):
            answer = b"HTTP/1.1 200 OK\r\nX-Name: v\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
            async with partner(says(answer)) as it:
                response = await capture(it.url)
                assert (len(response.body), response.headers["x-name"]) == (size, "v")
                assert response.headers["date"] == "Mon, 24 Nov 2025 16:00:00 GMT"

    run(scenario())


def test_a_packed_body_is_not_unpacked(run: Run) -> None:
    async def scenario() -> None:
        bomb = gzip.compress(b"\0" * 10_000_000)[:10_000]
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
        async with partner(says(head + bomb)) as it:
            assert (await capture(it.url)).body == bomb

    run(scenario())


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def test_get_follows_three_redirects_and_keeps_its_headers_at_home(run: Run) -> None:
    async def scenario() -> None:
        steps = says(redirect("/a"), redirect("b?c=d", 307), redirect("/e", 308), OK)
        async with partner(steps) as it:
            assert await send_once(it.url, method="GET", headers={"X-Api-Key": "k"}) == DELIVERED
            assert [first for first, _, _ in it.requests] == [
                "GET /in HTTP/1.1",
                "GET /a HTTP/1.1",
                "GET /b?c=d HTTP/1.1",
                "GET /e HTTP/1.1",
            ]
            assert all(headers["x-api-key"] == "k" for _, headers, _ in it.requests)

    run(scenario())


def test_a_fourth_redirect_is_an_error(run: Run) -> None:
    async def scenario() -> None:
        async with partner(says(redirect("/again"))) as it:
            result = await send_once(it.url, method="GET")
            assert (result.kind, result.reason, len(it.requests)) == ("error", "302_found", 4)

    run(scenario())


def test_a_stranger_gets_no_headers(run: Run) -> None:
    async def scenario() -> None:
        async with partner(says(OK)) as stranger, partner(says(redirect(stranger.url))) as it:
            keys = {"X-Api-Key": "k", "Authorization": "Bearer x"}
            result = await send_once(it.url, method="GET", headers=keys, body={"a": 1}, secret="s")
            assert result == DELIVERED
            ((_, headers, body),) = stranger.requests
            assert body == b'{"a":1}'
            assert set(headers) <= {
                "host", "user-agent", "accept", "accept-encoding", "content-type", "content-length",
            }  # fmt: skip

    run(scenario())


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", "egress_denied"),
        ("http://[::ffff:169.254.169.254]/", "egress_denied"),
        ("http://0.0.0.0:80/", "egress_denied"),
        ("file:///etc/passwd", "invalid_url"),
        ("ftp://127.0.0.1/x", "invalid_url"),
        ("javascript:alert(1)", "invalid_url"),
        ("http://[bad", "invalid_url"),
        ("http://2852039166/", "invalid_url"),
        ("http://" + "a" * 100 + ".example/", "invalid_url"),
    ],
)
def test_redirects_to_places_out_of_bounds(run: Run, location: str, reason: str) -> None:
    async def scenario() -> None:
        async with partner(says(redirect(location))) as it:
            result = await send_once(it.url, method="GET")
            assert (result.kind, result.reason) == ("error", reason), result

    run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"])
def test_private_addresses_are_refused_on_demand(run: Run, host: str) -> None:
    async def scenario() -> None:
        async with partner(says(OK)) as it:
            result = await send_once(f"http://{host}:{it.port}/", allow_private=False)
            assert (result.kind, result.reason) == ("error", "egress_denied"), result
            assert it.connections == 0

    run(scenario())


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def getaddrinfo(_host: str, port: int, *_: object, **__: object) -> list[object]:
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch)
    result = asyncio.run(send_once("http://hooks.example.org/"))
    assert (result.kind, result.reason) == ("retry", "dns_failed")


def test_a_name_that_points_at_the_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, "169.254.169.254", "168.63.129.16")
    result = asyncio.run(send_once("http://hooks.example.org/"))
    assert (result.kind, result.reason) == ("error", "egress_denied")
    assert "hooks.example.org" in result.detail


def test_a_name_with_one_refused_address_uses_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with partner(says(OK)) as it:
            _resolve_to(monkeypatch, "169.254.169.254", "127.0.0.1")
            assert await send_once(f"http://hooks.example.org:{it.port}/") == DELIVERED

    asyncio.run(scenario())


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    async def scenario() -> None:
        async with partner(says(OK)) as proxy, partner(says(OK)) as it:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
            assert await send_once(it.url) == DELIVERED
            assert proxy.requests == []

    run(scenario())
