"""The Python client against a real server, through kills, forks, threads and servers that misbehave."""

import asyncio
import gzip
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.server import BACKEND, Server, free_port, until
from turnout.client import AsyncClient, Client
from turnout.client.events import EVENT_BYTES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("client") / "data") as running:
        yield running


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def arrived(server: Server, name: str) -> list[dict[str, object]]:
    """The events of that name in the file destination, in its order."""
    file = server.data / "out/events.ndjson"
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [event for line in lines if (event := json.loads(line))["event_name"] == name]


def ids(server: Server, name: str) -> list[str]:
    found = [event["context"] for event in arrived(server, name)]
    return [str(context["event_id"]) for context in found if isinstance(context, dict)]


def python(program: str, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


# against the real server


def test_an_event_arrives_exactly_as_it_was_tracked(server: Server) -> None:
    with Client(url(server), site="29", key=BACKEND) as client:
        identity = client.track(
            "exact",
            {"value": 59.9, "text": "é 🙂", "list": [1, None, True]},
            user={"id": "42", "consistent_anonymous_id": "1", "consent_categories": ["1", "2"]},
            context={"page": {"url": "https://shop.example/"}},
            timestamp_ms=1_795_493_700_123,
        )
        deepest: object = 1
        for _ in range(29):
            deepest = [deepest]
        client.track("deepest", {"v": deepest})
        client.track("largest", {"v": "x" * (EVENT_BYTES - 200)})
        assert client.flush()
        assert (client.sent, client.waiting, client.dropped) == (3, 0, {})
    for name in ("exact", "deepest", "largest"):
        until(lambda name=name: arrived(server, name), f"the event {name}")  # type: ignore[misc]
    (event,) = arrived(server, "exact")
    context = event["context"]
    assert isinstance(context, dict)
    assert context["event_id"] == identity
    assert context["event_timestamp"] == 1_795_493_700_123
    assert context["page"] == {"url": "https://shop.example/"}
    assert event["user"] == {"id": "42", "consistent_anonymous_id": "1", "consent_categories": ["1", "2"]}
    assert {key: event[key] for key in ("value", "text", "list")} == {
        "value": 59.9,
        "text": "é 🙂",
        "list": [1, None, True],
    }


def test_eight_threads_share_a_client_and_nothing_is_lost_or_repeated(server: Server) -> None:
    tracked: list[str | None] = []
    with Client(url(server), site="29", key=BACKEND, interval_s=0.05, batch_events=100) as client:

        def work() -> None:
            for n in range(250):
                tracked.append(client.track("threads", {"n": n}))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(30)
        assert (client.sent, client.dropped) == (2000, {})
    until(lambda: len(ids(server, "threads")) >= 2000, "2000 events")
    assert sorted(ids(server, "threads")) == sorted(map(str, tracked))


def test_the_server_is_killed_and_restarted_and_every_event_arrives(server: Server) -> None:
    tracked: list[str | None] = []
    stop = threading.Event()
    with Client(url(server), site="29", key=BACKEND, interval_s=0) as client:

        def work() -> None:
            while not stop.wait(0.001):
                tracked.append(client.track("killed", {"n": len(tracked)}))

        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: client.sent > 100, "events to flow")
        server.kill_everything()
        count = len(tracked)
        until(lambda: len(tracked) > count + 100, "events while it is down")
        server.start()
        stop.set()
        thread.join()
        assert client.flush(30)
        assert client.dropped == {}
    until(lambda: set(ids(server, "killed")) >= set(tracked), "every event")
    assert set(ids(server, "killed")) == set(tracked)


TRACKS = """
import sys
from turnout.client import Client
client = Client(sys.argv[1], site="29", key=sys.argv[2], spool=sys.argv[3], interval_s=0.01)
while True:
    print(client.track("host", {"pad": "x" * 2000}), flush=True)
"""


def test_the_application_is_killed_and_its_next_start_sends_what_it_had_tracked(server: Server, tmp_path: Path) -> None:
    down = f"http://127.0.0.1:{free_port()}"
    tracked: set[str] = set()
    for address in (down, url(server), down):
        host = python(TRACKS, address, BACKEND, tmp_path / "spool")
        assert host.stdout
        for _ in range(700):
            tracked.add(host.stdout.readline().strip())
        host.kill()
        # The last line may be cut off; `track` had returned for all before it.
        tracked.update(line.strip() for line in host.stdout if line.endswith("\n"))
        host.communicate()
    with Client(url(server), site="29", key=BACKEND, spool=tmp_path / "spool") as client:
        assert client.flush(30)
        assert client.dropped == {}
    assert "None" not in tracked
    until(lambda: set(ids(server, "host")) >= tracked, "what was tracked before the kills")
    assert list((tmp_path / "spool").iterdir()) == []


