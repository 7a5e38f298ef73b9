"""The inspector: searches and traces among many records, what it costs while events flow, its budget of files."""

import asyncio
import contextlib
import http.client
import itertools
import json
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import uvloop

from bench.pipeline import GROUP
from bench.rig import EVENT, KEY, QUERY, Row, facts, processes, wait, workplace
from turnout.app import open_log
from turnout.control.access.desk import opened
from turnout.log.interface import Log
from turnout.model.clock import now_ms
from turnout.model.event import ACCEPTED, Received, encode
from turnout.receipts.store import Store
from turnout.settings import Settings

PORT, CONTROL_PORT = 18090, 18091
NAMES, USERS = 20, 50_000
SEARCHES = {
    "a property's value": "filter[property][basket.code]=c-4242",
    "a property's value that every twentieth has": "filter[property][search_term]=term-7",
    "name and time": "filter[event_name]=event-3&start={start}&end={end}",
    "user": "filter[user_id]=4242",
    "words": "filter[q]=4242 term",
    "name and a number above": "filter[event_name]=event-3&filter[property][value][gte]=900",
}


def searches(samples: int, events: int) -> list[Row]:
    """Over HTTP, each search with what nobody has asked for before; the slowest of so many. All processes at work."""
    rows = {
        name: Row(f"search of {events:,} records by {name}", "ms", "", 300.0, 100.0, smaller=True) for name in SEARCHES
    }
    trace = Row(f"trace among {events:,} events", "ms", "", 20.0, 10.0, smaller=True)
    size = Row(
        f"the inspector's files for {events:,} events and as many attempts", "MB", "", 4_096.0, 4_096.0, smaller=True
    )
    keeping = Row("records kept per second, both directions, catching up", "records/s", "", 0.0, 0.0)
    with workplace() as place, _filled(place, events) as (data, token, seconds, middle):
        keeping.measured.append(2 * events / seconds)
        size.measured.append(sum(file.stat().st_size for file in (data / "inspector").iterdir()) / (1 << 20))
        for number in range(samples):
            times = {"start": _iso(middle + 10 * number), "end": _iso(middle + 10 * number + 2000)}
            for name, query in SEARCHES.items():
                asked = (
                    query.format(**times)
                    .replace("4242", str(4242 + number))
                    .replace("term-7", f"term-{7 + number % 9}")
                )
                rows[name].measured.append(_timed(f"/v2/29/inspector/incoming?{asked.replace(' ', '%20')}", token))
            event_id = f"{random.randrange(events):018d}"
            trace.measured.append(_timed(f"/v2/29/inspector/events/{event_id}", token))
    return [*rows.values(), trace, size, keeping]


def cost(samples: int, seconds: int, rate: int = 5_000) -> list[Row]:
    """Events per second collected and delivered at a steady rate, with control and its inspector and without."""
    collected = Row(f"collected at {rate:,}/s with the inspector", "events/s", "without", 0.9, 1.0)
    delivered = Row(f"delivered at {rate:,}/s with the inspector", "events/s", "without", 0.9, 1.0)
    for _ in range(samples):
        for only, into in ((("collector", "worker"), 1), (("collector", "worker", "control"), 0)):
            with workplace() as place:
                data = place / "data"
                with processes(data, _config("auto"), *only, core="0,1", **_places()):
                    took, until_delivered = _steadily(data, rate, seconds)
            for row, value in ((collected, took), (delivered, until_delivered)):
                (row.reference if into else row.measured).append(rate * seconds / value)
    return [collected, delivered]


def budget(events: int, budget_bytes: int = 64 << 20) -> list[Row]:
    """The most that the files take while four times as much goes through them, as a part of the budget."""
    row = Row(f"the inspector's files, of a budget of {budget_bytes >> 20} MB", "%", "", 105.0, 100.0, smaller=True)
    with workplace() as place:
        data = place / "data"
        log = _log(data)
        with processes(
            data,
            _config("all"),
            "worker",
            "control",
            core="0,1",
            **_places(),
            TURNOUT_INSPECTOR_BYTES=str(budget_bytes),
        ):
            _append(log, events)
            most = 0
            while facts(data, "control").inspector_lag or _done(data) < events:
                most = max(most, _folder_bytes(data / "inspector"))
                time.sleep(0.2)
        log.close()
    row.measured.append(100 * most / budget_bytes)
    return [row]


