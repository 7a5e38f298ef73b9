"""Buckets, caps and recent ids keep their bounds (`collect.md` §6, §12)."""

from turnout.collect.limits import RecentIds, RefusalCap, TokenBucket

T0 = 1_700_000_000_000
DAY_MS = 86_400_000


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(2.0, 5.0)
    assert [bucket.take(T0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [bucket.take(T0 + 1000) for _ in range(3)] == [True, True, False]
    assert [bucket.take(T0 + 3_600_000) for _ in range(6)] == [True] * 5 + [False]


def test_a_bucket_survives_a_clock_that_goes_back() -> None:
    bucket = TokenBucket(1.0, 1.0)
    assert bucket.take(T0)
    assert not bucket.take(T0 - 60_000)
    assert bucket.take(T0 - 59_000)


def test_strangers_share_one_cap_and_sources_have_their_own() -> None:
    cap = RefusalCap()
    assert sum(cap.records("", "unknown_site", T0) for _ in range(1000)) == 200
    assert sum(cap.records("29/shop", "invalid_json", T0) for _ in range(3000)) == 2000
    assert sum(cap.records("29/other", "invalid_json", T0) for _ in range(10)) == 10
    assert cap.suppressed == {"unknown_site": 800, "invalid_json": 1000}
    assert sum(cap.records("", "unknown_site", T0 + 1000) for _ in range(1000)) == 20


def test_an_id_is_a_repeat_for_its_own_source_for_a_day() -> None:
    recent = RecentIds()
    assert not recent.seen("29/a", "x", T0)
    assert recent.seen("29/a", "x", T0 + DAY_MS - 1)
    assert not recent.seen("29/b", "x", T0)
    assert recent.seen("29/a", "x", T0 + DAY_MS)
    assert not recent.seen("29/a", "x", T0 + 3 * DAY_MS), "nothing came in between"


def test_ids_are_remembered_through_one_change_of_generation_and_bounded() -> None:
    recent = RecentIds(generation=10)
    assert not any(recent.seen("s", str(n), T0) for n in range(15))
    assert recent.seen("s", "0", T0)
    assert not any(recent.seen("s", str(n), T0) for n in range(100, 130))
    assert not recent.seen("s", "3", T0)


def test_a_forgotten_id_is_no_repeat() -> None:
    recent = RecentIds()
    recent.seen("s", "x", T0)
    recent.forget("s", "x")
    assert not recent.seen("s", "x", T0)
    recent.forget("s", "never seen")