ENDS = """
import sys
from turnout.client import Client
client = Client(sys.argv[1], site="29", key=sys.argv[2], exit_timeout_s=float(sys.argv[3]))
client.track(sys.argv[4])
"""


def test_a_script_that_just_ends_still_sends(server: Server) -> None:
    script = python(ENDS, url(server), BACKEND, 20, "script")
    assert script.communicate(timeout=60) == ("", "")
    until(lambda: arrived(server, "script"), "the event")


@pytest.mark.parametrize("listening", [False, True])
def test_a_script_ends_in_bounded_time_when_no_server_answers(listening: bool) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listening:
            silent.listen()
        script = python(ENDS, f"http://127.0.0.1:{silent.getsockname()[1]}", BACKEND, 0.5, "script")
        _, errors = script.communicate(timeout=30)
    assert script.returncode == 0
    assert "unsent 1" in errors
    assert BACKEND not in errors


FORKS = """
import os, sys
from turnout.client import Client
spool = sys.argv[4] or None
client = Client(sys.argv[1], site="29", key=sys.argv[2], spool=spool, interval_s=60)
name = sys.argv[3]
for n in range(100):
    client.track(name, {"by": "parent"})
child = os.fork()
if child == 0:
    assert client.waiting == 0
    for n in range(50):
        client.track(name, {"by": "child"})
    os._exit(0 if client.waiting == 50 and client.flush(20) and client.sent == 50 else 1)
status = os.waitpid(child, 0)[1]
assert client.waiting == 100
assert client.flush(20)
assert client.sent == 100
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("spooled", [False, True])
def test_a_forked_child_sends_its_own_events_and_none_of_its_parents(
    server: Server, tmp_path: Path, spooled: bool
) -> None:
    name = f"fork_{spooled}"
    program = python(FORKS, url(server), BACKEND, name, tmp_path if spooled else "")
    _, errors = program.communicate(timeout=60)
    assert program.returncode == 0, errors
    until(lambda: len(arrived(server, name)) >= 150, "the events of both")
    assert sorted(str(event["by"]) for event in arrived(server, name)) == ["child"] * 50 + ["parent"] * 100
    assert list(tmp_path.iterdir()) == []


def test_forks_amid_the_traffic_of_threads_leave_parent_and_children_working(server: Server) -> None:
    program = python(BUSY_FORKS, url(server), BACKEND)
    output, errors = program.communicate(timeout=100)
    assert program.returncode == 0, errors
    tracked = int(output)
    until(lambda: len(ids(server, "busy")) >= tracked + 20, "the events of all")
    assert len(set(ids(server, "busy"))) == len(ids(server, "busy")) == tracked + 20


BUSY_FORKS = """
import os, sys, threading
from turnout.client import Client
client = Client(sys.argv[1], site="29", key=sys.argv[2], interval_s=0)
stop, counts = threading.Event(), []
def work():
    count = 0
    while not stop.wait(0.0005):
        client.track("busy", {})
        count += 1
    counts.append(count)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        client.track("busy", {})
        os._exit(0 if client.flush(20) else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
assert client.flush(20)
print(sum(counts))
"""


def test_an_asyncio_application(server: Server) -> None:
    async def main() -> None:
        async with AsyncClient(url(server), site="29", key=BACKEND) as client:

            async def work(n: int) -> None:
                client.track("asyncio", {"n": n})

            await asyncio.gather(*(work(n) for n in range(300)))
            assert await client.flush()
            assert client.sent == 300
            client.track("asyncio", {"n": 300})
        assert (client.sent, client.dropped) == (301, {})

    asyncio.run(main())
    until(lambda: len(arrived(server, "asyncio")) >= 301, "the events")
    assert sorted(int(str(event["n"])) for event in arrived(server, "asyncio")) == list(range(301))


# against servers that do what the real one seldom does


class Scripted(ThreadingHTTPServer):
    """Answers batches by a function of (number of the request, its events); the usual answer is 200."""

    def __init__(self, answer: Callable[[int, list[Mapping[str, object]]], tuple[int, dict[str, str]]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.requests: list[tuple[str, Message, list[Mapping[str, object]], int]] = []
        self.accepted: list[Mapping[str, object]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "Scripted":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted
    timeout = 30
    wbufsize = -1

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        events = json.loads(data)["batch"]
        self.server.requests.append((self.path, self.headers, events, self.client_address[1]))
        status, headers = self.server.answer(len(self.server.requests), events)
        if status == 200:
            self.server.accepted += events
        self.send_response(status)
        for name, value in {"Content-Length": "2", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")
        if headers.get("X-Then") == "close":
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    running: list[Scripted] = []

    def start(answer: Callable[[int, list[Mapping[str, object]]], tuple[int, dict[str, str]]]) -> Scripted:
        running.append(Scripted(answer).__enter__())
        return running[-1]

    yield start
    for one in running:
        one.__exit__()


Start = Callable[[Callable[[int, list[Mapping[str, object]]], tuple[int, dict[str, str]]]], Scripted]


def test_the_request_has_the_credentials_one_connection_and_gzip_where_it_pays(scripted: Start) -> None:
    stub = scripted(lambda _number, _events: (200, {}))
    with Client(f"{stub.url}/my path/", site="29", key="k/+=", interval_s=0) as client:
        for size in (10, 10_000, 10):
            client.track("e", {"pad": "x" * size})
            assert client.flush()
    assert [path for path, _, _, _ in stub.requests] == ["/my%20path/events/batch?tc_s=29&token=k%2F%2B%3D"] * 3
    assert [headers.get("Content-Encoding") for _, headers, _, _ in stub.requests] == [None, "gzip", None]
    assert {headers["Content-Type"] for _, headers, _, _ in stub.requests} == {"application/json"}
    assert len({port for _, _, _, port in stub.requests}) == 1


def test_a_connection_that_the_server_closed_is_replaced_without_a_failure(
    scripted: Start, caplog: pytest.LogCaptureFixture
) -> None:
    stub = scripted(lambda _number, _events: (200, {"X-Then": "close"}))
    with Client(stub.url, site="29", key="k", interval_s=0) as client:
        for n in range(5):
            client.track("e", {"n": n})
            assert client.flush()
    assert [event["n"] for event in stub.accepted] == list(range(5))
    assert caplog.records == []


@pytest.mark.parametrize("status", [302, 401, 404, 429, 500, 503])
def test_what_is_not_the_events_fault_is_sent_again(scripted: Start, status: int) -> None:
    stub = scripted(lambda number, _events: (status if number == 1 else 200, {"Retry-After": "0"}))
    with Client(stub.url, site="29", key="k") as client:
        client.track("e")
        assert client.flush()
        assert (client.sent, client.dropped) == (1, {})
    first, second = [events for _, _, events, _ in stub.requests]
    assert first == second


def test_a_flush_cuts_our_own_pause_short(scripted: Start) -> None:
    stub = scripted(lambda _number, _events: (503, {}))
    client = Client(stub.url, site="29", key="k")
    client.track("e")

    def attempts(count: int) -> bool:
        client.flush(0.01)
        return len(stub.requests) >= count

    # Our shortest pause is a quarter of a second: left alone, it would not get there in time.
    until(lambda: attempts(200), "an attempt for each flush")
    assert not client.close(0.01)
    assert client.dropped == {"unsent": 1}


def test_a_flush_does_not_cut_short_the_pause_that_the_server_asked_for(scripted: Start) -> None:
    stub = scripted(lambda _number, _events: (503, {"Retry-After": "300"}))
    client = Client(stub.url, site="29", key="k")
    client.track("e")
    until(lambda: client.flush(0.01) or stub.requests, "the first attempt")
    for _ in range(20):
        assert not client.flush(0.01)
    assert not client.close(0.01)
    assert len(stub.requests) == 1


def test_events_that_the_server_refuses_are_dropped_alone(scripted: Start) -> None:
    stub = scripted(lambda _number, events: (400 if any("bad" in event for event in events) else 200, {}))
    with Client(stub.url, site="29", key="k", interval_s=60) as client:
        for n in range(100):
            client.track("e", {"n": n, **({"bad": 1} if n in (0, 41, 42, 99) else {})})
        assert client.flush()
        assert (client.sent, client.dropped, client.waiting) == (96, {"refused": 4}, 0)
    assert [event["n"] for event in stub.accepted] == [n for n in range(100) if n not in (0, 41, 42, 99)]


def test_the_loop_goes_on_while_a_flush_waits(scripted: Start) -> None:
    released = threading.Event()
    stub = scripted(lambda _number, _events: (200 if released.wait(30) else 500, {}))

    async def main() -> None:
        async with AsyncClient(stub.url, site="29", key="k") as client:
            client.track("e")
            flushes = [asyncio.create_task(client.flush(30)) for _ in range(3)]
            assert not await client.flush(0.01)
            flushes[0].cancel()
            released.set()
            with pytest.raises(asyncio.CancelledError):
                await flushes[0]
            assert await asyncio.gather(*flushes[1:]) == [True, True]

    asyncio.run(main())


# what is dropped


def test_a_full_queue_drops_counts_and_logs_once(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(f"http://127.0.0.1:{free_port()}", site="29", key="secret-key", queue_bytes=600_000)
    tracked = [client.track("e", {"pad": "x" * 20_000}) for _ in range(100)]
    kept = [identity for identity in tracked if identity]
    assert 20 < len(kept) < 100
    assert client.dropped == {"queue_full": 100 - len(kept)}
    assert client.waiting == len(kept)
    assert not client.close(0.1)
    assert client.dropped == {"queue_full": 100 - len(kept), "unsent": len(kept)}
    assert client.track("e") is None
    client.close()
    assert client.dropped["closed"] == 1
    assert 0 < len(caplog.records) <= 3
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert "secret-key" not in caplog.text


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError


class HostileMapping(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise RuntimeError

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError


def test_track_never_raises_for_what_it_is_given() -> None:
    client = Client(f"http://127.0.0.1:{free_port()}", site="29", key="k")
    bad: list[object] = [
        client.track(""),
        client.track(Hostile()),  # type: ignore[arg-type]
        client.track("e", Hostile()),  # type: ignore[arg-type]
        client.track("e", {"v": Hostile()}),
        client.track("e", HostileMapping()),
        client.track("e", {"v": float("nan")}),
        client.track("e", timestamp_ms=1_700_000_000),
        client.track("e", {"v": "x" * EVENT_BYTES}),
    ]
    assert bad == [None] * 8
    assert client.dropped == {"invalid": 7, "too_large": 1}
    client.close()


@pytest.mark.parametrize(
    ("address", "settings"),
    [
        ("collect.example.com", {}),
        ("ftp://collect.example.com", {}),
        ("https://", {}),
        ("https://collect.example.com:port", {}),
        ("https://collect.example.com/?a=b", {}),
        ("https://user:password@collect.example.com", {}),
        ("https://collect.example.com", {"site": ""}),
        ("https://collect.example.com", {"key": ""}),
        ("https://collect.example.com", {"batch_events": 0}),
        ("https://collect.example.com", {"interval_s": -1.0}),
        ("https://collect.example.com", {"queue_bytes": 1000}),
    ],
)
def test_settings_that_cannot_be_right_are_refused_at_once(address: str, settings: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Client(address, **{"site": "29", "key": "k", **settings})  # type: ignore[arg-type]


# the documentation

PAGE = (ROOT / "docs/how-to/python-client.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
FRAMEWORKS = re.compile(r"^\s*(?:from|import) (?:django|flask|fastapi|celery)\b", re.MULTILINE)
PLAIN = [snippet for snippet in SNIPPETS if not FRAMEWORKS.search(snippet)]


def test_the_page_has_an_example_for_every_framework_and_all_compile() -> None:
    for snippet in SNIPPETS:
        compile(snippet, "python-client.md", "exec")
    for framework in ("django", "flask", "fastapi", "celery"):
        assert any(re.search(rf"^\s*(?:from|import) {framework}\b", snippet, re.MULTILINE) for snippet in SNIPPETS)


@pytest.mark.parametrize("number", range(len(PLAIN)))
def test_snippets_without_a_framework_run_and_their_events_arrive(server: Server, tmp_path: Path, number: int) -> None:
    snippet = PLAIN[number]
    environment = {"TURNOUT_URL": url(server), "TURNOUT_KEY": BACKEND, "XDG_STATE_HOME": str(tmp_path)}
    program = python(snippet, **environment)
    _, errors = program.communicate(timeout=60)
    assert (program.returncode, errors) == (0, "")
    for name in re.findall(r"track\(\s*\"(\w+)\"", snippet):
        until(lambda name=name: arrived(server, name), name)  # type: ignore[misc]
