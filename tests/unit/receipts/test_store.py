"""The receipts: steps, settlements, order, dead letters, retention, durability, damage."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from tests.unit.receipts.making import NOW, REF, due, entry, letter, step
from turnout.model.errors import ReceiptsUnavailableError
from turnout.model.outcome import Code
from turnout.model.requirement import NOTHING, Consent, Requirement
from turnout.receipts.parting import drop
from turnout.receipts.records import Settlement, Step, given_up
from turnout.receipts.retention import retain
from turnout.receipts.schema import FORMAT
from turnout.receipts.store import Store

DELIVERED, PENDING, ERROR = Code.DELIVERED, Code.PENDING, Code.ERROR


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "state.db")) as one:
        yield one


@pytest.fixture
def number(store: Store) -> int:
    return store.destination(REF, 0)[0]


def codes(store: Store, number: int) -> dict[Code, int]:
    """The counters that are not 0."""
    return {code: n for code, n in store.figures(number).codes.items() if n}


def bytes_of(store: Store, number: int) -> bytes:
    rows = store.db.execute("SELECT codes FROM outcomes WHERE destination=? ORDER BY base", (number,))
    return b"".join(row[0] for row in rows)


def settled(store: Store, number: int, offset: int, **changes: object) -> Settlement:
    found = next(one for one in store.due(number, 1 << 62, 10_000) if one.offset == offset)
    made = Settlement(entry=found, attempts=found.attempts + 1, at_ms=NOW)
    return structs.replace(made, **changes)


def test_a_step_is_kept_whole(store: Store, number: int) -> None:
    store.record(number, step(0, [DELIVERED, PENDING, ERROR, Code.NOT_OFFERED]))
    assert store.destinations() == {REF: (number, 4)}
    assert codes(store, number) == {DELIVERED: 1, PENDING: 1, ERROR: 1, Code.NOT_OFFERED: 1}
    assert (store.figures(number).attempts, store.figures(number).dead) == (3, 1)
    assert due(store, number) == [1]
    assert [one.offset for one in store.dead_letters(number)] == [2]


@pytest.mark.parametrize("part", ["outcomes", "ledger", "dead"])
def test_a_step_that_fails_leaves_nothing(store: Store, number: int, part: str) -> None:
    store.record(number, step(0, [DELIVERED, PENDING, ERROR]))
    before = list(store.db.iterdump())
    again = step(3, [DELIVERED, PENDING, ERROR])
    if part == "outcomes":
        again.outcomes = [(0, NOW, b"\x02")]
    elif part == "ledger":
        again.ledger = [entry(1)]
    else:
        again.dead = [letter(2)]
    with pytest.raises(sqlite3.IntegrityError):
        store.record(number, again)
    assert list(store.db.iterdump()) == before


@pytest.mark.parametrize(
    ("changes", "code", "attempts"),
    [
        ({"code": Code.DELIVERED_AFTER_RETRY}, Code.DELIVERED_AFTER_RETRY, 2),
        ({"code": DELIVERED}, DELIVERED, 2),
        ({"code": Code.FILTERED_UNSUPPORTED}, Code.FILTERED_UNSUPPORTED, 2),
        ({"code": ERROR, "dead": letter(1)}, ERROR, 2),
        ({"code": Code.REJECTED, "dead": letter(1, code=Code.REJECTED)}, Code.REJECTED, 2),
        ({"code": Code.DRY_RUN, "attempts": 1}, Code.DRY_RUN, 1),
        ({"due_ms": NOW + 5, "first_ms": NOW, "reason": "busy"}, PENDING, 2),
    ],
)
def test_a_settlement_changes_the_byte_and_the_sums(
    store: Store, number: int, changes: dict[str, object], code: Code, attempts: int
) -> None:
    store.record(number, step(0, [DELIVERED, PENDING]))
    one = settled(store, number, 1, **changes)
    store.settle(number, [one])
    assert bytes_of(store, number) == bytes([DELIVERED, code])
    assert sum(codes(store, number).values()) == 2
    assert store.pending(number) == store.ledger_size(number) == (code == PENDING)
    assert store.figures(number).attempts == 1 + attempts
    assert store.dead_size(number) == store.figures(number).dead == (code in (ERROR, Code.REJECTED))
    if code != PENDING:
        store.settle(number, [one])
        assert sum(codes(store, number).values()) == 2, "settling what is settled changes nothing"


def test_due_is_by_time_then_by_age(store: Store, number: int) -> None:
    entries = [entry(0, due_ms=NOW + 2), entry(1, due_ms=NOW), entry(2, due_ms=NOW), entry(3, due_ms=NOW + 1)]
    store.record(number, Step(4, [(0, NOW, bytes([PENDING] * 4))], entries))
    assert due(store, number) == [1, 2]
    assert due(store, number, NOW + 2) == [1, 2, 3, 0]
    assert due(store, number, NOW + 2, limit=2) == [1, 2]
    assert due(store, number, NOW - 1) == []
    assert [one.offset for one in store.next_due(number)] == [1]


def test_expedite_makes_due_what_waits_for_one_reason(store: Store, number: int) -> None:
    entries = [entry(0, due_ms=NOW + 9, reason="breaker_open"), entry(1, due_ms=NOW + 9, reason="busy")]
    store.record(number, Step(2, [(0, NOW, bytes([PENDING] * 2))], entries))
    store.expedite(number, "breaker_open", NOW)
    assert due(store, number) == [0]


def test_ordered_only_the_first_of_each_user_is_due(store: Store, number: int) -> None:
    store.arrange(number, True)
    store.record(number, step(0, [PENDING] * 6, users="ab"))
    assert due(store, number) == [0, 1]
    assert [one.offset for one in store.next_due(number)] == [0]
    store.settle(number, [settled(store, number, 0, due_ms=NOW + 5, first_ms=NOW)])
    assert due(store, number) == [1], "a failed one stays the first"
    store.settle(number, [settled(store, number, 1, code=DELIVERED)])
    assert due(store, number) == [3]
    store.settle(number, [settled(store, number, 0, code=ERROR, dead=letter(0))])
    assert due(store, number) == [2, 3]
    assert store.waiting_users(number) == {"a", "b"}
    for offset in (2, 4):
        store.settle(number, [settled(store, number, offset, code=DELIVERED)])
    assert (store.waits(number, "a"), store.waits(number, "b")) == (False, True)


def test_ordered_means_nothing_to_events_without_a_user_or_of_other_destinations(store: Store, number: int) -> None:
    other, _ = store.destination("29/other", 0)
    store.arrange(number, True)
    store.record(other, step(0, [PENDING] * 2, users="a"))
    store.record(number, step(0, [PENDING] * 2))
    assert due(store, other) == [0, 1]
    assert due(store, number) == [0, 1]


def test_arranging_sorts_out_what_waits_already(store: Store, number: int) -> None:
    store.record(number, step(0, [PENDING] * 4, users="ab"))
    store.arrange(number, True)
    assert due(store, number) == [0, 1]
    store.arrange(number, False)
    assert sorted(due(store, number)) == [0, 1, 2, 3]


def test_a_replayed_letter_waits_behind_the_users_others(store: Store, number: int) -> None:
    store.arrange(number, True)
    store.record(number, Step(2, [(0, NOW, bytes([ERROR, PENDING]))], [entry(1, "a")], [letter(0)]))
    mine = structs.replace(letter(0), user_key="a")
    assert store.replay(number, [mine], NOW) == 1
    assert due(store, number) == [1]
    store.settle(number, [settled(store, number, 1, code=DELIVERED)])
    assert due(store, number) == [0]


def test_replay_moves_each_letter_once_and_counts(store: Store, number: int) -> None:
    store.record(number, step(0, [ERROR, Code.REJECTED, DELIVERED]))
    letters = list(store.dead_letters(number))
    assert store.replay(number, letters[:1], NOW + 7) == 1
    assert store.replay(number, letters, NOW + 8) == 1
    assert codes(store, number) == {PENDING: 2, DELIVERED: 1}
    assert (store.figures(number).dead, store.dead_size(number)) == (0, 0)
    again = store.due(number, NOW + 8, 10)
    assert [(one.event_id, one.attempts, one.due_ms) for one in again] == [("e0", 0, NOW + 7), ("e1", 0, NOW + 8)]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({}, [0, 1, 2, 3]),
        ({"since_ms": NOW + 1}, [1, 2, 3]),
        ({"until_ms": NOW + 1}, [0, 1, 2]),
        ({"since_ms": NOW + 1, "until_ms": NOW + 1}, [1, 2]),
        ({"reason": "502_bad_gateway"}, [1, 3]),
        ({"reason": "502_bad_gateway", "since_ms": NOW + 2}, [3]),
        ({"reason": "502"}, []),
    ],
)
def test_dead_letters_by_filter(store: Store, number: int, choice: dict[str, object], found: list[int]) -> None:
    died = [
        (0, NOW, "404_not_found"),
        (1, NOW + 1, "502_bad_gateway"),
        (2, NOW + 1, "x"),
        (3, NOW + 2, "502_bad_gateway"),
    ]
    store.record(number, Step(4, [(0, NOW, bytes([ERROR] * 4))], [], [letter(*one) for one in died]))
    read: Callable[..., Iterator[object]] = store.dead_letters
    assert [getattr(one, "offset", None) for one in read(number, **choice)] == found


def test_dead_letters_are_read_in_portions_while_they_are_replayed(store: Store, number: int) -> None:
    store.record(number, step(0, [ERROR] * 1_234))
    seen = []
    for one in store.dead_letters(number):
        seen.append(one.offset)
        assert store.replay(number, [one], NOW) == 1
    assert seen == list(range(1_234))


# destinations


def test_a_destination_begins_where_it_is_told_once(store: Store) -> None:
    number, cursor = store.destination(REF, 7)
    assert (cursor, store.destination(REF, 99)) == (7, (number, 7))


def test_a_dropped_destination_owes_nothing_and_begins_anew(store: Store, number: int) -> None:
    store.arrange(number, True)
    store.record(number, step(0, [PENDING] * 1_100, users="abc"))
    portions = 1
    while drop(store, REF, NOW):
        portions += 1
    assert portions == 4
    assert (store.destinations(), store.pending(number)) == ({}, 0)
    assert codes(store, number) == {ERROR: 1_100}
    assert {one.reason for one in store.dead_letters(number)} == {"destination_deleted"}
    assert [(one.ref, one.removed) for one in store.registered()] == [(REF, True)]
    assert not drop(store, REF, NOW)
    assert store.destination(REF, 2_000) == (number, 2_000)


# retention


def test_what_is_old_is_forgotten_and_still_counted(store: Store, number: int) -> None:
    store.record(number, step(0, [DELIVERED, ERROR], NOW))
    store.record(number, step(2, [DELIVERED, PENDING], NOW))
    store.record(number, step(4, [DELIVERED, ERROR], NOW + 10))
    before = codes(store, number)
    assert not retain(store, NOW + 5)
    assert bytes_of(store, number) == bytes([DELIVERED, PENDING, DELIVERED, ERROR]), "what is pending stays"
    assert [one.offset for one in store.dead_letters(number)] == [5]
    assert (store.figures(number).dead, codes(store, number)) == (1, before)
    assert store.registered()[0].since == 2
    store.settle(number, [settled(store, number, 3, code=Code.DELIVERED_AFTER_RETRY, at_ms=NOW + 5)])
    retain(store, NOW + 5)
    assert bytes_of(store, number) == bytes([DELIVERED, ERROR])
    assert store.db.execute("SELECT count(*) FROM retried").fetchone() == (1,)
    retain(store, NOW + 6 + 86_400_000)
    assert store.db.execute("SELECT count(*) FROM retried").fetchone() == (0,)


def test_an_event_whose_row_has_expired_can_still_be_replayed(store: Store, number: int) -> None:
    store.record(number, Step(2, [(0, NOW, bytes([ERROR, DELIVERED]))], [], [letter(0, NOW + 10)]))
    retain(store, NOW + 5)
    assert bytes_of(store, number) == b""
    assert store.replay(number, store.dead_letters(number), NOW + 20) == 1
    store.settle(number, [settled(store, number, 0, code=DELIVERED)])
    assert codes(store, number) == {DELIVERED: 2}
    kept = dict(store.db.execute("SELECT code, n FROM expired WHERE n<>0"))
    assert kept == {DELIVERED: 2}


def test_much_that_is_old_goes_in_portions(store: Store, number: int) -> None:
    store.record(number, step(0, [ERROR] * 1_200, NOW))
    portions = 1
    while retain(store, NOW + 1):
        portions += 1
    assert (portions, store.dead_size(number), store.figures(number).dead) == (3, 0, 0)


# the file


def test_everything_is_there_again_after_reopening(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "state.db")) as store:
        number, _ = store.destination(REF, 0)
        store.arrange(number, True)
        store.record(number, step(0, [DELIVERED, PENDING, PENDING], users="a"))
        before = list(store.db.iterdump())
    with closing(Store(tmp_path / "state.db")) as store:
        assert list(store.db.iterdump()) == before


def test_a_checkpoint_brings_everything_into_the_file(store: Store, number: int) -> None:
    store.record(number, step(0, [DELIVERED]))
    assert store.checkpoint()
    image = store.path.with_name("image.db")
    image.write_bytes(store.path.read_bytes())
    with closing(sqlite3.connect(image)) as db:
        assert db.execute("SELECT cursor FROM destinations").fetchone() == (1,)


def test_where_a_destination_begins_is_durable_at_once(store: Store) -> None:
    modes: list[str] = []
    store.db.set_trace_callback(modes.append)
    store.destination("29/new", 5)
    store.db.set_trace_callback(None)
    order = [one for one in modes if "synchronous" in one or one == "COMMIT"]
    assert order == ["PRAGMA synchronous=FULL", "COMMIT", "PRAGMA synchronous=NORMAL"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a database at all, but long enough to look at\n" * 100, "file is not a database"),
        (b"SQLite format 3\x00" + b"\xff" * 8176, "file is not a database|malformed|unsupported"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    with pytest.raises(ReceiptsUnavailableError, match=rf"(?s){path}: .*({words}).*move it away"):
        Store(path)


def test_damage_found_later_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(Store(path)) as store:
        number, _ = store.destination(REF, 0)
        for base in range(0, 20_000, 1_000):
            store.record(number, step(base, [DELIVERED] * 1_000))
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096 * 2)
        file.write(b"\xee" * (size - 4096 * 2))
    with pytest.raises(ReceiptsUnavailableError, match=str(path)):  # noqa: PT012 - opening or writing may find it
        store = Store(path)
        try:
            store.record(number, step(20_000, [DELIVERED]))
        finally:
            store.close()


def test_a_file_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={FORMAT + 1}")
    with pytest.raises(ReceiptsUnavailableError, match="newer release"):
        Store(path)


@pytest.mark.parametrize("call", ["record", "settle", "destination", "replay"])
def test_a_full_disk_is_said_and_changes_nothing(store: Store, number: int, call: str) -> None:
    store.record(number, step(0, [PENDING, ERROR] * 300, NOW - 1))
    before = list(store.db.iterdump())
    (pages,) = store.db.execute("PRAGMA page_count").fetchone()
    store.db.execute(f"PRAGMA max_page_count={pages}")
    big = "x" * 100_000
    calls: dict[str, Callable[[], object]] = {
        "record": lambda: store.record(number, step(600, [PENDING] * 2_000)),
        "settle": lambda: store.settle(number, [given_up(one, big, NOW) for one in store.due(number, NOW, 300)]),
        "destination": lambda: store.destination(big, 0),
        "replay": lambda: store.replay(
            number, [structs.replace(one, detail=big, payload=big.encode()) for one in store.dead_letters(number)], NOW
        ),
    }
    with pytest.raises(ReceiptsUnavailableError, match=r"state\.db: database or disk is full"):
        calls[call]()
    store.db.execute(f"PRAGMA max_page_count={1 << 30}")
    assert list(store.db.iterdump()) == before
    assert not store.db.in_transaction
    store.record(number, step(600, [DELIVERED]))


def test_a_requirement_is_in_force_since_it_was_first_enforced(store: Store, number: int) -> None:
    strict = Requirement(consent=Consent(categories=("3",)), filter="value > 0")
    moves = [
        (0, NOTHING),
        (5, NOTHING),
        (7, strict),
        (7, strict),
        (9, strict),
        (9, NOTHING),
        (9, strict),
        (12, NOTHING),
    ]
    assert [store.enforce(number, cursor, one) for cursor, one in moves] == [0, 0, 7, 7, 7, 9, 9, 12]


def test_receipts_of_before_requirements_are_completed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(Store(path)) as store:
        number, _ = store.destination(REF, 0)
        store.db.execute("DROP TABLE requirements")
        store.db.execute("DROP TABLE stopped")
    with closing(Store(path)) as store:
        assert store.enforce(number, 3, NOTHING) == 3
        assert retain(store, NOW) is False


def test_what_an_event_did_not_meet_later_is_forgotten_with_age(store: Store, number: int) -> None:
    store.record(number, step(0, [PENDING, PENDING]))
    for entry_, at_ms in zip(store.due(number, NOW, 2), (NOW - 5, NOW), strict=True):
        one = Settlement(entry=entry_, attempts=1, at_ms=at_ms, code=Code.FILTERED_CONSENT, requirement=NOTHING)
        store.settle(number, [one])
    retain(store, NOW)
    assert store.db.execute("SELECT offset FROM stopped").fetchall() == [(1,)]
    assert codes(store, number) == {Code.FILTERED_CONSENT: 2}
