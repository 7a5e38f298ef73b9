"""The audit finds every kind of drift: each row tampers with the file in one way."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.receipts.making import NOW, REF, log_with, step
from turnout.log.memory import MemoryLog
from turnout.model.event import PROCESSED
from turnout.model.outcome import Code
from turnout.receipts.audit import DestinationAudit, audit
from turnout.receipts.index import Index
from turnout.receipts.parting import drop
from turnout.receipts.store import Store

IDS = [f"e{n}" for n in range(12)]
CODES = [
    *(Code.DELIVERED, Code.PENDING, Code.ERROR, Code.NOT_OFFERED),
    *(Code.DELIVERED_AFTER_RETRY, Code.REJECTED, Code.DRY_RUN, Code.PENDING),
    *(Code.FILTERED_EVENT_NAME, Code.CANCELLED, Code.DELIVERED, Code.FILTERED_CONSENT),
]


@pytest.fixture
def log() -> MemoryLog:
    return log_with(*IDS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "state.db")) as one:
        number, _ = one.destination(REF, 0)
        for base in (0, 4, 8):
            one.record(number, step(base, CODES[base : base + 4]))
        Index(one).add([(0, IDS)])
        yield one


def one(log: MemoryLog, store: Store) -> DestinationAudit:
    (found,) = audit(log, store).destinations
    return found


def test_sums_that_close(log: MemoryLog, store: Store) -> None:
    report = audit(log, store)
    assert (report.closes, report.accepted, report.unprocessed) == (True, 12, 0)
    outcomes = {
        "delivered": 3,
        "pending": 2,
        "error": 1,
        "rejected": 1,
        "dry_run": 1,
        "filtered": 2,
        "cancelled": 1,
    }
    filtered = {"event_name": 1, "consent": 1}
    expected = DestinationAudit(destination=REF, offered=11, outcomes=outcomes, filtered=filtered, lag=0, drift=0)
    assert one(log, store) == expected


@pytest.mark.parametrize(
    ("sql", "drift", "finding"),
    [
        ("UPDATE outcomes SET codes=x'03010900' WHERE base=0", 2, "1 events are delivered, but the counter says 2"),
        ("UPDATE counters SET n=n+1 WHERE code=2", 2, "2 events are delivered, but the counter says 3"),
        ("DELETE FROM counters WHERE code=9", 2, "1 events are error, but the counter says 0"),
        ("UPDATE counters SET n=5 WHERE code=0", 4, "1 events are not_offered, but the counter says 5"),
        ("DELETE FROM ledger WHERE offset=1", 1, "1 events are in the retry ledger, but there should be 2"),
        ("INSERT INTO ledger (destination, offset) VALUES (1, 5)", 1, "3 events are in the retry ledger"),
        ("DELETE FROM dead WHERE offset=2", 1, "1 events are dead letters, but there should be 2"),
        ("INSERT INTO dead (destination, offset) VALUES (1, 0)", 1, "3 events are dead letters"),
        ("INSERT INTO expired VALUES (1, 2, 4)", 4, "6 events are delivered, but the counter says 2"),
        ("UPDATE outcomes SET codes=x'02010963' WHERE base=0", 2, "1 events have the unknown outcome 99"),
        ("DELETE FROM outcomes WHERE base=4", 9, "4 events between offsets 0 and 12 have no outcome"),
        ("UPDATE outcomes SET codes=x'0209' WHERE base=8", 6, "2 events between offsets 0 and 12 have no outcome"),
        ("UPDATE destinations SET cursor=8", 0, "outcomes up to offset 12, beyond the cursor at 8"),
        ("UPDATE destinations SET cursor=20", 0, "beyond the end of the log at 12: was the log removed?"),
        ("INSERT INTO outcomes VALUES (1, 6, 0, x'0000')", 4, "the batch at offset 6 has outcomes twice"),
    ],
)
def test_drift_is_found(log: MemoryLog, store: Store, sql: str, drift: int, finding: str) -> None:
    store.db.execute(sql)
    found = one(log, store)
    assert any(finding in line for line in found.findings), found.findings
    assert found.drift == drift
    assert not audit(log, store).closes


def test_batches_passed_over_without_outcomes_are_found(log: MemoryLog, store: Store) -> None:
    """As a faulty deliverer would do it: counters, bytes and ledger agree, but events are missing."""
    log.append(PROCESSED, [b"1", b"2"])
    log.append(PROCESSED, [b"3"])
    Index(store).add([(12, ["x", "y", "z"])])
    store.record(1, step(14, [Code.DELIVERED]))
    assert one(log, store).findings == ["2 events between offsets 0 and 15 have no outcome"]


def test_events_before_a_destination_came_or_while_it_was_gone_are_not_missed(log: MemoryLog, store: Store) -> None:
    late, start = store.destination("29/late", 4)
    for base in (4, 8):
        store.record(late, step(base, CODES[base : base + 4]))
    assert start == 4
    assert audit(log, store).closes
    while drop(store, "29/late", NOW):
        continue
    log.append(PROCESSED, [b"1", b"2"])
    Index(store).add([(12, ["x", "y"])])
    store.record(1, step(12, [Code.DELIVERED] * 2))
    report = audit(log, store)
    assert report.closes, report
    assert {found.destination: (found.removed, found.lag) for found in report.destinations} == {
        REF: (False, 0),
        "29/late": (True, 0),
    }
    store.destination("29/late", 14)
    assert audit(log, store).closes


def test_what_is_not_reached_yet_is_no_drift(log: MemoryLog, store: Store) -> None:
    log.append(PROCESSED, [b"1", b"2", b"3"])
    Index(store).add([(12, ["x", "y", "z"])])
    found = one(log, store)
    assert (found.lag, found.drift, audit(log, store).closes) == (3, 0, True)


def test_it_reads_one_moment_while_the_worker_writes(log: MemoryLog, store: Store) -> None:
    with closing(Store(store.path)) as reader:
        before = one(log, reader)
        seen: list[int] = []

        def write(_: str) -> None:
            reader.db.set_trace_callback(None)
            log.append(PROCESSED, [b"1"])
            store.record(1, step(12 + len(seen), [Code.DELIVERED]))
            seen.append(1)

        reader.db.execute("BEGIN")
        reader.registered()
        write("")
        reader.db.execute("ROLLBACK")
        assert one(log, reader).offered == before.offered + 1
        reader.db.set_trace_callback(lambda sql: write(sql) if "FROM outcomes" in sql else None)
        assert audit(log, reader).closes
        assert len(seen) == 2


def test_it_changes_nothing(log: MemoryLog, store: Store) -> None:
    before = list(store.db.iterdump())
    audit(log, store)
    assert list(store.db.iterdump()) == before
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
