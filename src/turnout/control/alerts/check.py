"""Whether things are as a rule wants them: figures in, a reading out. Pure (`config-api.md` C7)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from turnout.model.alerts import Backlog, DataQuality, DeliveryRatio, Issue, Lag, Silence, Volume
from turnout.model.duration import milliseconds
from turnout.model.outcome import OUTCOME_OF
from turnout.receipts.figures import Collected, Delivered

Verdict = Literal["good", "bad", "no_data", "off"]
"""`no_data`: there is too little to tell. `off`: the rule concerns nothing at the moment."""

_TOP = 3
_FAILED = ("rejected", "error")
_VALID = "valid"
_UNJUDGED = frozenset(("filtered",))
"""What a rule of the operator's own drops is neither valid nor invalid."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a check saw. `value` and `limit` are in the category's own unit: %, events, minutes.

    `counts` are the figures behind it; `reasons` the most frequent ones, most frequent first.
    """

    verdict: Verdict
    value: float | None = None
    limit: float | None = None
    counts: dict[str, int] = {}
    reasons: tuple[tuple[str, int], ...] = ()


OFF = Reading(verdict="off")
"""The subject is inactive, in dry mode or gone."""


def delivery(wanted: DeliveryRatio, rows: Iterable[Delivered]) -> Reading:
    """The delivered share of what was sent; filtered, pending and dry ones are outside (C5, Definitions)."""
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for row in rows:
        outcome = OUTCOME_OF[row.code]
        counts[outcome] += row.n
        if outcome in _FAILED:
            reasons[row.reason] += row.n
    failed = sum(counts[outcome] for outcome in _FAILED)
    return _share(counts["delivered"], failed, wanted.threshold, wanted.min_events, counts, reasons)


def issue(wanted: Issue, rows: Iterable[Delivered], before: Iterable[Delivered]) -> Reading:
    """Failures for the reasons that are listed; else for those of which `before` has none."""
    old = {row.reason for row in before}
    failures = [row for row in rows if OUTCOME_OF[row.code] in _FAILED]
    reasons: Counter[str] = Counter()
    for row in failures:
        if row.reason in wanted.reasons if wanted.reasons else row.reason not in old:
            reasons[row.reason] += row.n
    worst = max(reasons.values(), default=0)
    return Reading(
        verdict="bad" if worst >= wanted.min_events else "good",
        value=worst,
        limit=wanted.min_events,
        counts={"failed": sum(row.n for row in failures)},
        reasons=_top(reasons),
    )


def backlog(wanted: Backlog, count: int, oldest_ms: int | None, now_ms: int) -> Reading:
    """What waits: how many, and since when the oldest was received (None: nothing does)."""
    age_ms = max(0, now_ms - oldest_ms) if oldest_ms is not None else 0
    late = age_ms > milliseconds(wanted.max_age)
    many = wanted.max_count is not None and count > wanted.max_count
    by_count = many and not late
    return Reading(
        verdict="bad" if late or many else "good",
        value=count if by_count else _minutes(age_ms),
        limit=wanted.max_count if by_count else _minutes(milliseconds(wanted.max_age)),
        counts={"pending": count, "oldest_minutes": age_ms // 60_000},
    )


def drift(drifts: Mapping[str, int]) -> Reading:
    """By how many events the sums of each destination do not close; none are known while no worker tells."""
    wrong = {name: n for name, n in drifts.items() if n}
    if not drifts:
        return Reading(verdict="no_data", limit=0)
    return Reading(verdict="bad" if wrong else "good", value=sum(map(abs, wrong.values())), limit=0, counts=wrong)


def quality(wanted: DataQuality, rows: Iterable[Collected]) -> Reading:
    """The valid share of what came in."""
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for row in rows:
        if wanted.event_names and row.name not in wanted.event_names:
            continue
        counts[row.status] += row.n
        if row.status != _VALID and row.status not in _UNJUDGED:
            reasons[row.reason] += row.n
    return _share(counts[_VALID], reasons.total(), wanted.threshold, wanted.min_events, counts, reasons)


def volume(wanted: Volume, now: int, before: int) -> Reading:
    """How many events came in, and how many in the period that is compared with."""
    counts = {"now": now, "before": before}
    if before < wanted.min_events:
        return Reading(verdict="no_data", counts=counts)
    change = 100 * (now - before) / before
    fell = wanted.drop is not None and change <= -wanted.drop
    rose = wanted.rise is not None and change >= wanted.rise
    limit = wanted.rise if change > 0 or wanted.drop is None else -wanted.drop
    return Reading(verdict="bad" if fell or rose else "good", value=round(change, 2), limit=limit, counts=counts)


def silence(wanted: Silence, last_ms: int | None, now_ms: int) -> Reading:
    """When the source sent its last event; None: never, and then nothing is missing yet."""
    limit_ms = milliseconds(wanted.max_age)
    if last_ms is None:
        return Reading(verdict="no_data", limit=_minutes(limit_ms))
    age_ms = max(0, now_ms - last_ms)
    return Reading(verdict="bad" if age_ms > limit_ms else "good", value=_minutes(age_ms), limit=_minutes(limit_ms))


def lag(wanted: Lag, waiting: int | None) -> Reading:
    """How many accepted events wait to be processed; None while no worker tells."""
    if waiting is None:
        return Reading(verdict="no_data", limit=wanted.max_count)
    return Reading(verdict="bad" if waiting > wanted.max_count else "good", value=waiting, limit=wanted.max_count)


def _share(
    good: int, bad: int, threshold: float, min_events: int, counts: Mapping[str, int], reasons: Counter[str]
) -> Reading:
    if good + bad < min_events or good + bad == 0:
        return Reading(verdict="no_data", limit=threshold, counts=dict(counts), reasons=_top(reasons))
    # Compared unrounded: 89.999 % is below 90 %.
    return Reading(
        verdict="bad" if 100 * good < threshold * (good + bad) else "good",
        value=round(100 * good / (good + bad), 2),
        limit=threshold,
        counts=dict(counts),
        reasons=_top(reasons),
    )


def _top(reasons: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))[:_TOP])


def _minutes(ms: int) -> float:
    return round(ms / 60_000, 2)
