"""The inspector's files: what is found, what is kept how long, what is gone for good, what a crash leaves."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from turnout.control.inspector import incoming, store
from turnout.control.inspector.follower import MOST_BEHIND, Follower
from turnout.control.inspector.incoming import Incoming
from turnout.control.inspector.inspector import TESTS_KEPT_MS, Inspector
from turnout.control.inspector.segment import Row, Span
from turnout.control.inspector.store import Found, Series
from turnout.control.inspector.terms import field_term, value_term
from turnout.log.memory import MemoryLog
from turnout.model.config import EMPTY, Snapshot
from turnout.model.event import ACCEPTED, PROCESSED, Processed, Reason, Received, encode
from turnout.model.sampling import PER_HOUR, PER_MINUTE
from turnout.settings import Settings

NOW = 1_764_000_000_000
DAY = 86_400_000
ALL = f'"{field_term("site", "29")}"'


def record(seq: int, user: str = "42", at_ms: int = NOW, **changes: object) -> Incoming:
    event = b'{"event_name":"search","user":{"id":"%s","email":"ada@example.org"}}' % user.encode()
    given: dict[str, object] = {
        "seq": seq, "at_ms": at_ms, "source": "29/shop", "event_id": f"e-{seq}", "name": "search", "status": "valid",
        "environment": "production", "sampling": "all", "endpoint": "events", "batch_index": -1, "reasons": (),
        "warnings": (), "derived_from": "", "test_code": "", "normalized": event, "received": b"", "raw": b"",
    }  # fmt: skip
    return Incoming(**(given | changes))  # type: ignore[arg-type]


@pytest.fixture
def series(tmp_path: Path) -> Series:
    return Inspector(Settings(data=str(tmp_path))).incoming


def add(series: Series, *records: Incoming) -> None:
    series.append([incoming.entry(one) for one in records], records[-1].seq + 1, {})


def seq_of(row: Row) -> int:
    return row.seq


def seqs(series: Series, match: str = ALL, span: Span | None = None, limit: int = 100, **how: object) -> list[int]:
    found: Found[int] = series.search(match, span or Span(), seq_of, limit, **how)  # type: ignore[arg-type]
    return found.items


def test_records_are_found_newest_first_by_term_time_and_number_across_files(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RECORDS_PER_FILE", 10)
    for seq in range(0, 50, 5):
        add(series, *(record(seq + i, user=str((seq + i) % 3), at_ms=NOW + 1000 * (seq + i)) for i in range(5)))
    assert len(series.files()) == 5
    assert seqs(series) == list(range(49, -1, -1))
    assert seqs(series, f'"{value_term("user.id", "1")}"') == [seq for seq in range(49, -1, -1) if seq % 3 == 1]
    assert seqs(series, span=Span(since_ms=NOW + 8000, until_ms=NOW + 12_000)) == [11, 10, 9, 8]
    assert seqs(series, span=Span(above=18, below=22)) == [21, 20, 19]
    assert seqs(series, span=Span(above=18, below=32), limit=3, oldest_first=True) == [19, 20, 21]
    assert seqs(series, f'"{field_term("site", "30")}"') == []
    assert series.newest() == 49
    row = series.get(17)
    assert row is not None
    assert incoming.decode(row.document).event_id == "e-17"
    assert series.get(50) is None


def test_a_search_looks_at_so_many_records_and_says_where_to_go_on(series: Series) -> None:
    add(series, *(record(seq) for seq in range(30)))
    found = series.search(ALL, Span(), lambda row: row.seq if row.seq < 5 else None, 10, examined=20)
    assert found == Found([], 10)
    found = series.search(ALL, Span(below=10), lambda row: row.seq if row.seq < 5 else None, 10, examined=20)
    assert found == Found([4, 3, 2, 1, 0], None)


def test_a_restart_goes_on_where_the_records_say(series: Series, tmp_path: Path) -> None:
    assert series.position() is None
    add(series, record(0), record(1))
    series.close()
    again = Inspector(Settings(data=str(tmp_path))).incoming
    assert again.position() == 2
    add(again, record(1, user="twice"), record(2))
    assert seqs(again) == [2, 1, 0], "the same number is the same record"
    assert seqs(again, f'"{value_term("user.id", "twice")}"') == []


def test_files_older_than_the_retention_go_also_the_one_that_is_written(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RECORDS_PER_FILE", 2)
    add(series, record(0), record(1))
    add(series, record(2, at_ms=NOW + DAY))
    series.expire(NOW + 7 * DAY + 1)
    assert seqs(series) == [2]
    series.expire(NOW + 8 * DAY + 1)
    assert seqs(series) == []
    assert series.position() == 3, "what was read is not read again"
    add(series, record(3, at_ms=NOW + 9 * DAY))
    assert seqs(series) == [3]


def test_a_file_spans_a_part_of_the_retention_only(series: Series) -> None:
    for seq in range(4):
        add(series, record(seq, at_ms=NOW + seq * DAY))
    assert len(series.files()) == 4


def test_the_byte_budget_removes_the_oldest_files(tmp_path: Path) -> None:
    budget = 24 << 20
    inspector = Inspector(Settings(data=str(tmp_path), inspector_bytes=budget))
    series = inspector.incoming
    for seq in range(0, 30_000, 1000):
        big = b'{"event_name":"search","text":"%s"}' % (b"x" * 1500)
        add(series, *(record(seq + i, normalized=big) for i in range(1000)))
        inspector.stay_within_budget()
        assert series.size() <= budget
    found = seqs(series, limit=1, oldest_first=True)
    assert found > [0]
    assert seqs(series, limit=1) == [29_999]
    inspector.close()


def test_a_damaged_file_is_set_aside_and_its_time_read_again(series: Series, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RECORDS_PER_FILE", 2)
    add(series, record(0), record(1))
    add(series, record(2))
    series.close()
    newest = series.files()[-1]
    newest.write_bytes(b"no database" * 1000)
    assert series.position() == 2
    add(series, record(2), record(3))
    assert seqs(series) == [3, 2, 1, 0]
    assert newest.with_name(newest.name + ".damaged").exists()


def test_an_erased_person_leaves_nothing_in_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RECORDS_PER_FILE", 10)
    inspector = Inspector(Settings(data=str(tmp_path)))
    for seq in range(0, 30, 10):
        add(inspector.incoming, *(record(seq + i, user="zoe-to-forget" if i % 2 else "ann") for i in range(10)))
    other = record(30, user="zoe-to-forget", source="30/shop")
    v1 = record(31, raw=b'{"event":"x","properties":{"user":{"id":"zoe-to-forget"}}}')
    add(inspector.incoming, other, v1)

    def hers(_: int, texts: Sequence[bytes]) -> bool:
        return any(b"zoe-to-forget" in text for text in texts)

    assert inspector.erase(hers, "29") == 16
    assert inspector.erase(hers, "29") == 0
    assert seqs(inspector.incoming, f'"{value_term("user.id", "zoe-to-forget")}"') == [30]
    assert len(seqs(inspector.incoming, f'"{value_term("user.id", "ann")}"')) == 15
    assert inspector.erase(hers, "30") == 1
    inspector.close()
    term = value_term("user.id", "zoe-to-forget").encode()
    for path in (tmp_path / "inspector").iterdir():
        data = path.read_bytes()
        assert b"zoe-to-forget" not in data
        assert b"zoe" not in data
        assert term not in data
    assert len(seqs(inspector.incoming)) == 15


def test_records_kept_for_their_test_code_stay_a_day(tmp_path: Path) -> None:
    inspector = Inspector(Settings(data=str(tmp_path)))
    add(inspector.incoming, record(0, sampling="test_code"), record(1, sampling="quota"))
    inspector.retain(NOW + TESTS_KEPT_MS)
    assert seqs(inspector.incoming) == [1, 0]
    inspector.retain(NOW + TESTS_KEPT_MS + 3_600_000)
    assert seqs(inspector.incoming) == [1]


# following the log


def log_of(*events: Received, status: str = "valid") -> MemoryLog:
    log = MemoryLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]})
    happen(log, *events)
    return log


def happen(log: MemoryLog, *events: Received) -> None:
    base = log.append(ACCEPTED, [encode(event) for event in events])
    log.append(
        PROCESSED,
        [
            encode(
                Processed(one.event_id, one.source, one.name, one.status, one.received_ms, base + i,
                          b"" if one.status == "rejected" else one.payload, "", one.reasons)
            )
            for i, one in enumerate(events)
        ],
    )  # fmt: skip


def event(number: int, source: str = "29/shop", payload: bytes = b'{"event_name":"search"}') -> Received:
    return Received(f"e-{number}", source, "search", "valid", NOW + number, payload)


def follow(log: MemoryLog, series: Series, snapshot: Snapshot = EMPTY) -> Follower:
    follower = Follower(log, series, lambda: snapshot)
    while follower.step():
        pass
    return follower


def records(series: Series) -> list[Incoming]:
    return series.search(ALL, Span(), lambda row: incoming.decode(row.document), 100_000).items


def test_every_event_gets_one_record_with_what_was_received(series: Series) -> None:
    reasons = (Reason("missing_event_name"),)
    refused = Received("bad", "29/shop", "", "rejected", NOW, b"{}", reasons, (), b"", "events/batch", 3)
    log = log_of(event(0), refused, event(2))
    follow(log, series).close()
    happen(log, event(3))
    follow(log, series)
    found = records(series)
    assert [one.event_id for one in found] == ["e-3", "e-2", "bad", "e-0"]
    assert (found[2].endpoint, found[2].batch_index, found[2].reasons, found[2].normalized) == (
        *("events/batch", 3, reasons, b"{}"),
    )
    assert {one.sampling for one in found} == {"all"}


def test_what_is_over_the_quota_is_counted_and_rejections_are_seen_all_the_same(series: Series) -> None:
    flood = [event(i) for i in range(500)]
    refused = Received("bad", "29/shop", "search", "rejected", NOW, b"{}")
    tests = [event(600 + i, payload=b'{"event_name":"search","test_code":"T%d"}' % i) for i in range(25)]
    log = log_of(*flood, refused, *tests)
    follow(log, series, Snapshot(version="v", sampling={"29": "quota"}))
    found = records(series)
    kept = PER_MINUTE + PER_HOUR + 1 + 20
    assert len(found) == kept
    assert [one.test_code for one in found[:20]] == [f"T{i}" for i in range(19, -1, -1)]
    assert any(one.event_id == "bad" for one in found)
    assert series.left_out("29", NOW, NOW + 1000) == 526 - kept
    assert series.left_out("2", NOW, NOW + 1000) == 0


def test_what_is_erased_from_the_log_meanwhile_is_not_remembered(series: Series) -> None:
    secret = b'{"event_name":"search","user":{"id":"zoe"}}'
    log = log_of(event(0, payload=secret))
    base = log.append(ACCEPTED, [encode(event(1, payload=secret))])
    follower = follow(log, series)
    log.replace(ACCEPTED, {base: encode(event(1, payload=b"{}"))})
    log.append(PROCESSED, [encode(Processed("e-1", "29/shop", "search", "valid", NOW, base, b"{}"))])
    while follower.step():
        pass
    newest = records(series)[0]
    assert newest.event_id == "e-1"
    assert b"zoe" not in newest.normalized + newest.received + newest.raw


def test_what_belongs_to_no_site_is_nobodys_to_see(series: Series) -> None:
    log = log_of(event(0, source=""), event(1, source="29/"))
    follow(log, series)
    assert [one.event_id for one in records(series)] == ["e-1"]
    assert series.position() == 2


def test_who_is_too_far_behind_leaves_events_out_and_counts_them(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnout.control.inspector.follower.MOST_BEHIND", 10)
    assert MOST_BEHIND > 10
    log = log_of(event(0))
    for i in range(1, 30):
        happen(log, event(i))
    follow(log, series)
    assert [one.event_id for one in records(series)] == [f"e-{i}" for i in range(29, 24, -1)]
    assert series.left_out("29", 0, 1 << 60) == 25


def test_a_log_that_began_anew_begins_the_records_anew(series: Series) -> None:
    follow(log_of(*(event(i) for i in range(20))), series)
    follow(log_of(event(7)), series)
    assert [one.event_id for one in records(series)] == ["e-7"]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"event_name":"search","big":"' + b"x" * 32_000 + b'"}',
        b'{"event_name":"search",' + b",".join(b'"p%d":%d' % (i, i) for i in range(5000)) + b"}",
        b'{"event_name":"search","a":"\xff\xfe"}',
        b'{"event_name":"search","a":"\\ud800\\u0000"}',
        b"[" * 1000 + b"]" * 1000,
        b"not json",
        b"",
    ],
)
def test_hostile_events_are_recorded_like_others(series: Series, payload: bytes) -> None:
    hostile = Received("h", "29/shop", "\x00 search", "rejected", NOW, payload, raw=payload)
    follow(log_of(hostile, event(1), event(2, payload=payload)), series)
    assert [one.event_id for one in records(series)] == ["e-2", "e-1", "h"]
    for one in records(series):
        assert one.came_as is None or isinstance(one.came_as, dict)
