"""Dead letters as pages over several destinations, and what is counted beside them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.receipts.making import NOW, entry, letter
from turnout.receipts.lists import Place, Span, dead_count, dead_page, oldest_pending_ms
from turnout.receipts.records import DeadLetter, Step
from turnout.receipts.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "state.db")
    yield made
    made.close()


def pages(store: Store, destinations: list[int], span: Span, size: int) -> tuple[list[Place], list[Place]]:
    """All places, read forwards page by page, and then backwards."""
    forwards: list[Place] = []
    after = None
    while found := dead_page(store, destinations, span, size, after=after):
        forwards += [place for place, _ in found]
        after = forwards[-1]
    backwards: list[Place] = []
    before = Place(0, 0, -1)
    while found := dead_page(store, destinations, span, size, before=before):
        backwards = [place for place, _ in found] + backwards
        before = backwards[0]
    return forwards, backwards


Deaths = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.sampled_from(["busy", "gone"])), max_size=25)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deaths=Deaths, size=st.integers(1, 7), reason=st.sampled_from([None, "busy"]), low=st.integers(0, 2))
def test_pages_show_each_dead_letter_once_newest_first_in_both_directions(
    tmp_path_factory: pytest.TempPathFactory,
    deaths: list[tuple[int, int, str]],
    size: int,
    reason: str | None,
    low: int,
) -> None:
    store = Store(tmp_path_factory.mktemp("lists") / "state.db")
    numbers = [store.destination(f"29/{name}", 0)[0] for name in "abc"]
    letters: dict[int, list[DeadLetter]] = {number: [] for number in numbers}
    for offset, (which, died, why) in enumerate(deaths):
        letters[numbers[which]].append(letter(offset, NOW + died, why))
    for number, dead in letters.items():
        store.record(number, Step(len(deaths), dead=dead))
    chosen, span = numbers[:2], Span(NOW + low, NOW + 3, reason)
    expected = sorted(
        (
            Place(one.died_ms, number, one.offset)
            for number in chosen
            for one in letters[number]
            if span.since_ms <= one.died_ms <= span.until_ms and reason in (None, one.reason)
        ),
        reverse=True,
    )
    forwards, backwards = pages(store, chosen, span, size)
    assert forwards == backwards == expected
    assert sum(dead_count(store, number, span) for number in chosen) == len(expected)
    store.close()


def test_a_page_holds_the_letters_without_the_events(store: Store) -> None:
    number, _ = store.destination("29/a", 0)
    store.record(number, Step(1, dead=[letter(0)]))
    ((place, found),) = dead_page(store, [number], Span(), 10)
    assert place == Place(NOW, number, 0)
    assert (found.event_id, found.detail, found.payload) == ("e0", "gone", b"")


def test_the_oldest_that_waits_is_the_one_that_came_first(store: Store) -> None:
    number, _ = store.destination("29/a", 0)
    assert oldest_pending_ms(store, number) is None
    store.record(number, Step(9, ledger=[entry(7), entry(8)]))
    assert oldest_pending_ms(store, number) == NOW
