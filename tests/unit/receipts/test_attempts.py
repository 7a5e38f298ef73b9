"""The queue of attempts that are shown: in order, with what they tell of, within bounds."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.unit.receipts.making import NOW, REF, step
from turnout.model.attempt import Answer, Attempt, Sent, encode_attempt
from turnout.model.outcome import Code
from turnout.receipts import queue
from turnout.receipts.attempts import forget, read
from turnout.receipts.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "state.db")) as one:
        yield one


def attempt(offset: int, body: bytes = b"") -> Attempt:
    return Attempt(
        destination=REF,
        source="29/shop",
        event_id=f"e{offset}",
        name="purchase",
        offset=offset,
        attempt=1,
        at_ms=NOW,
        duration_ms=12,
        outcome="pending",
        reason="502_bad_gateway",
        detail="busy",
        next_attempt_ms=NOW + 1,
        replay_id="",
        sampling="all",
        request=Sent("POST", "https://partner.example/", {"X-Key": "***"}, body),
        response=Answer(502, {"server": "x"}, b"busy"),
        payload=b"{}",
        received_ms=NOW,
    )


def record(store: Store, base: int, *attempts: Attempt) -> None:
    made = step(base, [Code.DELIVERED] * len(attempts))
    made.shown = [encode_attempt(one) for one in attempts]
    store.record(store.destination(REF, 0)[0], made)


def offsets(store: Store) -> list[int]:
    return [one.offset for _, one in read(store, 1_000)]


def test_attempts_come_out_as_they_went_in_the_oldest_first(store: Store) -> None:
    record(store, 0, attempt(0), attempt(1))
    record(store, 2, attempt(2))
    assert [one for _, one in read(store, 2)] == [attempt(0), attempt(1)]
    forget(store, read(store, 2)[-1][0])
    assert [one for _, one in read(store, 2)] == [attempt(2)]


def test_numbers_go_on_after_all_were_forgotten(store: Store) -> None:
    record(store, 0, attempt(0))
    ((first, _),) = read(store, 10)
    forget(store, first)
    record(store, 1, attempt(1))
    assert read(store, 10)[0][0] > first


def test_a_step_that_is_not_kept_shows_nothing(store: Store) -> None:
    record(store, 0, attempt(0))
    with pytest.raises(sqlite3.IntegrityError):
        record(store, 0, attempt(0))
    assert offsets(store) == [0]


@pytest.mark.parametrize(("bound", "most", "kept"), [("MOST_ROWS", 10, 9), ("MOST_BYTES", 10_000, 8)])
def test_when_nobody_reads_the_oldest_go_and_are_counted(store: Store, bound: str, most: int, kept: int) -> None:
    with patch.object(queue, bound, most):
        for n in range(11):
            record(store, n, attempt(n, b"x" * 850))
    left = offsets(store)
    assert left == list(range(11 - len(left), 11))
    assert kept <= len(left) <= kept + 2
    assert store.attempts_lost() == 11 - len(left)
