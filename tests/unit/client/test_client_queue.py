"""What both queues promise, and what only the one on disk does."""

import fcntl
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turnout.client.queue import MemoryQueue, Policy, Queue
from turnout.client.spool import SEGMENT_BYTES, SpoolQueue

POLICY = Policy(events=10, interval_s=1.0)
LIMIT = 4_000_000


def memory(_: Path, limit: int = LIMIT) -> Queue:
    return MemoryQueue(POLICY, limit)


def spool(folder: Path, limit: int = LIMIT) -> SpoolQueue:
    return SpoolQueue(folder, POLICY, limit, MemoryQueue(POLICY, LIMIT))


def event(number: int, size: int = 0) -> bytes:
    return b'{"n":%d,"pad":"%s"}' % (number, b"x" * size)


def drained(queue: Queue) -> list[bytes]:
    found: list[bytes] = []
    while batch := queue.take():
        found += batch
        queue.acknowledge()
    return found


@pytest.mark.parametrize(
    ("events", "size", "age_s", "expected"),
    [(1, 10, 0, 1), (1, 10, 0.25, 0.75), (1, 10, 2, 0), (9, 10, 0, 1), (10, 10, 0, 0), (1, 512_000, 0, 0)],
)
def test_a_batch_is_due_by_count_bytes_or_age(events: int, size: int, age_s: float, expected: float) -> None:
    assert POLICY.due_in(events, size, age_s) == expected


@pytest.mark.parametrize("make", [memory, spool])
def test_events_leave_in_order_in_batches_and_only_when_acknowledged(
    make: Callable[[Path], Queue], tmp_path: Path
) -> None:
    queue = make(tmp_path)
    events = [event(n) for n in range(25)]
    assert all(queue.offer(one) for one in events)
    assert queue.take() == queue.take() == events[:10]
    assert (queue.accepted, queue.settled) == (25, 0)
    queue.acknowledge()
    assert (queue.accepted, queue.settled) == (25, 10)
    assert drained(queue) == events[10:]
    assert (queue.settled, queue.waiting_bytes, queue.take()) == (25, 0, [])


@pytest.mark.parametrize("make", [memory, spool])
def test_a_full_queue_says_no_and_takes_again_once_there_is_room(
    make: Callable[[Path, int], Queue], tmp_path: Path
) -> None:
    queue = make(tmp_path, 3_000)
    taken = [n for n in range(40) if queue.offer(event(n, 100))]
    assert taken == list(range(len(taken)))
    assert 20 < len(taken) < 40
    assert drained(queue) == [event(n, 100) for n in taken]
    assert queue.offer(event(99))
    assert queue.close() == (make is memory)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["offer", "big", "take", "restart"]), max_size=60))
