"""The process stage over the log in memory: nothing lost, skipped or repeated, whatever the log answers."""

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from turnout.log.interface import Batch, Commit
from turnout.log.memory import MemoryLog
from turnout.model.errors import LeaseLostError, LogFullError, LogUnavailableError
from turnout.model.event import ACCEPTED, PROCESSED, Received, decode_processed, encode
from turnout.process.build import STANDARD_CHAIN
from turnout.process.chain import Chain, Draft, Step
from turnout.process.enrichment.shelf import StoreUnavailableError
from turnout.process.stage import GROUP, ProcessStage


class ShakyLog(MemoryLog):
    """Raises what it is told to, once each, before it appends to `processed`."""

    def __init__(self, *refusals: Exception) -> None:
        super().__init__({ACCEPTED: [GROUP], PROCESSED: []})
        self.refusals = list(refusals)

    def append(self, stream: str, records: Sequence[bytes], commit: Commit | None = None) -> int:
        if stream == PROCESSED and self.refusals:
            raise self.refusals.pop(0)
        return super().append(stream, records, commit)


def records(count: int, size: int = 0, first: int = 0) -> list[bytes]:
    payload = b'{"event_name":"x","fill":"%s"}' % (b"a" * size)
    return [
        encode(Received(f"e-{number}", "29/shop", "x", "valid", 1, payload)) for number in range(first, first + count)
    ]


def read(log: MemoryLog) -> list[Batch]:
    return log.subscribe(PROCESSED, None).fetch(1_000_000)


def ids(log: MemoryLog) -> list[str]:
    return [decode_processed(record).event_id for batch in read(log) for record in batch.records]


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        await asyncio.sleep(0.001)


def run_until(stage: ProcessStage, condition: Callable[[], bool]) -> None:
    """Run the stage until the condition holds, then stop it."""

    async def whole() -> None:
        stop = asyncio.Event()
        running = asyncio.ensure_future(stage.run(stop))
        try:
            await until(lambda: running.done() or condition())
        finally:
            stop.set()
            await running

    asyncio.run(whole())


def standard() -> Chain:
    return STANDARD_CHAIN


def test_every_record_once_in_order_with_its_offset() -> None:
    log = ShakyLog()
    for first in range(0, 900, 300):
        log.append(ACCEPTED, records(300, first=first))
    woken: list[int] = []
    stage = ProcessStage(log, standard, lambda: woken.append(log.end(PROCESSED)))
    run_until(stage, lambda: log.end(PROCESSED) == 900)
    assert ids(log) == [f"e-{number}" for number in range(900)]
    offsets = [decode_processed(record).offset for batch in read(log) for record in batch.records]
    assert offsets == list(range(900))
    assert stage.events == {("29/shop", "valid"): 900}
    assert stage.batches == len(read(log)) == len(woken)
    assert stage.lag() == 0


def test_a_restart_goes_on_where_the_last_one_ended() -> None:
    log = ShakyLog()
    log.append(ACCEPTED, records(10))
    run_until(ProcessStage(log, standard, lambda: None), lambda: log.end(PROCESSED) == 10)
    log.append(ACCEPTED, records(5, first=10))
    run_until(ProcessStage(log, standard, lambda: None), lambda: log.end(PROCESSED) == 15)
    assert ids(log) == [f"e-{number}" for number in range(15)]


def deriving(draft: Draft) -> None:
    child = Received(f"{draft.event_id}+", draft.source, "y", "valid", 1, b'{"event_name":"y"}')
    draft.derived.append(child)


