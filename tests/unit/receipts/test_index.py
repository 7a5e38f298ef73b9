"""The id index: every id is found, wherever it is; none twice, none lost by merging."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.receipts.making import NOW
from turnout.receipts import index
from turnout.receipts.index import Index, count, digest, extent, find, merged
from turnout.receipts.retention import retain
from turnout.receipts.store import Store

FAR = 1 << 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "state.db")) as one:
        yield one


def merge(one: Index) -> int:
    """Merge all that is due; gives how many runs that made."""
    runs = 0
    while stretches := one.mergeable():
        one.replace(stretches, merged(stretches), NOW)
        runs += 1
    return runs


def test_every_id_is_found_before_and_after_merging(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MERGE_RECORDS", 700)
    dice = random.Random(1)
    one, base = Index(store), 0
    place: dict[str, int] = {}
    for _ in range(120):
        ids = [f"id-{base + n}" for n in range(dice.randint(1, 40))]
        place |= {name: base + n for n, name in enumerate(ids)}
        one.add([(base, ids)])
        # Offsets skip numbers now and then.
        base += len(ids) + dice.choice([0, 0, 1, 50])
    for _ in range(2):
        assert all(find(store.db, name) == [offset] for name, offset in place.items())
        assert find(store.db, "never seen") == []
        assert one.cursor() == Index(store).cursor() == max(place.values()) + 1
        assert count(store.db, 0, base) == len(place)
        low, high = sorted(dice.sample(range(base), 2))
        assert count(store.db, low, high) == sum(low <= offset < high for offset in place.values())
        merge(one)
    assert store.db.execute("SELECT count(*) FROM runs").fetchone()[0] > 1


def test_an_id_that_came_twice_is_found_twice(store: Store) -> None:
    one = Index(store)
    one.add([(0, ["a", "b", "a"])])
    one.replace(stretches := [index.Stretch(0, 3, b"".join(map(digest, "aba")))], merged(stretches), NOW)
    one.add([(3, ["a"])])
    assert find(store.db, "a") == [0, 2, 3]


def test_equal_beginnings_of_hashes_are_all_candidates(store: Store) -> None:
    stretch = index.Stretch(0, 2, digest("a")[:5] + b"\0\0\0" + digest("a"))
    run = merged([stretch])
    store.db.execute("INSERT INTO runs VALUES (0,2,2,0)")
    store.db.executemany("INSERT INTO run_parts VALUES (?,0,?)", run.parts)
    assert find(store.db, "a") == [0, 1]


def test_hashes_are_compared_at_their_bounds_only(store: Store) -> None:
    hashes = b"\0" + digest("a") + b"\0" * 7
    store.db.execute("INSERT INTO ids VALUES (0,2,?)", (hashes,))
    assert find(store.db, "a") == []


def test_batches_without_a_gap_share_a_row(store: Store) -> None:
    Index(store).add([(0, ["a"]), (1, ["b", "c"]), (5, ["d"]), (6, ["e"])])
    assert store.db.execute("SELECT base, next FROM ids").fetchall() == [(0, 3), (5, 7)]


def test_offsets_far_apart_never_share_a_run(store: Store) -> None:
    one = Index(store)
    one.add([(0, ["a", "b"]), (FAR, ["c"]), (FAR + (1 << 24) - 2, ["d"]), (FAR + (1 << 24) - 1, ["e"])])
    assert merge(one) >= 2
    for name, offset in {"a": 0, "b": 1, "c": FAR, "d": FAR + (1 << 24) - 2, "e": FAR + (1 << 24) - 1}.items():
        assert find(store.db, name) == [offset]
    assert extent(store.db) == (0, FAR + (1 << 24))
    assert [count(store.db, 0, FAR), count(store.db, 1, FAR + 1), count(store.db, FAR, 1 << 62)] == [2, 2, 3]


def test_nothing_is_merged_before_there_is_enough(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MERGE_RECORDS", 10)
    one = Index(store)
    one.add([(0, [str(n) for n in range(9)])])
    assert merge(one) == 0
    assert merge(Index(store)) == 0
    one.add([(9, ["9"])])
    assert merge(Index(store)) == 1
    assert Index(store).cursor() == 10
    assert find(store.db, "9") == [9]


def test_old_runs_are_forgotten_and_the_rest_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MERGE_RECORDS", 2)
    one = Index(store)
    for base, made_ms in ((0, NOW), (2, NOW + 10)):
        one.add([(base, [f"{base}", f"{base + 1}"])])
        one.replace(stretches := one.mergeable(), merged(stretches), made_ms)
    retain(store, NOW + 5)
    assert [find(store.db, str(n)) for n in range(4)] == [[], [], [2], [3]]
    assert extent(store.db) == (2, 4)


@pytest.mark.parametrize("event_id", ["", "é", "\ud800", "x" * 10_000])
def test_any_id_can_be_indexed(store: Store, event_id: str) -> None:
    Index(store).add([(0, [event_id])])
    assert find(store.db, event_id) == [0]
