"""The file destination on a real file system, through crashes, full disks and failing fsyncs."""

import asyncio
import errno
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from turnout.destinations import rotation
from turnout.destinations.file import AppendFile, Config, FileDestination
from turnout.destinations.interface import Context, Event
from turnout.destinations.registry import validate
from turnout.model.outcome import DELIVERED, Result
from turnout.testing.destination_suite import answering

NOW_MS = 1_795_493_700_123  # 2026-11-24T04:15:00.123Z
DAY_MS = 86_400_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def events(*numbers: int) -> list[Event]:
    return [Event(f"evt-{number}", "e", b'{"n":%d}' % number) for number in numbers]


def send(data_dir: Path, config: Config, *batches: Sequence[Event], clock: Clock | None = None) -> list[Result]:
    """Open, send the batches, close; gives the first result of each batch."""

    async def run() -> list[Result]:
        destination = open_file(data_dir, config, clock)
        results = [await destination.send(batch) for batch in batches]
        await destination.close()
        assert [len(result) for result in results] == [len(batch) for batch in batches]
        return [result[0] for result in results]

    return asyncio.run(run())


def open_file(data_dir: Path, config: Config, clock: Clock | None = None) -> FileDestination:
    return FileDestination(config, Context("29/archive", data_dir, answering(200)), clock or Clock())


def numbers(*files: Path) -> list[int]:
    """The events in these files, each line complete and nothing else in between."""
    found = []
    for file in files:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        assert data == b"" or data.endswith(b"\n")
        found += [json.loads(line)["n"] for line in data.splitlines()]
    return found


PLAIN = Config(path="out/events.ndjson")


def test_one_event_per_line_in_order(tmp_path: Path) -> None:
    assert send(tmp_path, PLAIN, events(1, 2), events(3)) == [DELIVERED, DELIVERED]
    assert (tmp_path / "out/events.ndjson").read_bytes() == b'{"n":1}\n{"n":2}\n{"n":3}\n'
    assert send(tmp_path, PLAIN, events(4)) == [DELIVERED]
    assert numbers(tmp_path / "out/events.ndjson") == [1, 2, 3, 4]


def test_an_absolute_path_is_used_as_it_is(tmp_path: Path) -> None:
    target = tmp_path / "else/where/events"
    send(tmp_path / "data", Config(path=str(target)), events(1))
    assert numbers(target) == [1]


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        (b'{"n":1}\n{"n":2}\n{"n":', [1, 2]),
        (b'{"n":1}\n' + b"x" * 200_000, [1]),
        (b"x" * 65_535 + b"\n" + b"y" * 65_536, None),
        (b'{"n":', []),
        (b"", []),
        (b'{"n":1}\n', [1]),
        (b'{"n":1}\n{"n":2,' + bytes(512) + b'}\n{"n":3}\n', [1]),
        (b'{"n":1}\n{"n":2}\n' + bytes(200_000), [1, 2]),
        (bytes(512) + b'{"n":1}\n', []),
    ],
)
def test_what_a_crash_tore_is_cut_at_opening(tmp_path: Path, before: bytes, kept: list[int] | None) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(before)
    assert send(tmp_path, Config(path="events.ndjson"), events(9)) == [DELIVERED]
    if kept is None:
        assert file.read_bytes() == b"x" * 65_535 + b'\n{"n":9}\n'
    else:
        assert numbers(file) == [*kept, 9]


WRITER = """
import asyncio, sys
from pathlib import Path
from turnout.destinations.file import Config, FileDestination
from turnout.destinations.interface import Context, Event

async def main():
    config = Config(path="events.ndjson", rotate_bytes=2_000_000, gzip=True)
    destination = FileDestination(config, Context("29/a", Path(sys.argv[1]), lambda translator: None))
    number = int(sys.argv[2])
    while number < 1_000_000:
        payloads = [b'{"n":%d,"pad":"%s"}' % (n, b"x" * 700) for n in range(number, number + 500)]
        batch = [Event("e", "e", payload) for payload in payloads]
        results = await destination.send(batch)
        if results[0].kind != "delivered":
            sys.exit(str(results[0]))
        number += 500
        print(number, flush=True)

asyncio.run(main())
"""


