"""Power loss under load, with kill -9 in between: what a 200 was given for is there, whatever was not fsynced is gone.

A real server runs with every file operation recorded (`recorder.c`, `disk.py`), while clients send and processes are
killed. Any prefix of the record is a moment at which the power may fail; for many of them the data
directory is rebuilt as a disk may then hold it (nothing that was not fsynced, or any part of it), and
opened. A client notes the length of the record when it gets its 200: an event must be in every disk after that.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.crash.disk import Disk, Kind, compile_recorder, operations, recording
from tests.crash.load import Load
from tests.support.server import BACKEND, Server, until
from turnout.app import GROUPS
from turnout.log.interface import Log
from turnout.log.sqlite import SqliteLog
from turnout.model.event import decode_processed, decode_received
from turnout.receipts.audit import audit
from turnout.receipts.store import Store
from turnout.supervisor import PROCESSES
from turnout.testing.log_suite import drain

CONNECTIONS = 12
EVENTS_A_ROUND = 300
CUTS = 60
EARLY = 1_000
"""Operations on files after the first 200 in which much is new: files, destinations, cursors."""
RESTARTS = 3
SEGMENT_BYTES = 200_000
LOG_BYTES = 600_000
SEGMENT = re.compile(rb"/accepted/\d{20}\.db$")
CONFIG = """
sites:
  "29":
    sources:
      backend: {{type: server, key: {key}}}
    destinations:
      archive: {{type: file, sources: [backend], settings: {{path: out/events.ndjson}}}}
      hook: {{type: webhook, sources: [backend], settings: {{url: "http://127.0.0.1:{port}/in"}},
             delivery: {{backoff_s: 0.1}}}}
