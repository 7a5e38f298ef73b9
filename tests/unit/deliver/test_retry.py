"""When another attempt is made, and when an event is given up (`destinations.md` §1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.deliver.retry import LONGEST_S, next_attempt_ms
from turnout.model.config import Delivery

NOW = 1_764_000_000_000
DAY_MS = 86_400_000
POLICY = Delivery()
"""As documented: 8 attempts or 1 day, the first wait 2 s."""


@pytest.mark.parametrize(
    ("attempts", "wait_ms"),
    [(1, 2_000), (2, 8_000), (3, 32_000), (4, 128_000), (5, 512_000), (6, 2_048_000), (7, 3_600_000)],
)
def test_waits_grow_fourfold_up_to_an_hour(attempts: int, wait_ms: int) -> None:
    for jitter, part in ((0.0, 0.5), (0.5, 0.75)):
        assert next_attempt_ms(POLICY, attempts, NOW, NOW, None, jitter) == NOW + wait_ms * part


@pytest.mark.parametrize(
    ("attempts", "age_ms", "again"),
    [
        (7, 0, True),
        (8, 0, False),
        (9, 0, False),
        (1, DAY_MS - 2_000, True),
        (1, DAY_MS - 999, False),
        (1, DAY_MS + 1, False),
    ],
)
def test_given_up_after_eight_attempts_or_a_day(attempts: int, age_ms: int, again: bool) -> None:
    assert (next_attempt_ms(POLICY, attempts, NOW - age_ms, NOW, None, 0.0) is not None) is again


@pytest.mark.parametrize(
    ("retry_after_s", "wait_ms"), [(None, 1_000), (0.0, 1_000), (0.5, 1_000), (1.5, 1_500), (7_200.0, 7_200_000)]
)
def test_what_the_partner_asks_for_is_a_lower_bound(retry_after_s: float | None, wait_ms: int) -> None:
    assert next_attempt_ms(POLICY, 1, NOW, NOW, retry_after_s, 0.0) == NOW + wait_ms


def test_what_the_partner_asks_for_beyond_a_day_gives_the_event_up() -> None:
    assert next_attempt_ms(POLICY, 1, NOW, NOW, 86_401.0, 0.0) is None


@given(
    attempts=st.integers(1, 20),
    first=st.integers(0, 10**9),
    later=st.integers(0, 10**9),
    asked=st.none() | st.floats(0, 1e9),
    jitter=st.floats(0, 1, exclude_max=True),
    backoff=st.floats(0.001, 10_000),
)
def test_never_early_never_beyond_the_limits(
    attempts: int, first: int, later: int, asked: float | None, jitter: float, backoff: float
) -> None:
    now = first + later
    due = next_attempt_ms(Delivery(backoff_s=backoff), attempts, first, now, asked, jitter)
    if due is not None:
        assert attempts < POLICY.max_attempts
        assert now + int((asked or 0.0) * 1000) <= due <= first + DAY_MS
        assert due <= now + max(LONGEST_S, asked or 0.0) * 1000
