"""Processing and delivering: throughput on one core, with and without a backlog, latency, memory."""

import asyncio
import contextlib
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import uvloop

from bench.receiver import listen
from bench.rig import EVENT, QUERY, SERVER_CORE, Row, config, facts, processes, wait, workplace
from turnout.app import open_log
from turnout.log.interface import Log
from turnout.model.event import ACCEPTED, Received, encode
from turnout.receipts.store import Store
from turnout.settings import Settings

ARCHIVE = "{archive: {type: file, sources: [backend], settings: {path: out.ndjson}}}"
PORT, CONTROL_PORT = 18080, 18083
RECEIVERS = (18084, 18085, 18086)
GROUP = 250
"""Events per append, about what the collector's group commits hold under load."""


def process_and_deliver(samples: int, events: int) -> list[Row]:
    """The worker alone on core 0, from the stream `accepted` to a file, fsync included."""
    row = Row("process + deliver to a file, one core", "events/s", "msgspec decode + encode", 0.06, 0.12)
    for _ in range(samples):
        row.measured.append(_drained(events, backlog=False))
        row.reference.append(_codec_rate(events))
    return [row]


def with_backlog(samples: int, backlog: int) -> list[Row]:
    """How fast events are delivered that were there before the worker, beside as many that come while it works."""
    row = Row(f"delivered/s with a backlog of {backlog:,}", "events/s", "the same as they come", 0.9, 1.0)
    for _ in range(samples):
        row.reference.append(_drained(backlog, backlog=False))
        row.measured.append(_drained(backlog, backlog=True))
    return [row]