"""


class RecordedServer(Server):
    """Its processes die between two operations on files, so that the record misses none."""

    def end(self, *names: str, supervisor: bool = False) -> None:
        """kill -9 for these processes; for the supervisor before them: it touches no files while it waits."""
        until(lambda: all(alive(self.pid(name)) for name in names), f"{names} to be up")
        pids = [pid for name in names if (pid := self.pid(name))]
        if supervisor:
            assert self._process is not None
            self._process.kill()
            self._process.wait(30)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR2)
        until(lambda: not any(map(alive, pids)), f"{names} to die")


def alive(pid: int | None) -> bool:
    """Whether this process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Partner:
    """A webhook's receiver; `received` holds ids with their mark. With `fails`, every seventh event fails at first."""

    def __init__(self, mark: Callable[[], int] = lambda: 0, *, fails: bool = False) -> None:
        self.received: dict[str, int] = {}
        failed: set[str] = set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(handler) -> None:
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                event_id = json.loads(body)["context"]["event_id"]
                accepts = not fails or event_id in failed or int(event_id.partition("-")[2]) % 7
                failed.add(event_id)
                if accepts:
                    self.received.setdefault(event_id, mark())
                handler.send_response(200 if accepts else 500)
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(handler, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def __enter__(self) -> "Partner":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Recorded(NamedTuple):
    """A run of the server: its journal, and what the clients were told and the partner got when."""

    root: Path
    journal: Path
    acknowledged: dict[str, int]
    requests: list[list[str]]
    received: dict[str, int]
    removal: int
    """When retention first removed something of the log."""

    def acknowledged_by(self, cut: int) -> set[str]:
        """The events that got their 200 before this moment."""
        return {one for one, mark in self.acknowledged.items() if mark <= cut}

    def received_by(self, cut: int) -> set[str]:
        """The events that the partner had before this moment."""
        return {one for one, mark in self.received.items() if mark <= cut}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    place = tmp_path_factory.mktemp("power")
    root, journal = place / "data", place / "journal"
    root.mkdir()
    environment = {
        **recording(compile_recorder(place), root, journal),
        "TURNOUT_SEGMENT_BYTES": str(SEGMENT_BYTES),
        "TURNOUT_RESERVE_BYTES": "0",
    }
    with Partner(lambda: journal.stat().st_size, fails=True) as partner:
        config = CONFIG.format(key=BACKEND, port=partner.port)
        roomy = RecordedServer(root, config, **environment)
        tight = RecordedServer(root, config, **environment, TURNOUT_LOG_BYTES=str(LOG_BYTES))
        tight.port = roomy.port
        load = asyncio.run(kills_under_load(roomy, tight, journal))
    removed = (one.end for one in operations(journal) if one.kind == Kind.UNLINK and SEGMENT.search(one.data))
    return Recorded(root, journal, load.acknowledged, load.requests, partner.received, next(removed))


async def kills_under_load(first: RecordedServer, then: RecordedServer, journal: Path) -> Load:
    """Load, and every round a process dies; each server ends with the death of all."""
    load = Load(first.port, CONNECTIONS, lambda: journal.stat().st_size, EVENTS_A_ROUND)
    running = asyncio.create_task(load.run())
    for server in (first, then):
        await asyncio.to_thread(server.start)
        for victim in ("worker", "collector", "worker"):
            await load.acknowledge(EVENTS_A_ROUND)
            await asyncio.to_thread(server.end, victim)
        await load.acknowledge(EVENTS_A_ROUND)
        await asyncio.to_thread(server.end, *PROCESSES, supervisor=True)
    load.stop()
    await running
    return load


def test_the_record_misses_nothing(run: Recorded, tmp_path: Path) -> None:
    """Played to its end, with everything surviving, it gives the files that are really there."""
    disk = Disk(run.root)
    seen: Counter[Kind] = Counter()
    for operation in operations(run.journal):
        disk.play(operation)
        seen[operation.kind] += 1
    assert set(seen) == set(Kind)
    disk.after_power_cut(tmp_path / "data", random.Random(), 1)
    assert contents(tmp_path / "data") == contents(run.root)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


@pytest.mark.timeout(300)
def test_after_any_power_cut_every_acknowledged_event_has_arrived_or_is_owed(run: Recorded, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    for number, (cut, survival, place) in enumerate(cuts(run, tmp_path, random.Random(seed))):
        try:
            check(place, run, cut)
        except BaseException as error:
            error.add_note(f"seed {seed}, cut {number} at byte {cut}, survival {survival:.2f}: {place}")
            raise
        shutil.rmtree(place)


def test_after_a_power_cut_the_server_delivers_the_rest(run: Recorded, tmp_path: Path) -> None:
    for cut, _, place in cuts(run, tmp_path, random.Random(), RESTARTS):
        acknowledged, received = run.acknowledged_by(cut), run.received_by(cut)
        with Partner() as partner, Server(place, CONFIG.format(key=BACKEND, port=partner.port)) as server:
            complete = partial(everything_arrived, acknowledged, place, received, partner)
            until(complete, "everything to be delivered")
            assert server.audit()["closes"]
        assert "damaged" not in server.errors


def everything_arrived(acknowledged: set[str], place: Path, received: set[str], partner: Partner) -> bool:
    return acknowledged <= archived(place / "out/events.ndjson") and acknowledged <= received | set(partner.received)


def cuts(run: Recorded, place: Path, dice: random.Random, count: int = CUTS) -> Iterator[tuple[int, float, Path]]:
    """Disks after power cuts: early ones, ones right after something happened in a folder, and any."""
    first_mark = min(run.acknowledged.values())
    after = [(operation.end, operation.kind) for operation in operations(run.journal) if operation.end > first_mark]
    turning = [end for end, kind in after if kind in (Kind.CREATE, Kind.RENAME, Kind.UNLINK)]
    ends = [end for end, _ in after]
    third = count // 3
    chosen = {*dice.sample(ends[:EARLY], third), *dice.sample(turning, third), *dice.sample(ends, count - 2 * third)}
    disk = Disk(run.root)
    for operation in operations(run.journal):
        disk.play(operation)
        if operation.end in chosen:
            survival = dice.choice((0.0, 0.0, 1.0, dice.random()))
            target = place / f"cut-{operation.end}"
            disk.after_power_cut(target, dice, survival)
            yield operation.end, survival, target


def check(data: Path, run: Recorded, cut: int) -> None:
    """Everything that was promised by then holds on this disk."""
    acknowledged = run.acknowledged_by(cut)
    log = SqliteLog(data / "log", GROUPS, segment_bytes=SEGMENT_BYTES, reserve_bytes=0)
    store = Store(data / "state.db")
    try:
        accepted = offsets_and_ids(log)
        ids = [one for _, one in accepted]
        check_order(ids)
        if cut < run.removal:
            assert acknowledged - set(ids) == set()
            check_processed(log, accepted)
        check_whole(set(ids), run.requests)
        processed_to = log.cursor("accepted", "process")
        unprocessed = {one for offset, one in accepted if offset >= processed_to}
        lines = archived(data / "out/events.ndjson")
        assert acknowledged - unprocessed - owed(log, store, "29/archive") - lines == set()
        assert acknowledged - unprocessed - owed(log, store, "29/hook") - run.received_by(cut) == set()
        report = audit(log, store)
        assert report.closes, report
        # The write end opens too, and goes on behind the last event.
        assert log.append("accepted", [b"next"]) > max((offset for offset, _ in accepted), default=-1)
        assert log.damage() == []
    finally:
        store.close()
        log.close()


def offsets_and_ids(log: Log) -> list[tuple[int, str]]:
    visitor = log.subscribe("accepted", None)
    found = []
    while batches := visitor.fetch(1000):
        for batch in batches:
            found += [(batch.base + i, decode_received(data).event_id) for i, data in enumerate(batch.records)]
    visitor.close()
    return found


def check_whole(ids: set[str], requests: list[list[str]]) -> None:
    """Of a request all events are there, or none."""
    for request in requests:
        assert len(ids.intersection(request)) in (0, len(request))


def check_order(ids: list[str]) -> None:
    """Each client's events are in the order in which it sent them, none twice."""
    last: dict[str, int] = {}
    for one in ids:
        client, _, number = one.partition("-")
        assert int(number) > last.get(client, -1)
        last[client] = int(number)


def check_processed(log: SqliteLog, accepted: list[tuple[int, str]]) -> None:
    """Exactly one `Processed` for every `Received` before the cursor, in order."""
    cursor = log.cursor("accepted", "process")
    visitor = log.subscribe("processed", None)
    processed = [decode_processed(data) for data in drain(visitor)]
    visitor.close()
    assert [(one.offset, one.event_id) for one in processed] == [pair for pair in accepted if pair[0] < cursor]


def owed(log: Log, store: Store, ref: str) -> set[str]:
    """What a destination will still get of `processed`: what waits for another attempt, and what it has not reached."""
    end = log.end("processed")
    number, cursor = store.destinations().get(ref, (0, end))
    visitor = log.subscribe("processed", None, cursor)
    ahead = {decode_processed(data).event_id for data in drain(visitor)}
    visitor.close()
    return ahead | {entry.event_id for entry in store.due(number, 1 << 62, 1_000_000)}


def archived(path: Path) -> set[str]:
    """The ids in the archive. What was written last and not fsynced may be torn, or have holes."""
    found = set()
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            found.add(json.loads(line)["context"]["event_id"])
    return found