def test_any_history_with_restarts_gives_every_event_and_in_order(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    queue = spool(folder)
    offered: list[bytes] = []
    arrived: list[bytes] = []
    for step in steps:
        if step == "take":
            arrived += queue.take()
            queue.acknowledge()
        elif step == "restart":
            assert queue.close() == 0
            queue = spool(folder)
        else:
            offered.append(event(len(offered), 200_000 if step == "big" else 0))
            assert queue.offer(offered[-1])
    arrived += drained(queue)
    assert list(dict.fromkeys(arrived)) == offered
    assert list(folder.iterdir()) == []
    assert (queue.waiting_bytes, queue.corrupt, queue.trouble) == (0, 0, "")


def test_what_is_acknowledged_is_removed_and_at_most_one_segment_comes_again(tmp_path: Path) -> None:
    queue = spool(tmp_path)
    count = 3 * SEGMENT_BYTES // 10_000
    events = [event(n, 10_000) for n in range(count)]
    assert all(queue.offer(one) for one in events)
    for _ in range(12):
        queue.take()
        queue.acknowledge()
    assert queue.settled > SEGMENT_BYTES // 10_000
    queue.close()
    again = drained(spool(tmp_path))
    assert again == events[-len(again) :]
    assert count - queue.settled <= len(again) <= count - queue.settled + SEGMENT_BYTES // 10_000


@pytest.mark.parametrize(
    ("tail", "corrupt"),
    [
        (b"", 0),
        (b'{"n":7', 0),
        (b"\0" * 5_000, 0),
        (b"\0" * 5_000 + b"\n", 1),
        (b"\xff\xfe\n[1]\n7\n\n", 4),
        (b"[" * 100_000 + b"\n", 1),
    ],
)
def test_a_damaged_tail_costs_only_itself(tmp_path: Path, tail: bytes, corrupt: int) -> None:
    queue = spool(tmp_path)
    assert queue.offer(event(1))
    queue.close()
    (segment,) = tmp_path.iterdir()
    with segment.open("ab") as file:
        file.write(tail)
    queue = spool(tmp_path)
    assert queue.offer(event(2))
    assert drained(queue) == [event(1), event(2)]
    assert queue.corrupt == corrupt
    assert (queue.accepted, queue.settled, queue.waiting_bytes) == (2 + corrupt, 2 + corrupt, 0)
    assert list(tmp_path.iterdir()) == []


def test_two_queues_share_a_folder_but_never_a_segment(tmp_path: Path) -> None:
    first = spool(tmp_path)
    assert first.offer(event(1))
    second = spool(tmp_path)
    assert second.offer(event(2))
    assert drained(second) == [event(2)]
    assert first.take() == [event(1)]
    first.close()
    assert drained(spool(tmp_path)) == [event(1)]


def test_what_a_process_left_that_died_while_it_made_a_segment_is_removed(tmp_path: Path) -> None:
    (tmp_path / "turnout-1795581850073094864-22162.new").touch()
    assert drained(spool(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("finished", [False, True])
def test_a_segment_that_is_taken_for_a_dead_process_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    queue, lock = spool(tmp_path), fcntl.flock
    others = []

    def late(fd: int, operation: int) -> None:
        """Another process looks for leftovers between our making the file and our locking it."""
        monkeypatch.setattr(fcntl, "flock", lock)
        (draft,) = tmp_path.iterdir()
        others.append(draft.open())
        lock(others[0], operation)
        if finished:
            draft.unlink()
            others[0].close()
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    assert queue.offer(event(1))
    assert (queue.trouble, drained(queue)) == ("", [event(1)])
    others[0].close()


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "orders.ndjson").write_bytes(event(1) + b"\n")
    assert drained(spool(tmp_path)) == []
    assert (tmp_path / "orders.ndjson").exists()


DIES = """
import os, signal, sys
from pathlib import Path
from turnout.client.queue import MemoryQueue, Policy
from turnout.client.spool import SpoolQueue
policy = Policy(10, 1.0)
queue = SpoolQueue(Path(sys.argv[1]), policy, 4_000_000, MemoryQueue(policy, 4_000_000))
for n in range(100):
    queue.offer(b'{"n":%d,"pad":""}' % n)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_event_is_in_the_spool_when_offer_returns(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False, timeout=120)
    assert drained(spool(tmp_path)) == [event(n) for n in range(100)]


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """As on a full disk, a write beyond that size is cut short or fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 60, 100, 130])
def test_a_full_disk_moves_events_to_memory_and_back_without_changing_their_order(tmp_path: Path, room: int) -> None:
    queue = spool(tmp_path)
    with files_at_most(room):
        assert all(queue.offer(event(n, 40)) for n in range(5))
    assert queue.trouble
    assert queue.offer(event(5, 40))
    assert drained(queue) == [event(n, 40) for n in range(6)]
    assert queue.waiting_bytes == 0
    assert queue.offer(event(6))
    assert queue.close() == 0
    assert drained(spool(tmp_path)) == [event(6)]


def test_nothing_is_written_behind_a_torn_line(tmp_path: Path) -> None:
    queue = SpoolQueue(tmp_path, POLICY, LIMIT, MemoryQueue(POLICY, 10))
    with files_at_most(100):
        assert [queue.offer(event(n, 40)) for n in range(3)] == [True, False, True]
    assert queue.offer(event(3, 40))
    queue.close()
    assert drained(spool(tmp_path)) == [event(0, 40), event(2, 40), event(3, 40)]


def test_a_folder_that_cannot_be_made_leaves_a_queue_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    queue = spool(tmp_path / "file" / "spool")
    assert queue.offer(event(1))
    assert "spool" in queue.trouble
    assert drained(queue) == [event(1)]
