"""What answers mean, how long to wait, and how the culprit in a refused batch is found."""

from email.utils import formatdate

import pytest

from turnout.client.answers import Verdict, backoff_s, halves, judge, retry_after_s

ACCEPTED, REFUSED, AGAIN = Verdict.ACCEPTED, Verdict.REFUSED, Verdict.AGAIN
NOW = 1_795_493_700.0


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, ACCEPTED) for status in (200, 202, 204)),
        *((status, REFUSED) for status in (400, 413)),
        *((status, AGAIN) for status in (301, 302, 308, 401, 403, 404, 405, 408, 425, 429, 431, 500, 502, 503, 504)),
    ],
)
def test_verdict_of_a_status(status: int, expected: Verdict) -> None:
    assert judge(status) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("5", 5.0),
        (" 0 ", 0.0),
        ("86400", 300.0),
        ("9" * 400, 300.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        (formatdate(NOW + 20, usegmt=True), 20.0),
        (formatdate(NOW - 20, usegmt=True), 0.0),
        (formatdate(NOW + 9_000, usegmt=True), 300.0),
    ],
)
def test_retry_after_is_read_and_bounded(value: str | None, expected: float | None) -> None:
    assert retry_after_s(value, NOW) == expected


@pytest.mark.parametrize(
    ("failures", "least", "most"), [(1, 0.25, 0.5), (2, 0.5, 1), (4, 2, 4), (7, 15, 30), (9, 15, 30), (10**6, 15, 30)]
)
def test_backoff_doubles_up_to_its_bound(failures: int, least: float, most: float) -> None:
    assert backoff_s(failures, 0.0) == least
    assert backoff_s(failures, 1.0) == most


@pytest.mark.parametrize("culprits", [set(), {0}, {99}, {41, 42}, set(range(100))])
def test_halving_finds_the_culprits_and_keeps_the_order_of_the_others(culprits: set[int]) -> None:
    parts = [[b"%d" % n for n in range(100)]]
    arrived: list[int] = []
    found: set[int] = set()
    while parts:
        part = [int(event) for event in parts.pop()]
        if not culprits & set(part):
            arrived += part
        elif smaller := halves([b"%d" % n for n in part]):
            parts += reversed(smaller)
        else:
            found.update(part)
    assert found == culprits
    assert arrived == [n for n in range(100) if n not in culprits]
