"""Counts of records by kind and time: the same as counting the records, whatever the stretch, also after erasing."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from turnout.control.inspector import incoming, store
from turnout.control.inspector.counts import ALWAYS, SPANS, WIDTHS, Fields, kind_of, pieces, width_for
from turnout.control.inspector.incoming import Incoming
from turnout.control.inspector.inspector import Inspector
from turnout.control.inspector.search import Sought
from turnout.control.inspector.segment import Span
from turnout.control.inspector.store import Series
from turnout.model.event import Status
from turnout.settings import Settings

NOW = 1_764_000_000_000
DAY = 86_400_000
NAMES, SOURCES = ("login", "search", "purchase"), ("29/shop", "29/backend", "30/other")
STATUSES: tuple[Status, ...] = ("valid", "rejected")


def record(dice: random.Random, seq: int, at_ms: int) -> Incoming:
    event = b'{"event_name":"search","user":{"id":"%d"}}' % dice.randrange(3)
    return Incoming(
        seq=seq, at_ms=at_ms, source=dice.choice(SOURCES), event_id=f"e-{seq}", name=dice.choice(NAMES),
        status=dice.choice(STATUSES), environment="production", sampling="all", endpoint="events", batch_index=-1,
        reasons=(), warnings=(), derived_from="", test_code="", normalized=event, received=b"", raw=b"",
    )  # fmt: skip


@pytest.fixture
def series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Series]:
    monkeypatch.setattr(store, "RECORDS_PER_FILE", 200)
    inspector = Inspector(Settings(data=str(tmp_path)))
    yield inspector.incoming
    inspector.close()


def everything(_: Fields) -> bool:
    return True


def counted(
    series: Series, span: Span, width: int, sought: Sought | None = None
) -> dict[tuple[int, str, str, str], int]:
    wanted = sought.of_kind() if sought is not None else everything
    assert wanted is not None
    found: Counter[tuple[int, str, str, str]] = Counter()
    for fields, bucket, n in series.counted(span, width, wanted).counts:
        found[bucket, fields["source"][0], fields["event_name"][0], fields["status"][0]] += n
    return dict(found)


def expected(records: list[Incoming], span: Span, width: int) -> dict[tuple[int, str, str, str], int]:
    within = [one for one in records if span.since_ms <= one.at_ms < span.until_ms]
    return dict(Counter((one.at_ms // width * width, one.source, one.name, one.status) for one in within))


def test_counts_are_those_of_the_records_for_any_stretch_and_width(series: Series) -> None:
    dice = random.Random(4)
    times = sorted(NOW + dice.randrange(3 * DAY) if dice.random() < 0.5 else NOW + dice.randrange(60_000)
                   for _ in range(1_000))  # fmt: skip
    records = [record(dice, seq, at) for seq, at in enumerate(times)]
    for start in range(0, len(records), 50):
        series.append([incoming.entry(one) for one in records[start : start + 50]], start + 50, {})
    assert len(series.files()) > 3
    for _ in range(60):
        since = NOW + dice.randrange(-DAY, 3 * DAY)
        span = Span(
            since_ms=since, until_ms=since + dice.choice((1, 9_999, 10_000, 3_600_000, dice.randrange(3 * DAY)))
        )
        width = dice.choice((*WIDTHS, DAY, ALWAYS))
        assert counted(series, span, width) == expected(records, span, width)
    shop = [one for one in records if one.source == "29/shop" and one.name.startswith("s")]
    sought = Sought(fields={"site": ("29",), "source": ("29/shop", "29/none")}, prefix="s")
    assert counted(series, Span(), DAY, sought) == expected(shop, Span(), DAY)
    # Nobody is counted who was erased, and no name of theirs is left.
    series.erase(lambda document: incoming.decode(document).name == "login")
    left = [one for one in records if one.name != "login"]
    assert counted(series, Span(), SPANS[-1]) == expected(left, Span(), SPANS[-1])
    assert not any(b"login" in path.read_bytes() for path in series.files())


def test_a_count_ends_where_it_would_take_too_long_and_says_how_far_it_went(series: Series) -> None:
    dice = random.Random(5)
    records = [record(dice, seq, NOW + 1_000 * seq) for seq in range(1_000)]
    for start in range(0, 1_000, 100):
        series.append([incoming.entry(one) for one in records[start : start + 100]], start + 100, {})
    some = series.counted(Span(), WIDTHS[0], everything, most=50)
    assert some.since_ms is not None
    assert some.total == sum(one.at_ms >= some.since_ms for one in records) > 0
    whole = series.counted(Span(), WIDTHS[0], everything)
    assert (whole.total, whole.since_ms) == (1_000, None)


def test_pieces_are_a_whole_stretch_in_order_each_of_whole_buckets() -> None:
    dice = random.Random(6)
    for _ in range(500):
        since = dice.randrange(10 * DAY)
        until = since + dice.randrange(2 * DAY)
        width = dice.choice((*WIDTHS, DAY))
        found = list(pieces(since, until, width))
        ends = [since, *(one.until_ms for one in found)]
        assert [one.since_ms for one in found] + ([until] if found else []) == ends or since == until
        for one in found:
            assert one.since_ms < one.until_ms
            assert one.span in (0, *SPANS)
            assert one.span == 0 or (one.since_ms % one.span == one.until_ms % one.span == width % one.span == 0)
            assert one.span or one.until_ms - one.since_ms < 2 * SPANS[-1]
        assert len(found) <= 2 * len(SPANS) + 1


@pytest.mark.parametrize(
    ("length", "buckets", "width"),
    [
        (1, 60, 10_000),
        (600_000, 60, 10_000),
        (900_000, 60, 20_000),
        (DAY, 60, 1_800_000),
        (DAY, 24, 3_600_000),
        (7 * DAY, 60, 3 * 3_600_000),
        (31 * DAY, 62, 43_200_000),
        (31 * DAY, 60, DAY),
        (31 * DAY, 10, 4 * DAY),
        (31 * DAY, 1, 31 * DAY),
    ],
)
def test_buckets_are_as_short_as_fits_and_of_round_length(length: int, buckets: int, width: int) -> None:
    assert width_for(NOW // (31 * DAY) * 31 * DAY, NOW // (31 * DAY) * 31 * DAY + length, buckets) == width


def test_what_is_different_with_each_record_makes_no_kind() -> None:
    one, other = (record(random.Random(1), seq, NOW) for seq in (1, 2))
    assert kind_of(incoming.fields_of(one)) == kind_of(incoming.fields_of(other))
    for fields in ({"event_id": ("e-1",)}, {"test_code": ("*",)}):
        assert Sought(fields={"site": ("29",), **fields}).of_kind() is None
    assert Sought(fields={"site": ("29",)}, words="boots").of_kind() is None
