"""The circuit breaker as a table of histories: each step at its time, and the state it leaves."""

import pytest

from turnout.breaker import THRESHOLD, Breaker

FAIL, SUCCEED, PROBE, REFUSED = "fail", "succeed", "probe", "no probe yet"
NEARLY: list[tuple[float, str, str]] = [(0, FAIL, "closed")] * (THRESHOLD - 1)
OPENS = [*NEARLY, (0, FAIL, "open")]
MINUTES = [(100 * n, what, state) for n in range(1, 9) for what, state in ((PROBE, "half_open"), (FAIL, "open"))]


@pytest.mark.parametrize(
    "history",
    [
        [*NEARLY, (0, SUCCEED, "closed"), *OPENS],
        [*OPENS, (0.999, REFUSED, "open"), (1, PROBE, "half_open"), (1, SUCCEED, "closed"), *OPENS],
        [*OPENS, (1, PROBE, "half_open"), (1, PROBE + " twice", "half_open")],
        # Each failed probe doubles the wait, up to a minute; a success makes it short again.
        [*OPENS, (1, PROBE, "half_open"), (1, FAIL, "open"), (2.9, REFUSED, "open"), (3, PROBE, "half_open")],
        [*OPENS, *MINUTES,
         (859.9, REFUSED, "open"), (860, PROBE, "half_open"), (860, SUCCEED, "closed")],
        # Attempts that were under way when it opened: failures change nothing, a success shows that all is well.
        [*OPENS, (0.5, FAIL, "open"), (1, PROBE, "half_open")],
        [*OPENS, (0.5, SUCCEED, "closed")],
    ],
)  # fmt: skip
def test_histories(history: list[tuple[float, str, str]]) -> None:
    breaker = Breaker()
    for at_s, what, state in history:
        now = int(at_s * 1000)
        if what == FAIL:
            before = breaker.state
            assert breaker.failed(now) is (before == "closed" and state == "open")
        elif what == SUCCEED:
            breaker.succeeded()
        else:
            assert breaker.probe(now) is (what == PROBE)
        assert breaker.state == state, (at_s, what)


def test_closing_is_said_once() -> None:
    breaker = Breaker()
    assert not breaker.succeeded()
    for _ in range(THRESHOLD):
        breaker.failed(0)
    assert breaker.succeeded()
    assert not breaker.succeeded()


@pytest.mark.parametrize(
    ("asked", "probe_s"),
    [
        ({}, 1),
        ({0: 30}, 30),
        ({0: 30, THRESHOLD - 1: 5}, 30),
        ({THRESHOLD - 1: 0.5}, 1),
        ({THRESHOLD: 45}, 45),
        ({0: 10**9}, 86_400),
    ],
)
def test_no_probe_before_the_partner_wants_one(asked: dict[int, float], probe_s: float) -> None:
    breaker = Breaker()
    for number in range(THRESHOLD + 1):
        breaker.failed(0, asked.get(number))
    assert not breaker.probe(int(probe_s * 1000) - 1)
    assert breaker.probe(int(probe_s * 1000))


def test_what_a_partner_asked_before_it_was_well_counts_no_more() -> None:
    breaker = Breaker()
    breaker.failed(0, 600)
    breaker.succeeded()
    for _ in range(THRESHOLD):
        breaker.failed(0)
    assert breaker.probe_ms == 1_000