def test_kill_9_loses_nothing_that_was_reported_and_leaves_no_torn_line(tmp_path: Path) -> None:
    reported, sent_until = 0, 0
    for kill_after in (1, 2, 9, 4, 15):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(reported)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _, line in zip(range(kill_after), writer.stdout, strict=False):
            reported = int(line)
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=90)
        reported = int(rest.split()[-1]) if rest.split() else reported
        sent_until = reported + 500
    config = Config(path="events.ndjson", rotate_bytes=2_000_000, gzip=True)
    send(tmp_path, config, events(sent_until))
    kept = {file.name.removesuffix(".gz"): file for file in sorted(tmp_path.iterdir()) if file.suffix != ".tmp"}
    found = numbers(*kept.values())
    assert set(range(reported)) <= set(found) <= set(range(sent_until + 1))
    assert len(kept) > 2


def test_rotation_by_size(tmp_path: Path) -> None:
    config = Config(path="events.ndjson", rotate_bytes=16)
    send(tmp_path, config, events(1), events(2), events(3), events(4, 5, 6), events(7))
    assert {file.name: numbers(file) for file in sorted(tmp_path.iterdir())} == {
        "events-20261124T041500.123Z-000001.ndjson": [1, 2],
        "events-20261124T041500.123Z-000002.ndjson": [3],
        "events-20261124T041500.123Z-000003.ndjson": [4, 5, 6],
        "events.ndjson": [7],
    }


def test_rotation_by_time_counts_in_utc_and_survives_a_restart(tmp_path: Path) -> None:
    config = Config(path="events.ndjson", rotate_seconds=86_400)
    clock = Clock()
    send(tmp_path, config, events(1), clock=clock)
    file = tmp_path / "events.ndjson"
    os.utime(file, (NOW_MS / 1000, NOW_MS / 1000))
    clock.now_ms = NOW_MS // DAY_MS * DAY_MS + DAY_MS - 1
    send(tmp_path, config, events(2), clock=clock)
    assert numbers(file) == [1, 2]
    os.utime(file, (clock.now_ms / 1000, clock.now_ms / 1000))
    clock.now_ms += 1
    send(tmp_path, config, events(3), events(4), clock=clock)
    assert numbers(file) == [3, 4]
    assert numbers(tmp_path / "events-20261125T000000.000Z-000001.ndjson") == [1, 2]


def test_rotation_by_time_while_open(tmp_path: Path) -> None:
    async def run() -> None:
        clock = Clock()
        destination = open_file(tmp_path, Config(path="events.ndjson", rotate_seconds=3600), clock)
        for number in range(4):
            assert await destination.send(events(number)) == [DELIVERED]
            clock.now_ms += 1_800_000
        await destination.close()

    asyncio.run(run())
    assert [numbers(file) for file in sorted(tmp_path.iterdir())] == [[0, 1], [2, 3]]


def test_closed_files_are_packed_and_leftovers_are_finished_at_start(tmp_path: Path) -> None:
    left = tmp_path / "events-20251124T041500.123Z-000001.ndjson"
    left.write_bytes(b'{"n":0}\n')
    left.with_name(f"{left.name}.gz").write_bytes(b"half of a gz")
    left.with_name(f"{left.name}.gz.tmp").write_bytes(b"half")

    def wait_until_packed(file: AppendFile) -> None:
        assert file._packer is not None
        file._packer.submit(lambda: None).result(timeout=90)

    config = Config(path="events.ndjson", rotate_bytes=16, gzip=True)
    file = AppendFile(tmp_path / "events.ndjson", config)
    for number in range(1, 8):
        file.append(b'{"n":%d}\n' % number, NOW_MS)
    wait_until_packed(file)
    file.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name.partition(".ndjson")[2] for file in files] == [".gz"] * 4 + [""]
    assert numbers(*files) == list(range(8))


