"""How one destination does, in the documented shape (`config-api.md` A3, with the additions of C5).

Both operations answer 404 "No data found" for a period without figures, as documented (`delivery_empty_404`).
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from turnout.control.api import delivery_figures
from turnout.control.api.delivery_figures import Place, by_bucket, require_data, summed, the_place
from turnout.control.api.documents import Nothing, Resource, Single
from turnout.control.api.operation import Call, operation
from turnout.control.api.periods import DAY_MS, Dataset, Period, Span, bucket_of, buckets, span_of
from turnout.control.delivery.sums import FILTERED, OTHERWISE_FILTERED, Sums, change
from turnout.model.outcome import Code
from turnout.receipts.figures import delivered
from turnout.receipts.store import Store

SUCCESS = (Code.DELIVERED, Code.DELIVERED_AFTER_RETRY)
FAIL = (Code.REJECTED, Code.ERROR)
_TREND_DAYS = 30

Granularity = Annotated[
    Literal["60000", "3600000", "86400000", "auto"],
    Meta(description="Length of a bucket in ms. Minutes are kept for 2 days, hours for 31, days for 400."),
]


class Evolving(msgspec.Struct, frozen=True, kw_only=True):
    """A count, and by which part it has grown since the period of the same length just before; None from 0."""

    total: int
    increase_rate: float | None


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted at the first attempt, or at a later one."""

    immediate: Evolving
    retry: Evolving


class Fail(msgspec.Struct, frozen=True, kw_only=True):
    """Refused because of the event, or failed at the partner."""

    rejected: Evolving
    error: Evolving


class Filtered(msgspec.Struct, frozen=True, kw_only=True):
    """Not sent: no consent, the destination's filter, or another reason (its list of names, an unsupported event)."""

    consent: Evolving
    condition: Evolving
    other: Evolving


class Trend(msgspec.Struct, frozen=True):
    """A table."""

    dataset: Dataset


class HealthTrends(msgspec.Struct, frozen=True, kw_only=True):
    """The last 30 days by day, whatever the period."""

    success: Trend
    fail: Trend


class HealthAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """`total` is immediate + retry + rejected + error; filtered and pending events are outside of it."""

    connector_type: str | None
    total: Evolving
    success: Success
    fail: Fail
    filtered: Filtered
    pending: Evolving
    trends: HealthTrends


class PeriodQuery(Period, frozen=True, kw_only=True):
    """Which period. `granularity` is taken for the sake of old clients; nothing here depends on it."""

    granularity: Granularity = "auto"


class TrendQuery(Period, frozen=True, kw_only=True):
    """Which period, and how finely."""

    granularity: Granularity = "auto"
    columns: Annotated[Literal["documented", "all"], Meta(description="`all` adds filtered and pending.")] = (
        "documented"
    )


class TrendAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Events by the time they were collected, under their present outcome."""

    connector_type: str | None
    datasets: Dataset


@operation("GET", "/v2/{site}/integrations/{id}/delivery/healths", scope="delivery:read", tag="Delivery")
def get_health(call: Call[PeriodQuery, Nothing]) -> Single[HealthAttributes]:
    """How many events a destination got and did not get, compared with the period before."""
    span = span_of(call.query, call.now_ms)
    with call.world.receipts() as store:
        place = the_place(call, store)
        now, before = (_sums(store, place, one) for one in (span, span.earlier(span.length_ms)))
        require_data(call, now.offered > 0)
        month = Span(call.now_ms - _TREND_DAYS * DAY_MS, call.now_ms)
        days = by_bucket(delivered(store, *month, DAY_MS, [place.number]))

    def evolving(*codes: Code) -> Evolving:
        return Evolving(total=now.of(*codes), increase_rate=change(now.of(*codes), before.of(*codes)))

    def trend(word: str, codes: Sequence[Code]) -> Trend:
        return Trend(delivery_figures.table(days, buckets(month, DAY_MS), {word: codes}))

    attributes = HealthAttributes(
        connector_type=place.type,
        total=evolving(*SUCCESS, *FAIL),
        success=Success(immediate=evolving(Code.DELIVERED), retry=evolving(Code.DELIVERED_AFTER_RETRY)),
        fail=Fail(rejected=evolving(Code.REJECTED), error=evolving(Code.ERROR)),
        filtered=Filtered(
            consent=evolving(Code.FILTERED_CONSENT),
            condition=evolving(Code.FILTERED_CONDITION),
            other=evolving(*OTHERWISE_FILTERED),
        ),
        pending=evolving(Code.PENDING),
        trends=HealthTrends(success=trend("success", SUCCESS), fail=trend("fail", FAIL)),
    )
    return Single(Resource(type="delivery/health", id=place.id, attributes=attributes))


@operation("GET", "/v2/{site}/integrations/{id}/delivery/trends", scope="delivery:read", tag="Delivery")
def get_trend(call: Call[TrendQuery, Nothing]) -> Single[TrendAttributes]:
    """How many events a destination got and did not get over time."""
    span = span_of(call.query, call.now_ms)
    bucket_ms = bucket_of(call.query.granularity, span)
    with call.world.receipts() as store:
        place = the_place(call, store)
        sums = by_bucket(delivered(store, *span, bucket_ms, [place.number]))
    require_data(call, bool(sums))
    columns: dict[str, Sequence[Code]] = {"success": SUCCESS, "fail": FAIL}
    if call.query.columns == "all":
        columns |= {"filtered": (*FILTERED, *OTHERWISE_FILTERED), "pending": (Code.PENDING,)}
    table = delivery_figures.table(sums, buckets(span, bucket_ms), columns)
    attributes = TrendAttributes(connector_type=place.type, datasets=table)
    return Single(Resource(type="delivery/trend", id=place.id, attributes=attributes))


@operation("GET", "/v2/{site}/destinations/{id}/delivery/healths", scope="delivery:read", tag="Delivery")
def get_health_of_destination(call: Call[PeriodQuery, Nothing]) -> Single[HealthAttributes]:
    """The same as `/integrations/{id}/delivery/healths`."""
    return get_health.run(call)  # type: ignore[return-value] # what it declares


@operation("GET", "/v2/{site}/destinations/{id}/delivery/trends", scope="delivery:read", tag="Delivery")
def get_trend_of_destination(call: Call[TrendQuery, Nothing]) -> Single[TrendAttributes]:
    """The same as `/integrations/{id}/delivery/trends`."""
    return get_trend.run(call)  # type: ignore[return-value] # what it declares


def _sums(store: Store, place: Place, span: Span) -> Sums:
    return summed(delivered(store, *span, DAY_MS, [place.number]))
