"""Erasing from the receipts: sums close as before, and what was under way leaves nothing behind."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from tests.unit.receipts.making import NOW, REF, log_with, step
from turnout.model.outcome import Code
from turnout.receipts import erasure
from turnout.receipts.audit import audit
from turnout.receipts.erasure import Buried
from turnout.receipts.records import Settlement
from turnout.receipts.retention import retain
from turnout.receipts.store import Store

DELIVERED, PENDING, ERROR = Code.DELIVERED, Code.PENDING, Code.ERROR
SECRET = b"zoe-to-forget"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "state.db")) as one:
        yield one


@pytest.fixture
def number(store: Store) -> int:
    return store.destination(REF, 0)[0]


def codes(store: Store, number: int) -> dict[Code, int]:
    return {code: n for code, n in store.figures(number).codes.items() if n}


def test_what_waits_is_cancelled_and_what_died_keeps_its_outcome(store: Store, number: int) -> None:
    store.record(number, step(0, [DELIVERED, PENDING, ERROR, PENDING]))
    assert erasure.bury(store, [0, 1, 2], NOW) == Buried(1, 1)
    assert codes(store, number) == {DELIVERED: 1, PENDING: 1, ERROR: 1, Code.CANCELLED: 1}
    assert (store.ledger_size(number), store.dead_size(number), store.figures(number).dead) == (1, 0, 0)
    assert erasure.bury(store, [0, 1, 2], NOW) == Buried(0, 0)
    assert audit(log_with("a", "b", "c", "d"), store).closes


def test_what_comes_of_an_attempt_under_way_is_not_kept(store: Store, number: int) -> None:
    store.record(number, step(0, [PENDING]))
    (entry,) = store.due(number, NOW, 1)
    erasure.bury(store, [0, 1, 2], NOW)
    store.settle(number, [Settlement(entry=entry, attempts=2, at_ms=NOW, due_ms=NOW + 1)])
    late = step(1, [PENDING, ERROR, PENDING])
    late = structs.replace(
        late,
        ledger=[structs.replace(one, payload=SECRET, detail="zoe-to-forget") for one in late.ledger],
        dead=[structs.replace(one, payload=SECRET) for one in late.dead],
        shown=[SECRET],
    )
    store.record(number, late)
    assert [one.offset for one in store.due(number, NOW, 9)] == [3]
    assert list(store.dead_letters(number)) == []
    assert codes(store, number) == {PENDING: 1, ERROR: 1, Code.CANCELLED: 2}
    assert store.db.execute("SELECT count(*) FROM attempts").fetchone() == (0,)
    assert audit(log_with("a", "b", "c", "d"), store).closes


def test_nothing_of_it_stays_in_the_file_or_its_log(store: Store, number: int, tmp_path: Path) -> None:
    for base in range(0, 400, 4):
        one = step(base, [PENDING, ERROR, PENDING, ERROR])
        payload = SECRET * (base + 1)
        one = structs.replace(
            one,
            ledger=[structs.replace(entry, payload=payload) for entry in one.ledger],
            dead=[structs.replace(letter, payload=payload) for letter in one.dead],
        )
        store.record(number, one)
    assert any(SECRET in path.read_bytes() for path in tmp_path.iterdir())
    found = sorted(set(erasure.find(store, [number], lambda payload: SECRET in payload)))
    assert found == list(range(400))
    erasure.bury(store, found, NOW)
    assert store.purge()
    assert not any(SECRET in path.read_bytes() for path in tmp_path.iterdir())


def test_a_destination_that_has_it_is_counted(store: Store, number: int) -> None:
    store.record(number, step(0, [DELIVERED, PENDING]))
    store.record(number, step(2, [Code.DELIVERED_AFTER_RETRY, Code.FILTERED_CONSENT]))
    assert erasure.delivered(store, number, [0, 1, 2, 3]) == 2
    assert erasure.delivered(store, number, []) == 0


def test_it_is_forgotten_when_everybody_has_passed_it_and_nothing_is_kept(store: Store, number: int) -> None:
    erasure.bury(store, [0, 5], NOW)
    store.record(number, step(0, [DELIVERED]))
    retain(store, NOW)
    assert store.erased(0, 10) == {0, 5}
    retain(store, NOW + 1)
    assert store.erased(0, 10) == {5}
