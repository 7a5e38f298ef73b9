"""Sampling: what is kept to be shown, by every mode, at every rate."""

from turnout.model.sampling import BURST, HOUR_MS, MINUTE_MS, NAMES, PER_HOUR, PER_MINUTE, Mode, Sampler

HOUR = 500_000 * HOUR_MS
SHOP = "29/shop"


def sampler(mode: Mode | None = None) -> Sampler:
    made = Sampler()
    made.configure({"29": mode} if mode else {})
    return made


def kept(of: Sampler, start_ms: int, count: int, name: str = "search", *, failing: bool = False, step: int = 0) -> int:
    """How many of `count` records, `step` ms apart, are kept."""
    return sum(of.keep(SHOP, name, failing, start_ms + step * i) is not None for i in range(count))


def test_under_the_quota_keeps_six_a_minute_and_thirty_more_an_hour() -> None:
    one = sampler("quota")
    by_minute = [kept(one, HOUR + MINUTE_MS * minute, 100) for minute in range(60)]
    assert by_minute == [PER_MINUTE + PER_HOUR] + [PER_MINUTE] * 59
    assert kept(one, HOUR + HOUR_MS, 100) == PER_MINUTE + PER_HOUR
    assert kept(sampler("quota"), HOUR, 5) == 5


def test_all_keeps_everything() -> None:
    one = sampler("all")
    assert {one.keep(SHOP, "search", False, HOUR) for _ in range(2 * BURST)} == {"all"}


def test_auto_keeps_everything_until_the_quota_has_not_been_enough_for_a_whole_minute() -> None:
    one = sampler()
    # 10 a second: the quota is used up after 3.6 s, so 60 s later it applies.
    assert kept(one, HOUR, 636, step=100) == 636
    assert kept(one, HOUR + 63_600, 400, step=100) == 0, "the minute's six are spent"
    assert one.keep(SHOP, "search", False, HOUR + 2 * MINUTE_MS) == "quota"


def test_auto_keeps_everything_again_after_a_minute_for_which_the_quota_was_enough() -> None:
    one = sampler()
    kept(one, HOUR, 2000, step=100)
    quiet = HOUR + 5 * MINUTE_MS
    assert kept(one, quiet, PER_MINUTE) == PER_MINUTE
    assert kept(one, quiet + MINUTE_MS, 500) == 500


def test_a_burst_is_kept_whole_up_to_a_bound() -> None:
    one = sampler()
    assert kept(one, HOUR, 3 * BURST) == BURST + PER_MINUTE + PER_HOUR
    assert kept(one, HOUR + MINUTE_MS, 1000) == PER_MINUTE


def test_failures_and_other_names_have_quotas_of_their_own() -> None:
    one = sampler("quota")
    for name, failing in (("search", False), ("search", True), ("login", False)):
        assert kept(one, HOUR, 1000, name, failing=failing) == PER_MINUTE + PER_HOUR
    assert one.keep("29/app", "search", False, HOUR) == "quota"


def test_a_test_code_has_an_allowance_per_owner_and_minute() -> None:
    one = Sampler(tests_per_minute=3)
    found = [one.keep_test(SHOP, HOUR + i) for i in range(5)]
    assert found == ["test_code"] * 3 + [None, None]
    assert one.keep_test("29/app", HOUR) == "test_code"
    assert one.keep_test(SHOP, HOUR + MINUTE_MS) == "test_code"


def test_a_change_of_the_mode_counts_at_once_and_any_other_change_forgets_nothing() -> None:
    one = sampler("quota")
    kept(one, HOUR, 1000)
    one.configure({"29": "quota"})
    assert kept(one, HOUR, 1000) == 0
    one.configure({"29": "all"})
    assert kept(one, HOUR, 1000) == 1000


def test_names_without_end_take_no_memory_without_end_and_share_one_quota() -> None:
    one = sampler("quota")
    names = [f"n{i}" for i in range(NAMES + 500)]
    found = [one.keep(SHOP, name, False, HOUR) for name in names]
    assert found.count("quota") == NAMES + PER_MINUTE + PER_HOUR
    assert one.keep(SHOP, "n0", False, HOUR) == "quota"
    later = HOUR + 2 * HOUR_MS
    assert [one.keep(SHOP, f"m{i}", False, later) for i in range(100)] == ["quota"] * 100, "old names are forgotten"
