"""What every log engine must do: run by each engine's test, ours and anyone's.

Subclass `LogSuite` and give `open_log`: it opens an empty engine over `place`.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from turnout.log.interface import Batch, Commit, Log, Subscription
from turnout.model.errors import LogFullError

GROUPS = {"accepted": ["process"], "processed": ["deliver"]}
DAY_MS = 86_400_000


class FakeClock:
    """A clock that a test moves, in ms."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


def records_of(batches: Sequence[Batch]) -> list[bytes]:
    """All records of some batches, in order."""
    return [record for batch in batches for record in batch.records]


def drain(subscription: Subscription, step: int = 100) -> list[bytes]:
    """Everything a subscription still has."""
    found: list[bytes] = []
    while batches := subscription.fetch(step):
        found += records_of(batches)
    return found


class LogSuite:
    """The contract of `interface.Log`."""

    def open_log(self, place: Path, clock: FakeClock, budget_bytes: int = 1 << 30) -> Log:
        """Open the engine over `place`."""
        raise NotImplementedError("give your engine")

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def log(self, tmp_path: Path, clock: FakeClock) -> Log:
        return self.open_log(tmp_path, clock)

    def test_reads_what_was_appended_in_order(self, log: Log) -> None:
        assert log.append("accepted", [b"a", b"b"]) == 0
        assert log.append("accepted", [b"c"]) == 2
        batches = log.subscribe("accepted", "process").fetch(100)
        assert [(batch.base, batch.records) for batch in batches] == [(0, [b"a", b"b"]), (2, [b"c"])]
        assert batches[-1].next == log.end("accepted") == 3

    def test_streams_are_apart(self, log: Log) -> None:
        log.append("accepted", [b"a"])
        assert log.subscribe("processed", "deliver").fetch(10) == []
        assert log.end("processed") == 0

    def test_fetch_gives_whole_batches_and_goes_on_where_it_ended(self, log: Log) -> None:
        for number in range(10):
            log.append("accepted", [b"%d" % number] * 3)
        subscription = log.subscribe("accepted", "process")
        assert len(records_of(subscription.fetch(4))) == 6
        assert records_of(subscription.fetch(1)) == [b"2"] * 3
        assert len(drain(subscription)) == 21
        assert subscription.fetch(10) == []

    def test_a_batch_larger_than_asked_for_still_comes(self, log: Log) -> None:
        log.append("accepted", [b"x"] * 50)
        assert len(records_of(log.subscribe("accepted", "process").fetch(1))) == 50

    def test_uncommitted_repeats_committed_does_not(self, log: Log) -> None:
        log.append("accepted", [b"a"])
        log.append("accepted", [b"b"])
        first = log.subscribe("accepted", "process")
        first.fetch(1)
        assert drain(log.subscribe("accepted", "process")) == [b"a", b"b"]
        first.commit(1)
        assert drain(log.subscribe("accepted", "process")) == [b"b"]

    def test_commit_with_append_moves_the_cursor(self, log: Log) -> None:
        log.append("accepted", [b"a", b"b"])
        log.append("processed", [b"A", b"B"], Commit("accepted", "process", 2))
        assert drain(log.subscribe("accepted", "process")) == []
        assert drain(log.subscribe("processed", "deliver")) == [b"A", b"B"]

    def test_commit_alone_rides_on_an_empty_append(self, log: Log) -> None:
        log.append("accepted", [b"a"])
        log.append("processed", [], Commit("accepted", "process", 1))
        assert drain(log.subscribe("accepted", "process")) == []
        assert log.end("processed") == 0

    def test_lag_counts_what_is_not_fetched(self, log: Log) -> None:
        log.append("accepted", [b"a", b"b"])
        log.append("accepted", [b"c"])
        subscription = log.subscribe("accepted", "process")
        assert subscription.lag() == 3
        subscription.fetch(1)
        assert subscription.lag() == 1

    def test_a_start_inside_a_batch_gives_that_batch(self, log: Log) -> None:
        log.append("accepted", [b"a"])
        log.append("accepted", [b"b", b"c", b"d"])
        assert log.subscribe("accepted", None, 2).fetch(1)[0].records == [b"b", b"c", b"d"]
        assert log.subscribe("accepted", None, 4).fetch(1) == []

    def test_a_waiting_reader_sees_nothing_within_its_time(self, log: Log) -> None:
        assert log.subscribe("accepted", None).fetch(1, wait_s=0.01) == []

    def test_retention_waits_for_every_group(self, log: Log, clock: FakeClock) -> None:
        self.fill(log, clock, 4)
        clock.ms += 8 * DAY_MS
        log.maintain(clock.ms)
        assert drain(log.subscribe("accepted", None))[0] == b"first"

    def test_retention_removes_what_is_old_and_passed(self, log: Log, clock: FakeClock) -> None:
        self.fill(log, clock, 4)
        log.append("processed", [b"p"], Commit("accepted", "process", log.end("accepted")))
        log.maintain(clock.ms)
        assert drain(log.subscribe("accepted", None))[0] == b"first"
        clock.ms += 8 * DAY_MS
        log.maintain(clock.ms)
        assert b"first" not in drain(log.subscribe("accepted", None, 0))

    def test_full_of_unread_refuses_and_recovers(self, tmp_path: Path, clock: FakeClock) -> None:
        log = self.open_log(tmp_path / "small", clock, budget_bytes=300_000)
        with pytest.raises(LogFullError):
            self.append_until_full(log, clock)
        kept = len(drain(log.subscribe("accepted", "process")))
        assert kept > 10
        log.append("processed", [b"p"], Commit("accepted", "process", log.end("accepted")))
        log.maintain(clock.ms)
        log.append("accepted", [b"again"])
        assert drain(log.subscribe("accepted", "process")) == [b"again"]

    def test_replaced_records_keep_their_place_and_others_stay(self, log: Log, clock: FakeClock) -> None:
        self.fill(log, clock, 2)
        log.append("accepted", [b"a", b"b", b"c"])
        before = drain(log.subscribe("accepted", None, 0))
        place = log.end("accepted") - 2
        bases = [batch.base for batch in log.subscribe("accepted", None, 0).fetch(1000)]
        assert log.replace("accepted", {place: b"", 0: b"other"}) == 2
        assert drain(log.subscribe("accepted", None, 0)) == [b"other", *before[1:-2], b"", b"c"]
        assert [batch.base for batch in log.subscribe("accepted", None, 0).fetch(1000)] == bases
        assert log.replace("accepted", {place: b"", 0: b"other"}) == 0
        assert log.append("accepted", [b"next"]) == place + 2

    def test_replacing_does_not_move_a_cursor(self, log: Log) -> None:
        log.append("accepted", [b"a", b"b"])
        log.append("processed", [b"A"], Commit("accepted", "process", 1))
        log.replace("processed", {0: b""})
        log.replace("accepted", {0: b"", 1: b""})
        assert log.subscribe("accepted", "process").lag() == 1

    def test_what_is_not_kept_cannot_be_replaced(self, log: Log) -> None:
        assert log.replace("accepted", {}) == 0
        log.append("accepted", [b"a"])
        assert log.replace("accepted", {5: b"x"}) == 0
        assert log.end("accepted") == 1

    def append_until_full(self, log: Log, clock: FakeClock) -> None:
        """Append far more than the budget."""
        for _ in range(1000):
            log.append("accepted", [b"x" * 10_000])
            log.maintain(clock.ms)

    def fill(self, log: Log, clock: FakeClock, segments: int) -> None:
        """Enough to span several files of an engine with small ones."""
        log.append("accepted", [b"first"])
        for _ in range(segments * 20):
            log.append("accepted", [b"x" * 10_000])
            log.maintain(clock.ms)
