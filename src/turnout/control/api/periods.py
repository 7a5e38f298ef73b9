"""Periods (`config-api.md` B4): `start` and `end`, or seconds before now; how long the buckets of a table are."""

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from turnout.control.api.paging import When, milliseconds
from turnout.control.api.problems import ApiError, Fault, Place

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
LONGEST_MS = 31 * DAY_MS
_MOST_ROWS = 3_000
Dataset = Annotated[list[list[int | str]], Meta(description="The first row names the columns; `dateTime` is in ms.")]
"""A table over time."""


class Span(NamedTuple):
    """From `start_ms` on, up to `end_ms` exclusive. What is counted by the minute belongs where its minute begins."""

    start_ms: int
    end_ms: int

    @property
    def length_ms(self) -> int:
        return self.end_ms - self.start_ms

    def earlier(self, by_ms: int) -> "Span":
        """The same span so much before."""
        return Span(self.start_ms - by_ms, self.end_ms - by_ms)


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a period. What it is without any, the operation says; figures are of the last 24 hours then."""

    start: Annotated[When, Meta(description="From then on.")] | None = None
    end: Annotated[When, Meta(description="Up to then, exclusive; without it, up to now.")] | None = None
    range_type: Annotated[
        Literal["absolute", "relative"],
        Meta(description="`relative`: `filter[from]` and `filter[to]` are seconds before now."),
    ] = msgspec.field(default="absolute", name="filter[rangeType]")
    since: Annotated[str, Meta(description="The same as `start`, or seconds before now.", examples=["3600"])] | None = (
        msgspec.field(default=None, name="filter[from]")
    )
    until: Annotated[str, Meta(description="The same as `end`, or seconds before now.", examples=["0"])] | None = (
        msgspec.field(default=None, name="filter[to]")
    )


def span_of(query: Period, now_ms: int) -> Span:
    """The span that a query asks for. Raises `ApiError` 400 with everything that is wrong."""
    start, end = ends_of(query, now_ms)
    end_ms = now_ms if end is None else end
    start_ms = end_ms - DAY_MS if start is None else start
    if start_ms >= end_ms:
        raise ApiError(400, [Fault("INVALID_PARAMETER", "the period ends before it begins", Place(parameter="start"))])
    if end_ms - start_ms > LONGEST_MS:
        detail = "the period is longer than 31 days; ask for parts of it"
        raise ApiError(400, [Fault("PERIOD_TOO_LONG", detail, Place(parameter="start"))])
    return Span(start_ms, end_ms)


def ends_of(query: Period, now_ms: int) -> tuple[int | None, int | None]:
    """Where the period of a query begins and ends (ms), as far as it says. Raises `ApiError` 400 with every fault."""
    faults: list[Fault] = []
    start = _moment(query, "start", query.start, "filter[from]", query.since, now_ms, faults)
    end = _moment(query, "end", query.end, "filter[to]", query.until, now_ms, faults)
    if faults:
        raise ApiError(400, faults)
    return start, end


def bucket_of(granularity: str, span: Span) -> int:
    """The length of buckets (ms) for a granularity; `auto` takes what suits the span. Raises `ApiError` 400."""
    if granularity == "auto":
        return MINUTE_MS if span.length_ms <= 2 * HOUR_MS else HOUR_MS if span.length_ms <= 2 * DAY_MS else DAY_MS
    if span.length_ms // int(granularity) > _MOST_ROWS:
        detail = f"the table would have more than {_MOST_ROWS} rows: take longer buckets or a shorter period"
        raise ApiError(400, [Fault("INVALID_PARAMETER", detail, Place(parameter="granularity"))])
    return int(granularity)


def buckets(span: Span, bucket_ms: int) -> range:
    """Where the buckets of a span begin, ms; the first may begin before the span does."""
    return range(span.start_ms - span.start_ms % bucket_ms, span.end_ms, bucket_ms)


def _moment(
    query: Period,
    name: str,
    when: datetime | None,
    alias: str,
    text: str | None,
    now_ms: int,
    faults: list[Fault],
) -> int | None:
    """One end of the period, ms; None if it is not given."""
    if when is not None and text is not None:
        faults.append(Fault("INVALID_PARAMETER", f"{name} and {alias} exclude each other", Place(parameter=alias)))
        return None
    if text is None:
        return None if when is None else milliseconds(when)
    if query.range_type == "relative":
        if text.isascii() and text.isdigit() and len(text) < 10:
            return now_ms - int(text) * 1000
        faults.append(Fault("INVALID_PARAMETER", f"{alias} must be seconds before now", Place(parameter=alias)))
        return None
    try:
        return milliseconds(msgspec.convert(text, When))
    except msgspec.ValidationError:
        faults.append(Fault("INVALID_PARAMETER", f"{alias} must be a time with its zone", Place(parameter=alias)))
        return None
