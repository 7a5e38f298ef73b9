"""Figures over time: every pair counted once, moved where it was counted, whatever happens in between."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.unit.receipts.making import NOW, REF
from turnout.model.event import Processed, Reason
from turnout.model.outcome import Code
from turnout.receipts import figures, tally
from turnout.receipts.figures import Collected, Delivered, collected, delivered, last_collected_ms, roll_up
from turnout.receipts.index import Index
from turnout.receipts.records import LedgerEntry, Settlement, Step, dead_letter
from turnout.receipts.store import Store
from turnout.receipts.tally import DAY, HOUR, MINUTE, OTHER

THEN = NOW // DAY * DAY
SHOP, BACK = "29/shop", "29/backend"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "state.db")) as one:
        yield one


@pytest.fixture
def number(store: Store) -> int:
    return store.destination(REF, 0)[0]


def processed(name: str = "purchase", source: str = SHOP, received_ms: int = THEN, **more: object) -> Processed:
    return Processed("e", source, name, more.pop("status", "valid"), received_ms, 0, b"{}", **more)  # type: ignore[arg-type]


def entry_of(record: Processed, offset: int) -> LedgerEntry:
    return LedgerEntry(
        offset, "e", record.name, b"", "", record.received_ms, 1, THEN, THEN, "busy", source=record.source
    )


def deliver(store: Store, number: int, records: list[Processed], codes: list[Code], reason: str = "400") -> None:
    """One step over one batch, as `deliver/stream.py` makes it."""
    base = store.destinations()[REF][1]
    kinds = tally.kinds_of(records)
    entries = [entry_of(record, base + n) for n, record in enumerate(records)]
    waiting = [one for one, code in zip(entries, codes, strict=True) if code == Code.PENDING]
    dead = [
        dead_letter(one, code, reason, "", 1, THEN)
        for one, code in zip(entries, codes, strict=True)
        if code in (Code.ERROR, Code.REJECTED)
    ]
    counted = tally.outcomes(kinds, Counter(kinds), bytes(codes))
    outcomes = [(base, THEN, bytes(codes))]
    store.record(number, Step(base + len(records), outcomes, waiting, dead, len(records), counted))


def settle(store: Store, number: int, code: Code, limit: int = 100, reason: str = "502") -> list[LedgerEntry]:
    entries = store.due(number, 1 << 62, limit)
    final = code in (Code.ERROR, Code.REJECTED)
    store.settle(
        number,
        [
            Settlement(
                entry=one,
                attempts=2,
                at_ms=THEN,
                code=code,
                dead=dead_letter(one, code, reason, "", 2, THEN) if final else None,
            )
            for one in entries
        ],
    )
    return entries


def all_of(store: Store, number: int, bucket_ms: int = MINUTE) -> list[Delivered]:
    return delivered(store, 0, 1 << 62, bucket_ms, [number])


def test_outcomes_are_counted_by_minute_source_name_code_and_reason(store: Store, number: int) -> None:
    records = [
        processed(),
        processed(received_ms=THEN + 59_999),
        processed(received_ms=THEN + MINUTE),
        processed("login"),
        processed(source=BACK),
        processed(source=BACK),
        processed(),
        processed(status="rejected"),
    ]
    codes = [Code.DELIVERED] * 4 + [Code.ERROR, Code.FILTERED_CONSENT, Code.PENDING, Code.NOT_OFFERED]
    deliver(store, number, records, codes)
    assert all_of(store, number) == [
        Delivered(THEN, number, BACK, "purchase", Code.FILTERED_CONSENT, "", 1),
        Delivered(THEN, number, BACK, "purchase", Code.ERROR, "400", 1),
        Delivered(THEN, number, SHOP, "login", Code.DELIVERED, "", 1),
        Delivered(THEN, number, SHOP, "purchase", Code.PENDING, "", 1),
        Delivered(THEN, number, SHOP, "purchase", Code.DELIVERED, "", 2),
        Delivered(THEN + MINUTE, number, SHOP, "purchase", Code.DELIVERED, "", 1),
    ]
    assert delivered(store, THEN + MINUTE, THEN + HOUR, HOUR, [number]) == [
        Delivered(THEN, number, SHOP, "purchase", Code.DELIVERED, "", 1)
    ]
    assert delivered(store, 0, 1 << 62, DAY, []) == []


@pytest.mark.parametrize("later", [0, 3 * DAY, 40 * DAY], ids=["minutes", "hours", "days"])
def test_a_pair_moves_within_the_bucket_where_it_was_counted(store: Store, number: int, later: int) -> None:
    at = THEN + 5 * HOUR + 7 * MINUTE
    bucket = at if not later else THEN + 5 * HOUR if later < 31 * DAY else THEN
    deliver(store, number, [processed(received_ms=at)] * 3, [Code.PENDING] * 3)
    while roll_up(store, THEN + later):
        continue

    def now() -> list[tuple[int, Code, str, int]]:
        return [(one.bucket_ms, one.code, one.reason, one.n) for one in all_of(store, number)]

    assert now() == [(bucket, Code.PENDING, "", 3)]
    settle(store, number, Code.ERROR, 2)
    assert now() == [(bucket, Code.PENDING, "", 1), (bucket, Code.ERROR, "502", 2)]
    store.replay(number, store.dead_letters(number), THEN)
    assert now() == [(bucket, Code.PENDING, "", 3)]
    settle(store, number, Code.DELIVERED_AFTER_RETRY)
    assert now() == [(bucket, Code.DELIVERED_AFTER_RETRY, "", 3)]


def test_what_is_forgotten_keeps_the_sums_closed(store: Store, number: int) -> None:
    deliver(store, number, [processed()] * 3, [Code.PENDING, Code.PENDING, Code.DELIVERED])
    while roll_up(store, THEN + 402 * DAY):
        continue
    assert all_of(store, number) == []
    settle(store, number, Code.REJECTED, 1)
    assert all_of(store, number) == []
    assert +figures.by_code(store, number) == Counter(store.figures(number).codes)


def test_names_of_strangers_are_bounded_and_their_sums_exact(store: Store, number: int) -> None:
    records = [processed(f"n{i}") for i in range(300)] * 2
    deliver(store, number, records, [Code.PENDING] * 600)
    found = {one.name: one.n for one in all_of(store, number)}
    assert len(found) == 201
    assert found[OTHER] == 200
    deliver(store, number, [processed("n299"), processed("n299", received_ms=THEN + HOUR)], [Code.DELIVERED] * 2)
    assert {(one.bucket_ms, one.name) for one in all_of(store, number) if one.code == Code.DELIVERED} == {
        (THEN, OTHER),
        (THEN + HOUR, "n299"),
    }
    settle(store, number, Code.DELIVERED_AFTER_RETRY, 1_000)
    moved = {one.name: one.n for one in all_of(store, number) if one.code == Code.DELIVERED_AFTER_RETRY}
    assert moved == found


def test_another_store_goes_on_with_the_words_that_are_there(store: Store, number: int) -> None:
    with patch.dict(tally.BOUNDS, name=1):
        deliver(store, number, [processed("first")], [Code.DELIVERED])
        with closing(Store(store.path)) as again:
            deliver(again, number, [processed("second"), processed("first")], [Code.DELIVERED] * 2)
    assert {one.name: one.n for one in all_of(store, number)} == {"first": 2, OTHER: 1}


EVENT = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([SHOP, BACK]),
    st.integers(0, 3 * DAY).map(lambda ms: THEN + ms),
    st.sampled_from([Code.PENDING, Code.PENDING, Code.DELIVERED, Code.ERROR, Code.FILTERED_CONSENT]),
)
ACTION = (
    st.tuples(st.just("deliver"), st.lists(EVENT, min_size=1, max_size=5))
    | st.tuples(st.just("settle"), st.sampled_from([Code.DELIVERED_AFTER_RETRY, Code.ERROR, Code.REJECTED]))
    | st.tuples(st.just("replay"), st.integers(1, 3))
    | st.tuples(st.just("roll up"), st.sampled_from([0, 2 * DAY, 4 * DAY, 33 * DAY, 36 * DAY]))
)


LATE = (
    ("deliver", [("c", BACK, THEN, Code.PENDING)]),
    ("roll up", 36 * DAY),
    ("deliver", [("b", BACK, THEN, Code.PENDING)]),
)


@example(actions=[*LATE, ("settle", Code.REJECTED)])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=st.lists(ACTION, max_size=12))
def test_whatever_happens_each_pair_is_counted_once_on_its_day(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, object]]
) -> None:
    pairs: dict[int, tuple[int, str, Code]] = {}
    path = tmp_path_factory.mktemp("figures") / "state.db"
    with patch.dict(tally.BOUNDS, name=1, reason=1), closing(Store(path)) as store:
        number = store.destination(REF, 0)[0]
        for action, value in actions:
            if action == "deliver":
                assert isinstance(value, list)
                deliver(store, number, [processed(*one[:3]) for one in value], [one[3] for one in value])
                pairs |= {len(pairs) + n: (one[2] // DAY * DAY, one[1], one[3]) for n, one in enumerate(value)}
            elif action == "settle":
                assert isinstance(value, Code)
                changed = {one.offset: value for one in settle(store, number, value, 2, f"r{len(pairs)}")}
                pairs |= {offset: (*pairs[offset][:2], code) for offset, code in changed.items()}
            elif action == "replay":
                letters = list(store.dead_letters(number))[:2]
                store.replay(number, letters, THEN)
                pairs |= {one.offset: (*pairs[one.offset][:2], Code.PENDING) for one in letters}
            else:
                assert isinstance(value, int)
                while roll_up(store, THEN + value):
                    continue
        found: Counter[tuple[int, str, Code]] = Counter()
        for one in all_of(store, number, DAY):
            found[one.bucket_ms, one.source, one.code] += one.n
        assert found == Counter(pairs.values())


def index(store: Store, base: int, records: list[Processed]) -> None:
    ids = [(base, [record.event_id for record in records])]
    Index(store).add(ids, Counter(tally.kinds_of(records)).items())


def test_what_comes_in_is_counted_by_source_name_status_and_first_reason(store: Store) -> None:
    bad = (Reason("invalid_type", "value"), Reason("missing_property", "id"))
    records = [
        processed(),
        processed(received_ms=THEN + 1),
        processed(status="invalid_accepted", reasons=bad),
        processed("", "29/", status="rejected", reasons=(Reason("invalid_json"),)),
        processed(source="290/shop"),
        processed(source="2/shop"),
        processed("derived", derived_from="e"),
        processed(received_ms=THEN + HOUR),
    ]
    index(store, 0, records)
    early = [
        Collected(THEN, "29/", "", "rejected", "invalid_json", 1),
        Collected(THEN, SHOP, "purchase", "invalid_accepted", "invalid_type", 1),
        Collected(THEN, SHOP, "purchase", "valid", "", 2),
    ]
    assert collected(store, THEN, THEN + HOUR, MINUTE, "29") == early
    assert collected(store, THEN, THEN + DAY, DAY, "29")[-1] == Collected(THEN, SHOP, "purchase", "valid", "", 3)
    assert last_collected_ms(store, "29") == {"29/": THEN, SHOP: THEN + HOUR}
    while roll_up(store, THEN + 3 * DAY):
        continue
    assert collected(store, THEN, THEN + HOUR, MINUTE, "29") == early
    assert last_collected_ms(store, "29") == {"29/": THEN, SHOP: THEN + HOUR}
    while roll_up(store, THEN + 402 * DAY):
        continue
    assert collected(store, 0, 1 << 62, MINUTE, "29") == []


def test_nothing_is_counted_twice_when_the_index_has_been_forgotten(store: Store) -> None:
    index(store, 0, [processed()] * 3)
    store.db.execute("DELETE FROM ids")
    assert Index(store).cursor() == 3
