"""Replacing records: no byte of them is left in any file, beside a writer and readers, after kill -9 too."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.server import until
from turnout.log.interface import Commit
from turnout.log.segment import Segment, encode_body, segment_bases, segment_path
from turnout.log.sqlite import SqliteLog
from turnout.log.writer import rotation_request
from turnout.model.errors import LogUnavailableError
from turnout.testing.log_suite import GROUPS, drain

SECRET = b"ana@example.org"


def opened(place: Path) -> SqliteLog:
    return SqliteLog(place, GROUPS, segment_bytes=200_000, reserve_bytes=0)


def record(number: int, secret: bool, size: int) -> bytes:
    body = b"%d:" % number + random.Random(number).randbytes(size).hex().encode()
    return body + SECRET + body if secret else body


def filled(log: SqliteLog, batches: int = 120) -> dict[int, bytes]:
    """Batches of all sizes; gives what is at each offset."""
    chance = random.Random(7)
    kept: dict[int, bytes] = {}
    for _ in range(batches):
        records = [
            record(len(kept) + i, chance.random() < 0.2, chance.choice((10, 300, 3_000, 20_000)))
            for i in range(chance.randint(1, 12))
        ]
        base = log.append("accepted", records)
        kept |= dict(enumerate(records, base))
        log.maintain(0)
    return kept


def erasures(kept: dict[int, bytes]) -> dict[int, bytes]:
    return {offset: b"gone" for offset, data in kept.items() if SECRET in data}


def traces(place: Path) -> list[str]:
    """The files that hold the secret."""
    return [path.name for path in place.rglob("*") if path.is_file() and SECRET in path.read_bytes()]


def test_nothing_is_left_in_any_file_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    log = opened(tmp_path)
    kept = filled(log)
    gone = erasures(kept)
    assert traces(tmp_path)
    assert log.replace("accepted", gone) == len(gone) > 50
    assert not traces(tmp_path)
    assert drain(log.subscribe("accepted", None, 0)) == list((kept | gone).values())
    assert log.damage() == []
    log.close()


def test_another_process_replaces_while_the_writer_appends_and_a_reader_reads(tmp_path: Path) -> None:
    log = opened(tmp_path)
    kept = filled(log, 60)
    gone = erasures(kept)
    done = threading.Event()
    later: list[bytes] = []

    def write() -> None:
        while not done.is_set():
            later.append(b"later %d" % len(later))
            log.append("accepted", [later[-1]])
            log.maintain(0)
            reader = log.subscribe("accepted", None, 0)
            assert len(drain(reader)) == len(kept) + len(later)
            reader.close()

    writer = threading.Thread(target=write)
    writer.start()
    other = opened(tmp_path)
    try:
        assert other.replace("accepted", gone) == len(gone)
    finally:
        done.set()
        writer.join()
    assert not traces(tmp_path)
    assert drain(other.subscribe("accepted", None, 0)) == [*(kept | gone).values(), *later]
    other.close()
    log.close()


def test_without_a_writer_the_newest_records_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    log.append("accepted", [SECRET])
    log.close()
    monkeypatch.setattr("turnout.log.replacing._ROTATION_S", 0.05)
    with pytest.raises(LogUnavailableError, match="nobody writes"):
        opened(tmp_path).replace("accepted", {0: b""})
    assert not rotation_request(tmp_path / "accepted").exists()


def kill_while_replacing(log: SqliteLog, place: Path, offsets: list[int], segments: int) -> None:
    """Let another process replace, and kill it when it has come to so many segments."""
    program = f"""
import sys
from pathlib import Path
from tests.unit.log.test_replacing import opened
from turnout.log import segment
original = segment.Segment.replace
def told(self, records, stop):
    print("x", flush=True)
    return original(self, records, stop)
segment.Segment.replace = told
opened(Path({str(place)!r})).replace("accepted", dict.fromkeys({offsets!r}, b"gone"))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        told = b""

        def enough() -> bool:
            nonlocal told
            assert process.stdout is not None
            log.maintain(0)
            told += process.stdout.read() or b""
            return told.count(b"x") >= segments

        until(enough, "some segments to be changed")
        process.send_signal(signal.SIGKILL)


def test_after_kill_9_in_the_middle_the_same_call_ends_it(tmp_path: Path) -> None:
    log = opened(tmp_path)
    kept = filled(log)
    gone = erasures(kept)
    for segments in (1, 2, 4):
        log.append("accepted", [b"more"])
        kill_while_replacing(log, tmp_path, [*gone, log.end("accepted") - 1], segments)
    log.replace("accepted", gone)
    assert not traces(tmp_path)
    assert drain(log.subscribe("accepted", None, 0))[: len(kept)] == list((kept | gone).values())
    log.close()


def test_what_a_failed_commit_left_is_emptied_and_still_does_not_count(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append("accepted", [b"a"], Commit("processed", "deliver", 1))
    first = segment_path(tmp_path / "accepted", segment_bases(tmp_path / "accepted")[0])
    with Segment(first, write=True) as segment:
        segment.append(1, 0, encode_body([SECRET]), 1, [Commit("processed", "deliver", 99)])
    log._writers["accepted"]._data_bytes = 1 << 30
    log.append("accepted", [b"b"])
    assert traces(tmp_path)
    log.replace("accepted", {0: b"x"})
    assert not traces(tmp_path)
    assert drain(log.subscribe("accepted", None, 0)) == [b"x", b"b"]
    assert log.cursor("processed", "deliver") == 1
    log.close()