def test_a_failure_to_pack_keeps_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: Path, _stop: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rotation, "pack", full)
    send(tmp_path, Config(path="events.ndjson", rotate_bytes=16, gzip=True), *[events(n) for n in range(5)])
    assert numbers(*sorted(tmp_path.iterdir())) == list(range(5))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: writes stop in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_takes_nothing_of_the_batch_and_recovers_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        destination = open_file(tmp_path, PLAIN)
        file = tmp_path / "out/events.ndjson"
        assert await destination.send(events(1)) == [DELIVERED]
        with largest_file(20):
            for _ in range(2):
                results = await destination.send(events(2, 3, 4))
                assert [(result.kind, result.reason) for result in results] == [("retry", "disk_full")] * 3
                assert str(file) in results[0].detail
                assert numbers(file) == [1]
            assert await destination.send(events(5)) == [DELIVERED]
        assert await destination.send(events(2, 3, 4)) == [DELIVERED] * 3
        await destination.close()
        assert numbers(file) == [1, 5, 2, 3, 4]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.EIO, "io_error"), (errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full")],
)
def test_after_a_failed_fsync_the_file_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    async def run() -> None:
        destination = open_file(tmp_path, PLAIN)
        file = tmp_path / "out/events.ndjson"
        assert await destination.send(events(1)) == [DELIVERED]
        used = destination._file._descriptor
        real_fsync, synced = os.fsync, []

        def fsync(descriptor: int) -> None:
            synced.append(descriptor)
            if len(synced) == 1:
                raise OSError(code, os.strerror(code))
            real_fsync(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        (result,) = await destination.send(events(2))
        assert (result.kind, result.reason) == ("retry", reason)
        assert synced == [used]
        assert destination._file._descriptor is None
        assert numbers(file) == [1]
        assert await destination.send(events(2)) == [DELIVERED]
        await destination.close()
        assert numbers(file) == [1, 2]

    asyncio.run(run())


def test_every_batch_is_synced_and_so_are_new_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real_fsync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    send(data_dir, Config(path="a/b/events.ndjson", rotate_bytes=16), *[events(n) for n in (1, 2, 3)])
    line = "events.ndjson"
    assert synced == ["data", "a", "b", line, line, "b", line]


def test_a_second_writer_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    async def run() -> None:
        first, second = open_file(tmp_path, PLAIN), open_file(tmp_path, PLAIN)
        assert await first.send(events(1)) == [DELIVERED]
        results = await second.send(events(2, 3))
        assert [(result.kind, result.reason) for result in results] == [("retry", "file_in_use")] * 2
        await first.close()
        assert await second.send(events(2, 3)) == [DELIVERED] * 2
        await second.close()

    asyncio.run(run())
    assert numbers(tmp_path / "out/events.ndjson") == [1, 2, 3]


@pytest.mark.parametrize("remove", [Path.unlink, lambda file: file.rename(file.with_name("moved"))])
def test_a_file_taken_away_is_made_again(tmp_path: Path, remove: object) -> None:
    assert callable(remove)

    async def run() -> None:
        destination = open_file(tmp_path, PLAIN)
        await destination.send(events(1))
        remove(tmp_path / "out/events.ndjson")
        assert await destination.send(events(2)) == [DELIVERED]
        await destination.close()

    asyncio.run(run())
    assert numbers(tmp_path / "out/events.ndjson") == [2]


def test_paths_that_cannot_be_written_are_results(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in ("plain/events", "folder", "pipe", "x" * 300):
        (result,) = send(tmp_path, Config(path=path), events(1))
        assert (result.kind, result.reason) == ("retry", "io_error"), path
        assert path in result.detail


def test_closing_waits_for_the_write_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_fsync, started, go_on = os.fsync, threading.Event(), threading.Event()

    async def run() -> None:
        destination = open_file(tmp_path, PLAIN)
        await destination.send(events(1))

        def slow_fsync(descriptor: int) -> None:
            started.set()
            go_on.wait(60)
            real_fsync(descriptor)

        monkeypatch.setattr(os, "fsync", slow_fsync)
        writing = asyncio.create_task(destination.send(events(2)))
        assert await asyncio.to_thread(started.wait, 10)
        closing = asyncio.create_task(destination.close())
        done, _ = await asyncio.wait({closing}, timeout=0.1)
        go_on.set()
        await closing
        assert not done
        assert await writing == [DELIVERED]

    asyncio.run(run())
    assert numbers(tmp_path / "out/events.ndjson") == [1, 2]


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"path": "out/"}, "path"),
        ({"path": "out/.."}, "path"),
        ({"path": "."}, "path"),
        ({"path": "a\0b"}, "path"),
        ({"path": "events.ndjson.gz"}, "path"),
        ({"path": "e", "rotate_bytes": 0}, "rotate_bytes"),
        ({"path": "e", "rotate_seconds": -1}, "rotate_seconds"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, object], path: str) -> None:
    config, (problem,) = validate("file", settings)
    assert config is None
    assert problem.path == path
