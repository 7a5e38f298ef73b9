"""Delivery as it is shown: ratios, weather, changes, hints, issues, periods."""

import ast
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

import turnout
from turnout.control.api.checking import read_query
from turnout.control.api.delivery_figures import require_data
from turnout.control.api.operation import AnyCall
from turnout.control.api.periods import DAY_MS, HOUR_MS, MINUTE_MS, Period, Span, bucket_of, buckets, span_of
from turnout.control.api.problems import ApiError
from turnout.control.delivery import hints
from turnout.control.delivery.hints import hint_for
from turnout.control.delivery.issues import Issue, destination_of, issue_id, issues_of
from turnout.control.delivery.sums import Sums, change, points, rounded, weather
from turnout.model.outcome import Code
from turnout.receipts.figures import Delivered
from turnout.settings import Settings

NOW = 1_772_365_210_002


@pytest.mark.parametrize(
    ("rate", "picture"),
    [
        (None, "none"), (1.0, "sunny"), (0.9501, "sunny"), (0.95, "cloudy"), (0.9, "cloudy"),
        (0.8999, "rainy"), (0.5, "rainy"), (0.4999, "stormy"), (0.0, "stormy"),
    ],
)  # fmt: skip
def test_weather(rate: float | None, picture: str) -> None:
    assert weather(rate) == picture


@pytest.mark.parametrize(
    ("now", "before", "grown"),
    [(93, 100, -0.07), (112, 100, 0.12), (0, 5, -1.0), (5, 5, 0.0), (5, 0, None), (0, 0, None), (1, 3, -0.6667)],
)
def test_change_is_none_from_nothing(now: int, before: int, grown: float | None) -> None:
    assert change(now, before) == grown


def test_rates_leave_out_what_was_not_sent_and_are_none_without_any() -> None:
    codes = {code: n for n, code in enumerate(Code)}
    sums = Sums(codes)
    assert sums.offered == sum(codes.values())
    assert (sums.delivered, sums.not_delivered, sums.filtered) == (2 + 3, 8 + 9, 4 + 5 + 6 + 7)
    assert rounded(sums.rate) == round(5 / 22, 4)
    assert Sums({Code.PENDING: 3, Code.DRY_RUN: 4, Code.FILTERED_CONSENT: 5}).rate is None
    assert rounded(Sums({Code.DELIVERED: 1150, Code.REJECTED: 30, Code.ERROR: 20}).rate) == 0.9583
    assert (points(0.9, 0.8), points(None, 0.8), points(0.9, None)) == (0.1, None, None)