def latency(samples: int, seconds: int, rate: int = 500) -> list[Row]:
    """From the first byte of the POST to its receipt by three webhooks, whole server, nothing pinned."""
    row = Row("POST → received by webhook, 500/s, 3 destinations, p99", "ms", "", 100.0, 25.0, smaller=True)
    middle = Row("the same, median", "ms", "", 100.0, 25.0, smaller=True)
    for _ in range(samples):
        with workplace() as place, _serving(place, _three_webhooks()):
            waits = sorted(uvloop.run(_send_steadily(rate, rate * seconds)))
        row.measured.append(waits[int(len(waits) * 0.99)] * 1000)
        middle.measured.append(waits[len(waits) // 2] * 1000)
    return [row, middle]


def memory(samples: int, events: int, backlog: int) -> list[Row]:
    """Resident memory of all processes together, the supervisor too; what they share counts in each."""
    rows = [
        Row(f"resident memory, all processes, {when}", "MB", "", 250.0, 150.0, smaller=True)
        for when in ("idle", f"after {events:,} events", f"with a backlog of {backlog:,}")
    ]
    hook = '{dead: {type: webhook, sources: [backend], settings: {url: "http://127.0.0.1:18099/"}}}'
    for _ in range(samples):
        with workplace() as place, _serving(place, ARCHIVE) as pid:
            time.sleep(2.0)
            rows[0].measured.append(_resident_mb(place / "data", pid))
            _post_batches(events)
            wait(lambda: done(place / "data", "29/archive") >= events, "all events to be delivered", 3600)
            rows[1].measured.append(_resident_mb(place / "data", pid))
        with workplace() as place, _serving(place, hook) as pid:
            _post_batches(backlog)
            wait(lambda: facts(place / "data", "worker").lag == 0, "all events to be processed", 3600)
            time.sleep(2.0)
            rows[2].measured.append(_resident_mb(place / "data", pid))
    return rows


def _drained(events: int, *, backlog: bool) -> float:
    """Events per second from the append to the last outcome; with `backlog` all are there before the worker is."""
    text = config(ARCHIVE)
    with workplace() as place:
        data = place / "data"
        (data / "log").mkdir(parents=True)
        log = open_log(Settings(data=str(data)))
        try:
            with processes(data, text, "worker"):
                if not backlog:
                    start = time.monotonic()
                    append(log, events)
                    wait(lambda: done(data, "29/archive") >= events, "all events to be delivered", 600)
                    return events / (time.monotonic() - start)
            # The worker has seen the destination, so everything from now on is owed to it.
            append(log, events)
            with processes(data, text, "worker"):
                first = wait(lambda: done(data, "29/archive") > 0, "the first outcome") and done(data, "29/archive")
                start = time.monotonic()
                wait(lambda: done(data, "29/archive") >= events, "all events to be delivered", 600)
                return (events - first) / (time.monotonic() - start)
        finally:
            log.close()


def append(log: Log, events: int, event: Callable[[int], bytes] | None = None) -> None:
    """What the collector would have written for so many sample events, or others."""
    make = event or payload
    for first in range(0, events, GROUP):
        records = []
        for number in range(first, min(first + GROUP, events)):
            event_id = f"{number:018d}"
            records.append(encode(Received(event_id, "29/backend", "search", "valid", 1_700_000_000_000, make(number))))
        log.append(ACCEPTED, records)


def payload(number: int) -> bytes:
    return _BEFORE + b"%018d" % number + _AFTER


_BEFORE, _, _AFTER = msgspec.json.encode(EVENT).partition(EVENT["context"]["event_id"].encode())  # type: ignore[index]


def done(data: Path, ref: str) -> int:
    """How many events have a final outcome at this destination."""
    store = Store(data / "state.db")
    try:
        known = store.destinations()
        return sum(n for code, n in store.figures(known[ref][0]).codes.items() if code > 1) if ref in known else 0
    finally:
        store.close()


def _codec_rate(events: int) -> float:
    """Events per second that msgspec decodes and encodes on the same core, nothing else."""
    code = (
        "import sys, time, msgspec; from bench.pipeline import payload\n"
        "payloads = [payload(i) for i in range(20000)]\n"
        "decode, encode = msgspec.json.Decoder(dict[str, object]).decode, msgspec.json.Encoder().encode\n"
        "start = time.perf_counter()\n"
        "for i in range(int(sys.argv[1])): encode(decode(payloads[i % 20000]))\n"
        "print(int(sys.argv[1]) / (time.perf_counter() - start))"
    )
    command = ["taskset", "-c", SERVER_CORE, sys.executable, "-c", code, str(events)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@contextlib.contextmanager
def _serving(place: Path, destinations: str) -> Iterator[int]:
    """The whole server as a user starts it; gives the supervisor's process id."""
    data, file = place / "data", place / "turnout.yaml"
    file.write_text(config(destinations))
    command = [sys.executable, "-m", "turnout", "serve", "--data", str(data), "--config", str(file)]
    command += ["--collect", f"127.0.0.1:{PORT}", "--control", f"127.0.0.1:{CONTROL_PORT}"]
    server = subprocess.Popen(command)
    try:
        names = ("collector", "worker", "control")
        wait(lambda: all(facts(data, name).beat_ms for name in names), "the server to be ready")
        yield server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _resident_mb(data: Path, supervisor: int) -> float:
    pids = [supervisor, *(facts(data, name).pid for name in ("collector", "worker", "control"))]
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * resource.getpagesize() / (1 << 20)


def _three_webhooks() -> str:
    hooks = (
        f'h{port}: {{type: webhook, sources: [backend], settings: {{url: "http://127.0.0.1:{port}/"}}}}'
        for port in RECEIVERS
    )
    return "{" + ", ".join(hooks) + "}"


async def _send_steadily(rate: int, events: int) -> list[float]:
    """Post on schedule over 20 connections; seconds from each POST to each of its receipts."""
    sent: dict[bytes, float] = {}
    waits: list[float] = []
    all_there = asyncio.Event()

    def seen(body: bytes) -> None:
        waits.append(time.perf_counter() - sent[_id_of(body)])
        if len(waits) == events * len(RECEIVERS):
            all_there.set()

    partners = [await listen(port, seen) for port in RECEIVERS]
    start = time.perf_counter() + 0.1

    async def client(number: int, of: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        for index in range(number, events, of):
            await asyncio.sleep(max(0.0, start + index / rate - time.perf_counter()))
            body = payload(index)
            sent[b"%018d" % index] = time.perf_counter()
            writer.write(_request("/events", body))
            await reader.readuntil(b"\r\n\r\n{}")
        writer.close()

    await asyncio.gather(*(client(number, 20) for number in range(20)))
    await asyncio.wait_for(all_there.wait(), 60)
    for partner in partners:
        partner.close()
    return waits


def _id_of(body: bytes) -> bytes:
    at = body.index(b'"event_id":"') + 12
    return body[at : at + 18]


def _post_batches(events: int, size: int = 500) -> None:
    uvloop.run(_batches(events, size))


async def _batches(events: int, size: int) -> None:
    """So many events through /events/batch, four at a time."""
    starts = iter(range(0, events, size))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        for first in starts:
            items = [payload(number) for number in range(first, min(first + size, events))]
            writer.write(_request("/events/batch", b'{"batch":[' + b",".join(items) + b"]}"))
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer)
            await reader.readexactly(2)
        writer.close()

    await asyncio.gather(*(client() for _ in range(4)))


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path}?{QUERY} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
