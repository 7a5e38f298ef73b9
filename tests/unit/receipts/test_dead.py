"""The room that dead letters may take: the oldest go, of who has the most, and everybody is told how many."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.receipts.making import NOW, step
from turnout.model.outcome import Code
from turnout.receipts import dead
from turnout.receipts.dead import ROW_BYTES, Room
from turnout.receipts.store import Store

ERROR = Code.ERROR
EACH = ROW_BYTES + 2


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def kept(store: Store, number: int) -> list[int]:
    return [one.offset for one in store.dead_letters(number)]


def trim(store: Store, budget: int) -> None:
    while dead.trim(store, budget):
        continue


def test_the_oldest_go_of_the_destination_that_has_the_most(store: Store) -> None:
    (few, _), (many, _) = store.destination("29/few", 0), store.destination("29/many", 0)
    store.record(few, step(0, [ERROR] * 3))
    store.record(many, step(0, [ERROR] * 1_500))
    trim(store, 1_503 * EACH)
    assert (len(kept(store, few)), len(kept(store, many))) == (3, 1_500), "there is room for all"
    trim(store, 5 * EACH)
    assert (kept(store, few), kept(store, many)) == ([0, 1, 2], [1_498, 1_499])
    assert dead.room(store, many) == Room(2 * EACH, 1_498)
    assert store.figures(many).codes[ERROR] == 1_500, "what became of them stays known"


def test_replayed_letters_give_their_room_back(store: Store) -> None:
    number, _ = store.destination("29/orders", 0)
    store.record(number, step(0, [ERROR] * 3))
    assert store.replay(number, list(store.dead_letters(number))[:2], NOW) == 2
    assert dead.room(store, number).bytes == dead.recounted(store, number) == EACH


def test_receipts_of_an_earlier_release_are_measured_when_they_are_opened(tmp_path: Path) -> None:
    before = Store(tmp_path / "state.db")
    number, _ = before.destination("29/orders", 0)
    before.record(number, step(0, [ERROR] * 3))
    before.db.execute("DROP TABLE dead_room")
    before.close()
    after = Store(tmp_path / "state.db")
    assert dead.room(after, number) == Room(3 * EACH, 0)
    after.close()
