"""The fate of one event by its id: every outcome, at every destination, at every stage of its way."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import Raw

from tests.unit.receipts.making import NOW, REF, log_with, step
from turnout.log.interface import Commit
from turnout.log.memory import MemoryLog, MemorySubscription
from turnout.model.event import ACCEPTED, PROCESSED, Processed, Reason, Received, encode
from turnout.model.outcome import Code
from turnout.receipts.index import Index
from turnout.receipts.parting import drop
from turnout.receipts.records import Settlement
from turnout.receipts.store import Store
from turnout.receipts.trace import Fate, trace

CODES = list(Code)
IDS = [code.name for code in CODES]


@pytest.fixture
def log() -> MemoryLog:
    return log_with(*IDS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "state.db")) as one:
        number, _ = one.destination(REF, 0)
        for base in range(0, len(CODES), 4):
            one.record(number, step(base, CODES[base : base + 4]))
        yield one


@pytest.fixture(params=["indexed", "not indexed yet"])
def _indexed(request: pytest.FixtureRequest, store: Store) -> None:
    if request.param == "indexed":
        Index(store).add([(0, IDS)])


@pytest.mark.usefixtures("_indexed")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Code.NOT_OFFERED, None),
        (Code.PENDING, Fate(destination=REF, outcome="pending", reason="busy", attempts=1, next_attempt_ms=NOW)),
        (Code.DELIVERED, Fate(destination=REF, outcome="delivered", attempts=1)),
        (Code.DELIVERED_AFTER_RETRY, Fate(destination=REF, outcome="delivered")),
        (Code.FILTERED_EVENT_NAME, Fate(destination=REF, outcome="filtered", reason="event_name")),
        (Code.FILTERED_CONSENT, Fate(destination=REF, outcome="filtered", reason="consent")),
        (Code.FILTERED_CONDITION, Fate(destination=REF, outcome="filtered", reason="condition")),
        (Code.FILTERED_UNSUPPORTED, Fate(destination=REF, outcome="filtered", reason="unsupported_event")),
        (
            Code.REJECTED,
            Fate(destination=REF, outcome="rejected", reason="404_not_found", detail="gone", attempts=1),
        ),
        (Code.ERROR, Fate(destination=REF, outcome="error", reason="404_not_found", detail="gone", attempts=1)),
        (Code.DRY_RUN, Fate(destination=REF, outcome="dry_run")),
        (Code.CANCELLED, Fate(destination=REF, outcome="cancelled")),
    ],
)
def test_each_outcome(log: MemoryLog, store: Store, code: Code, expected: Fate | None) -> None:
    (found,) = trace(log, store, code.name)
    assert found.destinations == ([] if expected is None else [expected])
    assert found.settled is (code != Code.PENDING)


def test_attempts_of_what_was_delivered_later(log: MemoryLog, store: Store) -> None:
    (entry,) = store.due(1, NOW, 10)
    store.settle(1, [Settlement(entry=entry, attempts=4, at_ms=NOW, code=Code.DELIVERED_AFTER_RETRY)])
    assert trace(log, store, "PENDING")[0].destinations == [Fate(destination=REF, outcome="delivered", attempts=4)]


def test_on_its_way_through_the_stages(log: MemoryLog, store: Store) -> None:
    received = Received("late", "29/shop", "purchase", "valid", NOW, b'{"a":1}', raw=b"a=1", endpoint="batch")
    offset = log.append(ACCEPTED, [encode(received)])
    (found,) = trace(log, store, "late")
    assert (found.processed, found.settled, found.raw, found.endpoint) == (False, False, "a=1", "batch")
    record = Processed("late", "29/shop", "purchase", "valid", NOW, offset, b'{"a":2}')
    log.append(PROCESSED, [encode(record)])
    log.subscribe(ACCEPTED, "process").commit(offset + 1)
    (found,) = trace(log, store, "late")
    assert found.destinations == [Fate(destination=REF, outcome="waiting", reason="not reached yet")]
    assert (found.processed, found.settled, found.payload) == (True, False, Raw(b'{"a":2}'))


class OvertakenLog(MemoryLog):
    """As soon as somebody has read a stream to its end, what waits is processed."""

    def subscribe(self, stream: str, group: str | None, start: int | None = None) -> MemorySubscription:
        if start is None:
            start = self._cursors.get((stream, group or ""), 0)
        return OvertakenSubscription(self, stream, group, start)

    def process(self) -> None:
        if not self.end(PROCESSED):
            record = Processed("late", "29/shop", "purchase", "valid", NOW, 0, b"{}")
            self.append(PROCESSED, [encode(record)], Commit(ACCEPTED, "process", 1))


class OvertakenSubscription(MemorySubscription):
    def close(self) -> None:
        assert isinstance(self._log, OvertakenLog)
        self._log.process()


def test_an_event_that_is_processed_meanwhile_is_found_once(store: Store) -> None:
    log = OvertakenLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]})
    log.append(ACCEPTED, [encode(Received("late", "29/shop", "purchase", "valid", NOW, b"{}"))])
    (found,) = trace(log, store, "late")
    assert found.processed


def test_a_refused_event_is_settled_with_its_reasons(log: MemoryLog, store: Store) -> None:
    reasons = (Reason("unknown_source", "", "no such key"),)
    log.append(ACCEPTED, [encode(Received("bad", "", "", "rejected", NOW, b"not json", reasons))])
    (found,) = trace(log, store, "bad")
    assert (found.status, found.settled, found.reasons, found.payload) == ("rejected", True, reasons, "not json")


def test_a_removed_destination_says_what_it_did_and_waits_for_nothing(log: MemoryLog, store: Store) -> None:
    while drop(store, REF, NOW):
        continue
    assert trace(log, store, "DELIVERED")[0].destinations == [Fate(destination=REF, outcome="delivered", attempts=1)]
    (fate,) = trace(log, store, "PENDING")[0].destinations
    assert (fate.outcome, fate.reason) == ("error", "destination_deleted")
    log.append(PROCESSED, [encode(Processed("late", "29/shop", "purchase", "valid", NOW, 0, b"{}"))])
    (found,) = trace(log, store, "late")
    assert (found.destinations, found.settled) == ([], True)


def test_an_id_sent_twice_has_two_fates_oldest_first(store: Store) -> None:
    log = log_with("a", "b", "a", "c")
    Index(store).add([(0, ["a", "b", "a", "c"])])
    assert [found.destinations[0].outcome if found.destinations else "" for found in trace(log, store, "a")] == [
        *("", "delivered"),
    ]


def test_an_id_that_only_shares_its_hash_is_not_shown(log: MemoryLog, store: Store) -> None:
    # The index says "here" where the log has an event of another id.
    Index(store).add([(0, ["DELIVERED", "x", "x", *IDS[3:]])])
    assert [one.event_id for one in trace(log, store, "DELIVERED")] == []


def test_never_seen_is_nothing(log: MemoryLog, store: Store) -> None:
    assert trace(log, store, "never") == []


def test_several_destinations_by_name(log: MemoryLog, store: Store) -> None:
    other, _ = store.destination("29/archive", 0)
    store.record(other, step(0, [Code.DELIVERED] * 4))
    assert [fate.destination for fate in trace(log, store, "DELIVERED")[0].destinations] == ["29/archive", REF]
