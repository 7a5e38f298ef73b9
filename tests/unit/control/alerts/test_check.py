"""Every category of alerts: which figures are good, bad, or too few to tell."""

import pytest

from turnout.control.alerts import check
from turnout.control.alerts.check import Reading
from turnout.model.alerts import Backlog, DataQuality, DeliveryRatio, Issue, Lag, Silence, Volume
from turnout.model.outcome import Code
from turnout.receipts.figures import Collected, Delivered

MINUTE = 60_000
NOW = 1_700_000_000_000


def sent(**counts: int) -> list[Delivered]:
    """Rows by code; the word behind `__` is the reason."""
    rows = []
    for word, n in counts.items():
        code, _, reason = word.partition("__")
        rows.append(Delivered(NOW, 1, "29/shop", "purchase", Code[code.upper()], reason, n))
    return rows


def came(*rows: tuple[str, str, str, int]) -> list[Collected]:
    """Rows of name, status, reason, n."""
    return [Collected(NOW, "29/shop", *row) for row in rows]


def seen(reading: Reading) -> tuple[str, float | None]:
    return reading.verdict, reading.value


@pytest.mark.parametrize(
    ("rows", "verdict", "value"),
    [
        (sent(), "no_data", None),
        (sent(delivered=18, error__timeout=1), "no_data", None),
        (sent(delivered=18, error__timeout=2), "good", 90.0),
        (sent(delivered=17, error__timeout=3), "bad", 85.0),
        (sent(delivered=5, delivered_after_retry=13, rejected__invalid=1, error__timeout=1), "good", 90.0),
        (sent(error__timeout=20), "bad", 0.0),
        (sent(delivered=89_999, error__timeout=10_001), "bad", 90.0),
        (sent(delivered=20, filtered_consent=500, pending=500, dry_run=500, cancelled=500), "good", 100.0),
        (sent(filtered_consent=500, pending=500), "no_data", None),
    ],
)
def test_delivery_is_the_share_of_what_was_sent(rows: list[Delivered], verdict: str, value: float | None) -> None:
    assert seen(check.delivery(DeliveryRatio(), rows)) == (verdict, value)


def test_delivery_tells_the_three_most_frequent_reasons() -> None:
    rows = sent(error__a=3, error__b=9, rejected__c=5, error__d=5, delivered=100)
    reading = check.delivery(DeliveryRatio(threshold=100, min_events=1), rows)
    assert reading.reasons == (("b", 9), ("c", 5), ("d", 5))
    assert reading.counts == {"error": 17, "rejected": 5, "delivered": 100}


@pytest.mark.parametrize(
    ("wanted", "rows", "before", "verdict", "reasons"),
    [
        (Issue(), sent(), sent(), "good", ()),
        (Issue(), sent(error__timeout=1), sent(), "bad", (("timeout", 1),)),
        (Issue(), sent(error__timeout=9), sent(error__timeout=1), "good", ()),
        (Issue(), sent(error__timeout=9, rejected__odd=1), sent(error__timeout=1), "bad", (("odd", 1),)),
        (Issue(min_events=5), sent(error__timeout=4), sent(), "good", (("timeout", 4),)),
        (Issue(reasons=("401_unauthorized",)), sent(error__timeout=9), sent(), "good", ()),
        (
            Issue(reasons=("401_unauthorized",)),
            sent(error__401_unauthorized=1),
            sent(error__401_unauthorized=1),
            "bad",
            (("401_unauthorized", 1),),
        ),
        (Issue(), sent(delivered=9, filtered_consent=9), sent(), "good", ()),
    ],
)
def test_an_issue_is_a_listed_reason_or_a_new_one(
    wanted: Issue, rows: list[Delivered], before: list[Delivered], verdict: str, reasons: tuple[tuple[str, int], ...]
) -> None:
    reading = check.issue(wanted, rows, before)
    assert (reading.verdict, reading.reasons) == (verdict, reasons)