@contextlib.contextmanager
def _filled(place: Path, events: int) -> Iterator[tuple[Path, str, float, int]]:
    """A server that has processed, delivered and kept so many events.

    Gives its data, a token, how long keeping took (s), and a moment (ms) at which some were received.
    """
    data = place / "data"
    log = _log(data)
    try:
        with processes(data, _config("all"), "worker", "control", core="0,1", **_places()):
            with opened(data, "cli") as desk:
                issued = desk.issue(
                    name="bench", role="admin", scopes=(), sites=("29",), expires_ms=None, now_ms=now_ms()
                )
            start, began = time.monotonic(), now_ms()
            _append(log, events)
            middle = (began + now_ms()) // 2 - 1000
            wait(lambda: _done(data) >= events, "all events to be delivered", 1800)
            wait(lambda: facts(data, "control").inspector_lag == 0, "the inspector to come to the end", 1800)
            took = time.monotonic() - start
            time.sleep(2.0)
            yield data, issued[1].text, took, middle
    finally:
        log.close()


def _config(sampling: str) -> str:
    source = f"{{backend: {{type: server, key: {KEY}}}}}"
    archive = "{archive: {type: file, sources: [backend], settings: {path: out.ndjson}}}"
    return f'sites: {{"29": {{inspector: {{sampling: {sampling}}}, sources: {source}, destinations: {archive}}}}}'


def _places() -> Mapping[str, str]:
    return {"TURNOUT_COLLECT": f"127.0.0.1:{PORT}", "TURNOUT_CONTROL": f"127.0.0.1:{CONTROL_PORT}"}


def _log(data: Path) -> Log:
    (data / "log").mkdir(parents=True)
    return open_log(Settings(data=str(data)))


def _append(log: Log, events: int) -> None:
    for first in range(0, events, GROUP):
        now = now_ms()
        records = []
        for number in range(first, min(first + GROUP, events)):
            event = _event(number)
            records.append(
                encode(
                    Received(
                        f"{number:018d}",
                        "29/backend",
                        str(event["event_name"]),
                        "valid",
                        now,
                        msgspec.json.encode(event),
                    )
                )
            )
        log.append(ACCEPTED, records)


def _event(number: int) -> dict[str, object]:
    """The sample event, with values of its own: a name, a user, a term, a number, a code that two hundred have."""
    user, context = EVENT["user"], EVENT["context"]
    assert isinstance(user, dict)
    assert isinstance(context, dict)
    return {
        **EVENT,
        "event_name": f"event-{number % NAMES}",
        "search_term": f"term-{number % 20}",
        "value": number * 7919 % 1000,
        "basket": {"code": f"c-{number % 5000}", "lines": number % 7},
        "user": {**user, "id": str(number * 7919 % USERS)},
        "context": {**context, "event_id": f"{number:018d}"},
    }


def _done(data: Path) -> int:
    store = Store(data / "state.db")
    try:
        known = store.destinations()
        codes = store.figures(known["29/archive"][0]).codes if "29/archive" in known else {}
        return sum(n for code, n in codes.items() if code > 1)
    finally:
        store.close()


def _timed(path: str, token: str) -> float:
    """Milliseconds until an answer is there whole."""
    connection = http.client.HTTPConnection("127.0.0.1", CONTROL_PORT, timeout=60)
    start = time.perf_counter()
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    body = response.read()
    took = (time.perf_counter() - start) * 1000
    connection.close()
    if response.status != 200 or not json.loads(body)["data"]:
        raise RuntimeError(f"{path}: {response.status} {body[:300]!r}")
    return took


def _steadily(data: Path, rate: int, seconds: int) -> tuple[float, float]:
    """Send at this rate in batches of ten; seconds until all were answered, and until all were delivered."""
    events = rate * seconds
    start = time.monotonic()
    uvloop.run(_send(rate, events))
    answered = time.monotonic() - start
    wait(lambda: _done(data) >= events, "all events to be delivered", 600)
    return answered, time.monotonic() - start


async def _send(rate: int, events: int, batch: int = 10, connections: int = 8) -> None:
    start = time.perf_counter()
    firsts = iter(range(0, events, batch))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        for first in firsts:
            await asyncio.sleep(max(0.0, start + first / rate - time.perf_counter()))
            items = b",".join(msgspec.json.encode(_event(number)) for number in range(first, first + batch))
            body = b'{"batch":[' + items + b"]}"
            head = f"POST /events/batch?{QUERY} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            if not (await reader.readuntil(b"\r\n\r\n{}")).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("not answered 200")
        writer.close()

    await asyncio.gather(*itertools.starmap(client, [()] * connections))


def _folder_bytes(folder: Path) -> int:
    total = 0
    for file in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def _iso(ms: int) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms / 1000))}.{ms % 1000:03d}Z"