def reasons_produced() -> set[str]:
    """Every literal reason of a rejection, an error or a retry in the code of destinations and of delivering."""
    found: set[str] = set()
    for package in ("destinations", "deliver", "mapping"):
        for path in (Path(turnout.__file__).parent / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Result":
                    words = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
                    if len(words) == 2 and words[0] != "filtered":
                        found.add(str(words[1]))
    return found


def test_every_reason_that_we_give_is_explained() -> None:
    named = reasons_produced() | {"disk_full", "io_error", "destination_deleted"}
    assert {"timeout", "egress_denied", "mapping_error"} <= named
    assert {one for one in named if hint_for(one) is hints._UNKNOWN} == set()


@pytest.mark.parametrize(
    ("reason", "title", "retryable"),
    [
        ("502_bad_gateway", "Partner's server not available", True),
        ("400_bad_request", "Bad request", False),
        ("429_too_many_requests", "Too many requests", True),
        ("418_im_a_teapot", "Refused by the partner", False),
        ("599", "Error at the partner", True),
        ("302_found", "Redirected", False),
        ("999", "The destination's own reason", False),
        ("5021_x", "The destination's own reason", False),
        ("their_own_word", "The destination's own reason", False),
        ("", "The destination's own reason", False),
        ("timeout", "No answer in time", True),
    ],
)
def test_a_reason_is_explained_by_its_word_or_its_class(reason: str, title: str, retryable: bool) -> None:
    hint = hint_for(reason)
    assert (hint.title, hint.retryable) == (title, retryable)
    assert hint.text.endswith(".")


def row(bucket: int, name: str, code: Code, reason: str, n: int, destination: int = 1) -> Delivered:
    return Delivered(bucket, destination, "29/shop", name, code, reason, n)


def test_issues_are_what_is_not_delivered_by_reason_the_largest_first() -> None:
    rows = [
        row(0, "purchase", Code.DELIVERED, "", 100),
        row(0, "login", Code.ERROR, "502_bad_gateway", 2),
        row(60, "purchase", Code.ERROR, "502_bad_gateway", 3),
        row(120, "login", Code.ERROR, "502_bad_gateway", 4),
        row(0, "login", Code.REJECTED, "invalid_user", 20),
        row(0, "login", Code.REJECTED, "invalid_user", 1, destination=2),
        row(0, "login", Code.PENDING, "", 1),
    ]
    assert issues_of(rows) == [
        Issue(1, Code.REJECTED, "invalid_user", 20, ("login",), 0, 0),
        Issue(1, Code.ERROR, "502_bad_gateway", 9, ("login", "purchase"), 0, 120),
        Issue(2, Code.REJECTED, "invalid_user", 1, ("login",), 0, 0),
    ]


def test_the_id_of_an_issue_names_its_destination_and_fits_into_a_path() -> None:
    for reason in ("502_bad_gateway", "", "a/b?c", "Zażółć \x00" * 50):
        key = issue_id(2**53 - 1, Code.ERROR, reason)
        assert len(key) <= 64
        assert destination_of(key) == 2**53 - 1
    assert issue_id(31, Code.ERROR, "x y") != issue_id(31, Code.ERROR, "x_y") != issue_id(31, Code.REJECTED, "x_y")
    assert issue_id(31, Code.ERROR, "502_bad_gateway").startswith("iss_31_e_502_bad_gateway_")
    assert [destination_of(text) for text in ("", "iss_1", "iss_x_e_y_00000000", "iss_1_z_y_00000000")] == [None] * 4


def test_where_there_is_nothing_the_documented_operations_say_so_or_count_zero_as_set() -> None:
    def asked(setting: str, there: bool) -> None:
        settings = Settings(delivery_empty_404=setting)  # type: ignore[arg-type] # one of its words
        require_data(cast("AnyCall", SimpleNamespace(world=SimpleNamespace(settings=settings))), there)

    asked("on", True)
    asked("off", False)
    with pytest.raises(ApiError) as found:
        asked("on", False)
    assert (found.value.status, str(found.value)) == (404, "No data found")


def span(**pairs: str) -> Span:
    names = {"kind": "filter[rangeType]", "since": "filter[from]", "until": "filter[to]"}
    return span_of(read_query([(names.get(name, name), value) for name, value in pairs.items()], Period), NOW)


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc] # of a date


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, (NOW - DAY_MS, NOW)),
        ({"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00+01:00"}, (ms(2026, 3, 1), ms(2026, 3, 1, 23))),
        ({"start": "2026-03-01T00:00:00Z"}, (ms(2026, 3, 1), NOW)),
        ({"end": "2026-03-01T00:00:00Z"}, (ms(2026, 2, 28), ms(2026, 3, 1))),
        ({"kind": "relative", "since": "3600", "until": "0"}, (NOW - HOUR_MS, NOW)),
        ({"kind": "relative", "since": "7200", "until": "3600"}, (NOW - 2 * HOUR_MS, NOW - HOUR_MS)),
        ({"kind": "relative"}, (NOW - DAY_MS, NOW)),
        ({"since": "2026-03-01T00:00:00Z", "until": "2026-03-01T01:00:00Z"}, (ms(2026, 3, 1), ms(2026, 3, 1, 1))),
    ],
)
def test_a_period(query: dict[str, str], expected: tuple[int, int]) -> None:
    assert span(**query) == expected


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ({"start": "2026-03-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}, ["INVALID_PARAMETER"]),
        ({"start": "2026-01-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}, ["PERIOD_TOO_LONG"]),
        ({"start": "2026-03-01T00:00:00Z", "since": "2026-03-01T00:00:00Z"}, ["INVALID_PARAMETER"]),
        ({"kind": "relative", "since": "soon", "until": "-1"}, ["INVALID_PARAMETER"] * 2),
        ({"since": "3600"}, ["INVALID_PARAMETER"]),
        ({"since": "2026-03-01T00:00:00"}, ["INVALID_PARAMETER"]),
    ],
)
def test_a_period_that_is_none(query: dict[str, str], codes: list[str]) -> None:
    with pytest.raises(ApiError) as found:
        span(**query)
    assert [fault.code for fault in found.value.faults] == codes


@pytest.mark.parametrize(
    ("granularity", "length_ms", "expected"),
    [
        ("auto", HOUR_MS, MINUTE_MS), ("auto", DAY_MS, HOUR_MS), ("auto", 7 * DAY_MS, DAY_MS),
        ("60000", DAY_MS, MINUTE_MS), ("86400000", HOUR_MS, DAY_MS), ("60000", 7 * DAY_MS, None),
    ],
)  # fmt: skip
def test_how_long_buckets_are(granularity: str, length_ms: int, expected: int | None) -> None:
    wanted = Span(NOW - length_ms, NOW)
    if expected is None:
        with pytest.raises(ApiError):
            bucket_of(granularity, wanted)
    else:
        assert bucket_of(granularity, wanted) == expected


def test_buckets_cover_the_span_and_the_first_may_begin_before_it() -> None:
    start = 10 * HOUR_MS + 5
    assert list(buckets(Span(start, start + 2 * HOUR_MS), HOUR_MS)) == [10 * HOUR_MS, 11 * HOUR_MS, 12 * HOUR_MS]
    assert list(buckets(Span(0, HOUR_MS), HOUR_MS)) == [0]