@pytest.mark.parametrize(
    ("wanted", "count", "minutes", "verdict", "value"),
    [
        (Backlog(), 0, None, "good", 0),
        (Backlog(), 5_000, 10, "good", 10),
        (Backlog(), 1, 11, "bad", 11),
        (Backlog(max_count=100), 100, 1, "good", 1),
        (Backlog(max_count=100), 101, 1, "bad", 101),
        (Backlog(max_count=100), 101, 11, "bad", 11),
        (Backlog(), 1, -5, "good", 0),
    ],
)
def test_a_backlog_is_too_old_or_too_long(
    wanted: Backlog, count: int, minutes: int | None, verdict: str, value: float
) -> None:
    oldest = None if minutes is None else NOW - minutes * MINUTE
    assert seen(check.backlog(wanted, count, oldest, NOW)) == (verdict, value)


@pytest.mark.parametrize(
    ("drifts", "verdict", "value"),
    [({}, "no_data", None), ({"29/a": 0, "29/b": 0}, "good", 0), ({"29/a": 2, "29/b": -1}, "bad", 3)],
)
def test_sums_that_do_not_close_are_drift(drifts: dict[str, int], verdict: str, value: float | None) -> None:
    assert seen(check.drift(drifts)) == (verdict, value)


@pytest.mark.parametrize(
    ("wanted", "rows", "verdict", "value"),
    [
        (DataQuality(), came(), "no_data", None),
        (DataQuality(), came(("a", "valid", "", 15), ("a", "invalid_accepted", "format", 5)), "good", 75.0),
        (DataQuality(), came(("a", "valid", "", 14), ("a", "rejected", "invalid_json", 6)), "bad", 70.0),
        (DataQuality(), came(("a", "valid", "", 20), ("a", "filtered", "filtered_by_rule", 99)), "good", 100.0),
        (DataQuality(), came(("a", "failed", "step_failed", 20)), "bad", 0.0),
        (DataQuality(event_names=("b",)), came(("a", "rejected", "x", 99), ("b", "valid", "", 20)), "good", 100.0),
        (DataQuality(event_names=("b",)), came(("a", "rejected", "x", 99)), "no_data", None),
    ],
)
def test_quality_is_the_share_of_valid_events(
    wanted: DataQuality, rows: list[Collected], verdict: str, value: float | None
) -> None:
    assert seen(check.quality(wanted, rows)) == (verdict, value)


@pytest.mark.parametrize(
    ("wanted", "now", "before", "verdict", "value"),
    [
        (Volume(), 0, 19, "no_data", None),
        (Volume(), 51, 100, "good", -49),
        (Volume(), 50, 100, "bad", -50),
        (Volume(), 0, 20, "bad", -100),
        (Volume(), 100_000, 100, "good", 99_900),
        (Volume(rise=100), 199, 100, "good", 99),
        (Volume(rise=100), 200, 100, "bad", 100),
        (Volume(drop=None, rise=100), 0, 100, "good", -100),
    ],
)
def test_volume_leaves_its_band(wanted: Volume, now: int, before: int, verdict: str, value: float | None) -> None:
    assert seen(check.volume(wanted, now, before)) == (verdict, value)


@pytest.mark.parametrize(
    ("minutes", "verdict", "value"), [(None, "no_data", None), (0, "good", 0), (60, "good", 60), (61, "bad", 61)]
)
def test_a_source_is_silent_after_a_while(minutes: int | None, verdict: str, value: float | None) -> None:
    last = None if minutes is None else NOW - minutes * MINUTE
    assert seen(check.silence(Silence(), last, NOW)) == (verdict, value)


@pytest.mark.parametrize(
    ("waiting", "verdict", "value"), [(None, "no_data", None), (10_000, "good", 10_000), (10_001, "bad", 10_001)]
)
def test_processing_lags(waiting: int | None, verdict: str, value: float | None) -> None:
    assert seen(check.lag(Lag(), waiting)) == (verdict, value)