def test_derived_records_come_behind_their_parents_also_when_the_log_refuses_them_first() -> None:
    log = ShakyLog(LogFullError("no room"))
    for first in range(0, 500, 250):
        log.append(ACCEPTED, records(250, first=first))
    stage = ProcessStage(log, lambda: (Step("derive", deriving, for_derived=False),), lambda: None)
    run_until(stage, lambda: log.end(PROCESSED) == 1000)
    assert ids(log) == [name for number in range(500) for name in (f"e-{number}", f"e-{number}+")]
    offsets = [decode_processed(record).offset for batch in read(log) for record in batch.records]
    assert offsets == [number // 2 for number in range(1000)]
    assert stage.events == {("29/shop", "valid"): 1000}
    assert stage.lag() == 0


def test_a_full_log_delays_and_loses_nothing() -> None:
    log = ShakyLog(LogFullError("no room"), LogUnavailableError("busy"))
    log.append(ACCEPTED, records(3))
    stage = ProcessStage(log, standard, lambda: None)
    troubles: set[str] = set()

    def done() -> bool:
        troubles.add(stage.trouble)
        return log.end(PROCESSED) == 3 and not stage.trouble

    run_until(stage, done)
    assert ids(log) == ["e-0", "e-1", "e-2"]
    assert "cannot write processed: no room" in troubles
    assert stage.events == {("29/shop", "valid"): 3}


def test_stopped_while_the_log_is_full_it_starts_again_at_the_same_records() -> None:
    log = ShakyLog(*[LogFullError("no room")] * 1000)
    log.append(ACCEPTED, records(3))
    stage = ProcessStage(log, standard, lambda: None)
    run_until(stage, lambda: bool(stage.trouble))
    assert (ids(log), stage.events) == ([], {})
    log.refusals.clear()
    run_until(ProcessStage(log, standard, lambda: None), lambda: log.end(PROCESSED) == 3)
    assert ids(log) == ["e-0", "e-1", "e-2"]


def test_a_log_that_cannot_be_read_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    log = ShakyLog()
    log.append(ACCEPTED, records(1))
    refusals = [LogUnavailableError("disk is gone")]
    readable = log._read

    def read_or_raise(stream: str, position: int, max_records: int, wait_s: float) -> list[Batch]:
        if refusals:
            raise refusals.pop()
        return readable(stream, position, max_records, wait_s)

    monkeypatch.setattr(log, "_read", read_or_raise)
    run_until(ProcessStage(log, standard, lambda: None), lambda: log.end(PROCESSED) == 1)
    assert ids(log) == ["e-0"]


def test_the_lag_is_what_was_known_last_while_the_log_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    log = ShakyLog()
    log.append(ACCEPTED, records(3))
    stage = ProcessStage(log, standard, lambda: None)
    assert stage.lag() == 3

    def unreadable(stream: str) -> int:
        raise LogUnavailableError("disk is gone")

    monkeypatch.setattr(log, "end", unreadable)
    assert stage.lag() == 3


def test_a_lost_lease_ends_the_stage() -> None:
    log = ShakyLog(LeaseLostError("another worker"))
    log.append(ACCEPTED, records(1))
    with pytest.raises(LeaseLostError):
        run_until(ProcessStage(log, standard, lambda: None), lambda: False)
    assert ids(log) == []


def test_appends_hold_whole_batches_of_at_most_8_mb() -> None:
    log = ShakyLog()
    for first in range(0, 500, 100):
        log.append(ACCEPTED, records(100, size=30_000, first=first))
    log.append(ACCEPTED, records(300, size=30_000, first=500))
    run_until(ProcessStage(log, standard, lambda: None), lambda: log.end(PROCESSED) == 800)
    assert [len(batch.records) for batch in read(log)] == [200, 200, 100, 300]


def test_an_event_accepted_after_a_change_is_processed_with_the_change() -> None:
    """The configuration is asked after the fetch: whatever was fetched is younger than the answer."""
    log = ShakyLog()
    changed: list[str] = []

    def mark(draft: Draft) -> None:
        draft.warnings += tuple(changed[:1])

    def refresh() -> Chain:
        if not changed:
            # Between the last fetch and this call: a change, then an event.
            changed.append("new")
            log.append(ACCEPTED, records(1))
            return STANDARD_CHAIN
        return (Step("mark", mark),)

    run_until(ProcessStage(log, refresh, lambda: None), lambda: log.end(PROCESSED) == 1)
    assert [decode_processed(record).warnings for batch in read(log) for record in batch.records] == [("new",)]


def test_stores_that_can_not_be_written_hold_up_nothing_and_are_told_of_once() -> None:
    log = ShakyLog(LogUnavailableError("busy"), LogUnavailableError("busy"))

    def keep() -> None:
        raise StoreUnavailableError("stores.db: disk full")

    for first in range(0, 600, 200):
        log.append(ACCEPTED, records(200, first=first))
    stage = ProcessStage(log, standard, lambda: None, keep)
    with capture_logs() as lines:
        run_until(stage, lambda: len(ids(log)) == 600)
    assert ids(log) == [f"e-{number}" for number in range(600)]
    assert [line["reason"] for line in lines if "stores" in str(line["event"])] == ["stores.db: disk full"]
