"""The write end: the lease, failed commits, rotation, retention and formats, over real files."""

import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.disk import Kind, compile_recorder, operations, recording
from turnout.log import writer as writer_module
from turnout.log.interface import Commit
from turnout.log.segment import FORMAT, Segment, segment_bases, segment_path, wal_path
from turnout.log.segment import rename as renamed
from turnout.log.sqlite import SqliteLog
from turnout.model.errors import LeaseLostError, LogFullError, LogUnavailableError, NewerFormatError
from turnout.testing.log_suite import DAY_MS, GROUPS, FakeClock, drain

Append = Callable[[Segment, int, int, bytes, int, list[Commit]], None]


def opened(place: Path, segment_bytes: int = 50_000, budget_bytes: int = 1 << 30) -> SqliteLog:
    return SqliteLog(
        place, GROUPS, segment_bytes=segment_bytes, budget_bytes=budget_bytes, reserve_bytes=0, clock=FakeClock()
    )


def bases(place: Path, stream: str = "accepted") -> list[int]:
    return segment_bases(place / stream)


def fill(log: SqliteLog, kilobytes: int) -> None:
    for _ in range(kilobytes // 10):
        log.append("accepted", [b"x" * 10_000])
        log.maintain(0)


# the lease


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    first.append("accepted", [b"a"])
    with pytest.raises(LeaseLostError, match="is written by another process: stop it, or use another data directory"):
        second.append("accepted", [b"b"])
    second.append("processed", [b"c"])
    first.append("accepted", [b"d"])
    assert drain(second.subscribe("accepted", None)) == [b"a", b"d"]
    first.close()
    second.append("accepted", [b"e"])
    assert drain(second.subscribe("accepted", None)) == [b"a", b"d", b"e"]
    second.close()


def test_the_lease_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = f"""
import os, pathlib
from turnout.log.sqlite import SqliteLog
log = SqliteLog(pathlib.Path({str(tmp_path)!r}), {GROUPS!r}, reserve_bytes=0, segment_bytes=50_000)
log.append("accepted", [b"a"])
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    log = opened(tmp_path)
    assert log.append("accepted", [b"b"]) == 1
    assert drain(log.subscribe("accepted", None)) == [b"a", b"b"]
    log.close()


def test_what_a_killed_writer_left_is_made_durable_before_anything_follows_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
import os, pathlib
from turnout.log.sqlite import SqliteLog
log = SqliteLog(pathlib.Path({str(tmp_path)!r}), {GROUPS!r}, reserve_bytes=0, segment_bytes=50_000)
log.append("accepted", [b"a"])
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    synced: list[str] = []
    fsync = os.fsync

    def recorded(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", recorded)
    log = opened(tmp_path)
    log.append("accepted", [])
    assert synced == [str(tmp_path / "accepted")]
    # The file without its write-ahead log is the least that a power cut leaves. Copied by another process: here it
    # would drop the locks that SQLite holds on it.
    alone = segment_path(tmp_path, 0)
    subprocess.run(["cp", segment_path(tmp_path / "accepted", 0), alone], check=True)
    left = Segment(alone)
    assert [batch.records for batch in left.read(0, None, 10) if not isinstance(batch, int)] == [[b"a"]]
    left.close()
    # And nobody who closes the file meanwhile may take the write-ahead log away.
    code = f"""
import sqlite3
db = sqlite3.connect({str(segment_path(tmp_path / "accepted", 0))!r})
db.execute("SELECT count(*) FROM batches").fetchone()
db.close()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    log.append("accepted", [b"b"])
    other = opened(tmp_path)
    assert drain(other.subscribe("accepted", None)) == [b"a", b"b"]
    other.close()
    log.close()


def test_no_offset_is_given_again_that_a_reader_has_passed(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append("accepted", [b"a"])
    # What a power cut may leave: the reader's own stream kept more than the stream it read.
    log.append("processed", [b"1", b"2", b"3"], Commit("accepted", "process", 3))
    log.close()
    log = opened(tmp_path)
    assert log.append("accepted", [b"b"]) == 3
    assert drain(log.subscribe("accepted", "process")) == [b"b"]
    log.close()


# commits that fail


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts with which the next appends fail: before anything is written, or ("disk I/O error") after all of it.

    The second is what a failed fsync is like: the commit may be on disk all the same.
    """
    errors: list[str] = []
    append: Append = Segment.append

    def failing_append(segment: Segment, base: int, ms: int, body: bytes, count: int, commits: list[Commit]) -> None:
        error = errors.pop(0) if errors else ""
        if error in ("", "disk I/O error"):
            append(segment, base, ms, body, count, commits)
        if error:
            raise sqlite3.OperationalError(error)

    monkeypatch.setattr(Segment, "append", failing_append)
    return errors


def test_what_a_failed_fsync_left_does_not_count(tmp_path: Path, failing: list[str]) -> None:
    log = opened(tmp_path)
    log.append("processed", [b"a"], Commit("accepted", "process", 1))
    failing.append("disk I/O error")
    with pytest.raises(LogUnavailableError, match="starts a new segment"):
        log.append("processed", [b"lost"] * 3, Commit("accepted", "process", 4))
    log.append("processed", [b"b"])
    for _ in range(2):
        assert drain(log.subscribe("processed", None)) == [b"a", b"b"]
        assert log.cursor("accepted", "process") == 1
        log.close()
        log = opened(tmp_path)


def test_a_crash_between_the_new_segment_and_its_first_commit_moves_no_cursor(
    tmp_path: Path, failing: list[str]
) -> None:
    log = opened(tmp_path)
    log.append("processed", [b"a"], Commit("accepted", "process", 1))
    failing.extend(["disk I/O error", "killed here"])
    for _ in range(2):
        with pytest.raises(LogUnavailableError):
            log.append("processed", [b"lost"] * 3, Commit("accepted", "process", 4))
    assert len(bases(tmp_path, "processed")) == 2
    log.close()
    log = opened(tmp_path)
    assert drain(log.subscribe("processed", None)) == [b"a"]
    assert log.cursor("accepted", "process") <= 1
    log.close()


def test_a_first_commit_that_fails_leaves_nothing(tmp_path: Path, failing: list[str]) -> None:
    log = opened(tmp_path)
    failing.append("disk I/O error")
    with pytest.raises(LogUnavailableError):
        log.append("accepted", [b"lost"] * 5)
    assert [log.append("accepted", [name]) for name in (b"a", b"b")] == [1, 2]
    log.close()
    log = opened(tmp_path)
    assert drain(log.subscribe("accepted", None, 0)) == [b"a", b"b"]
    log.close()


def test_a_full_disk_in_a_commit_is_a_full_log_and_the_segment_goes_on(tmp_path: Path, failing: list[str]) -> None:
    log = opened(tmp_path)
    log.append("accepted", [b"a"])
    failing.append("database or disk is full")
    with pytest.raises(LogFullError, match="free some space, collection resumes by itself"):
        log.append("accepted", [b"lost"])
    assert log.append("accepted", [b"b"]) == 1
    assert bases(tmp_path) == [0]
    log.close()


def test_a_segment_that_cannot_be_made_is_a_full_log_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    reader = log.subscribe("accepted", None)
    for _ in range(5):
        log.append("accepted", [b"x" * 10_000])

    def no_space(path: Path, wal_bytes: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "create", no_space)
        for _ in range(3):
            with pytest.raises(LogFullError, match="no room for the next segment"):
                log.append("accepted", [b"lost"])
        log.maintain(0)
        with pytest.raises(LogFullError, match="collection resumes by itself"):
            log.append("accepted", [b"lost"])
    log.maintain(0)
    log.append("accepted", [b"again"])
    assert drain(reader) == [b"x" * 10_000] * 5 + [b"again"]
    log.close()


def test_a_segment_that_could_not_be_opened_is_used_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers may have opened it meanwhile, and would wait forever at a file that is gone."""
    log = opened(tmp_path)
    reader = log.subscribe("accepted", None)
    for _ in range(5):
        log.append("accepted", [b"x" * 10_000])

    def no_space(path: Path, *, write: bool = False) -> Segment:
        raise LogUnavailableError(f"{path}: unable to open database file")

    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "Segment", no_space)
        with pytest.raises(LogFullError):
            log.append("accepted", [b"lost"])
    assert len(drain(reader)) == 5
    log.append("accepted", [b"again"])
    assert drain(reader) == [b"again"]
    log.close()


# segments


def test_a_commit_costs_one_fsync(tmp_path: Path) -> None:
    """Counted in a real process, beside what opening costs."""
    library = compile_recorder(tmp_path)
    synced = []
    for appends in (10, 60):
        root, journal = tmp_path / f"log{appends}", tmp_path / f"journal{appends}"
        root.mkdir()
        code = f"""
import os, pathlib
from turnout.log.sqlite import SqliteLog
log = SqliteLog(pathlib.Path({str(root)!r}), {GROUPS!r}, reserve_bytes=0, segment_bytes=4_000_000)
for number in range({appends}):
    log.append("accepted", [b"x" * 10_000])
os._exit(0)
"""
        environment = {**os.environ, **recording(library, root, journal)}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        synced.append(sum(operation.kind == Kind.SYNC_END for operation in operations(journal)))
    assert synced[1] - synced[0] == 50


def test_appends_overwrite_what_was_allocated_before(tmp_path: Path) -> None:
    log = opened(tmp_path, 3_000_000)
    log.append("accepted", [b"x"])
    wal = wal_path(segment_path(tmp_path / "accepted", 0))
    assert wal.stat().st_size == 3_000_000
    fill(log, 1_500)
    assert wal.stat().st_size == 3_000_000
    fill(log, 2_000)
    newest = wal_path(segment_path(tmp_path / "accepted", bases(tmp_path)[-1]))
    assert newest.stat().st_size == 3_000_000
    log.close()


def test_full_segments_give_their_write_ahead_log_back(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, 300)
    log.maintain(0)
    for base in bases(tmp_path)[:-1]:
        wal = wal_path(segment_path(tmp_path / "accepted", base))
        assert not wal.exists() or wal.stat().st_size == 0
    log.close()


def test_what_a_crash_left_of_removed_files_goes_with_the_next_start(tmp_path: Path) -> None:
    opened(tmp_path).close()
    folder = tmp_path / "accepted"
    left = ["00000000000000000003.db-wal", "00000000000000000003.db-shm", "spare.segment", "unprepared.segment-wal"]
    for name in left:
        (folder / name).write_bytes(b"x")
    log = opened(tmp_path)
    log.append("accepted", [b"a"])
    assert not [name for name in left if (folder / name).exists()]
    assert drain(log.subscribe("accepted", None)) == [b"a"]
    log.close()


# retention


@pytest.mark.parametrize("seed", range(8))
def test_retention_never_overtakes_the_slowest_group(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    groups = {"accepted": ["fast", "slow"]}
    clock = FakeClock()
    log = SqliteLog(tmp_path, groups, segment_bytes=20_000, budget_bytes=40_000, reserve_bytes=0, clock=clock)
    readers = {name: log.subscribe("accepted", name) for name in groups["accepted"]}
    read: dict[str, list[bytes]] = {name: [] for name in readers}
    appended: list[bytes] = []
    for _ in range(300):
        full = False
        if dice.random() < 0.6:
            record = b"%d" % len(appended) + dice.randbytes(dice.randrange(4_000))
            try:
                log.append("accepted", [record])
                appended.append(record)
            except LogFullError:
                full = True
        if full or dice.random() < 0.4:
            name = "slow" if dice.random() < 0.3 else "fast"
            if batches := readers[name].fetch(dice.randint(1, 20)):
                read[name] += [record for batch in batches for record in batch.records]
                readers[name].commit(batches[-1].next)
        clock.ms += dice.randrange(DAY_MS)
        log.maintain(clock.ms)
    for name, reader in readers.items():
        assert read[name] + drain(reader) == appended
    assert bases(tmp_path)[0] > 0
    log.close()


def test_a_tiny_budget_never_refuses_what_everyone_has_read(tmp_path: Path) -> None:
    log = opened(tmp_path, budget_bytes=1)
    for number in range(100):
        log.append("accepted", [b"x" * 10_000])
        log.append("processed", [], Commit("accepted", "process", number + 1))
        log.maintain(0)
    assert len(bases(tmp_path)) <= 2
    log.close()


def test_the_write_end_can_be_taken_while_the_log_is_full(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path, GROUPS, segment_bytes=50_000, reserve_bytes=1 << 60)
    assert log.append("accepted", []) == 0
    with pytest.raises(LogFullError, match="kept in reserve"):
        log.append("accepted", [b"x"])
    log.close()


# formats


def test_a_newer_format_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append("accepted", [b"a"])
    log.close()
    path = segment_path(tmp_path / "accepted", 0)
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={FORMAT + 1}")
    db.close()
    content = path.read_bytes()
    log = opened(tmp_path)
    words = f"newer release .file format {FORMAT + 1}, this one reads up to {FORMAT}.: start that release"
    with pytest.raises(NewerFormatError, match=words):
        log.append("accepted", [b"b"])
    with pytest.raises(NewerFormatError, match=words):
        log.subscribe("accepted", None).fetch(1)
    assert path.read_bytes() == content
    assert log.damage() == []
    log.close()


def test_a_spare_is_not_replaced_while_it_becomes_a_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    begun: list[Path] = []

    def rename(old: Path, new: Path) -> None:
        before = old.stat().st_ino
        maintenance = threading.Thread(target=log.maintain, args=(0,))
        maintenance.start()
        # It ends at once, or waits for the append that is under way.
        maintenance.join(0.5)
        assert old.stat().st_ino == before
        renamed(old, new)
        begun.append(old)

    monkeypatch.setattr(writer_module, "rename", rename)
    sent = [b"%d" % number + b"x" * 10_000 for number in range(12)]
    for record in sent:
        log.append("accepted", [record])
        log.maintain(0)
    assert drain(log.subscribe("accepted", None)) == sent
    log.close()
    assert [path.name for path in begun].count("spare.segment") == 2
