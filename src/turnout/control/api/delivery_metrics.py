"""Figures of delivery over any slice, compared with a period before (`config-api.md` C5)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api import delivery_figures, integrations
from turnout.control.api.delivery_figures import Place, by_bucket, places, summed
from turnout.control.api.delivery_health import Granularity
from turnout.control.api.documents import Listing, Nothing, Resource, moment
from turnout.control.api.operation import Call, operation
from turnout.control.api.periods import DAY_MS, Dataset, Period, Span, bucket_of, buckets, span_of
from turnout.control.delivery.sums import (
    FILTERED,
    OTHERWISE_FILTERED,
    Sums,
    Weather,
    change,
    points,
    rounded,
    weather,
)
from turnout.model.config import Environment
from turnout.model.outcome import OUTCOME_OF, REASON_OF, Code
from turnout.receipts.figures import Delivered, delivered
from turnout.receipts.store import Store
from turnout.receipts.tally import OTHER

_GROUPS = 500
"""So many groups are shown; what is in smaller ones is in one together."""
_WEEK_MS = 7 * DAY_MS

Dimension = Literal["destination", "source", "event_name", "status", "reason", "environment"]
Outcome = Literal["delivered", "rejected", "error", "filtered", "pending", "dry_run", "cancelled"]
Group = tuple[str | int, ...]


class MetricsQuery(Period, frozen=True, kw_only=True):
    """Which figures. Filters: all must match; of several values, one."""

    granularity: Granularity = "auto"
    destination: Annotated[tuple[int, ...], Meta(description="Ids of destinations.")] = msgspec.field(
        default=(), name="filter[destination]"
    )
    source: Annotated[tuple[int, ...], Meta(description="Ids of sources.")] = msgspec.field(
        default=(), name="filter[source]"
    )
    event_name: Annotated[tuple[str, ...], Meta(description="Names, whole.", examples=[["purchase"]])] = msgspec.field(
        default=(), name="filter[event_name]"
    )
    environment: Annotated[tuple[Environment, ...], Meta(description="Of the destination.")] = msgspec.field(
        default=(), name="filter[environment]"
    )
    status: Annotated[tuple[Outcome, ...], Meta(description="Present outcomes.")] = msgspec.field(
        default=(), name="filter[status]"
    )
    group_by: Annotated[
        tuple[Dimension, ...], Meta(max_length=2, description="One group per value, or per pair of values.")
    ] = ()
    compare: Annotated[
        Literal["previous_period", "previous_week", "none"],
        Meta(description="With the same length of time just before, or a week before."),
    ] = "previous_period"
    include: Annotated[tuple[Literal["dataset"], ...], Meta(description="`dataset` adds a table over time.")] = ()


class DeliveredSums(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted by the partner, at the first attempt or at a later one."""

    total: int
    immediate: int
    retry: int


class NotDeliveredSums(msgspec.Struct, frozen=True, kw_only=True):
    """Refused because of the event, or failed at the partner."""

    total: int
    rejected: int
    error: int


class FilteredSums(msgspec.Struct, frozen=True, kw_only=True):
    """Not sent: no consent, the destination's filter, or another reason."""

    total: int
    consent: int
    condition: int
    other: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """(now − before) / before of another period, None from 0; for the rate, now − before."""

    start: str
    end: str
    delivered: float | None
    not_delivered: float | None
    filtered: float | None
    delivered_rate_points: float | None


class MetricsAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Events by their present outcome, each (event, destination) pair once, by the time it was collected."""

    group: Annotated[
        dict[str, int | str] | UnsetType,
        Meta(description="With `group_by`: its values. Beyond 500 groups the rest is together in one, `(other)`."),
    ] = UNSET
    offered: Annotated[int, Meta(description="All of the following.")]
    delivered: DeliveredSums
    not_delivered: NotDeliveredSums
    filtered: FilteredSums
    pending: int
    dry_run: int
    cancelled: int
    delivered_rate: Annotated[float | None, Meta(description="Delivered of delivered and not delivered.")]
    weather: Weather
    compare: Comparison | UnsetType = UNSET
    dataset: Dataset | UnsetType = UNSET


@operation("GET", "/v2/{site}/delivery/metrics", scope="delivery:read", tag="Delivery")
def get_metrics(call: Call[MetricsQuery, Nothing]) -> Listing[MetricsAttributes]:
    """Figures of delivery: of all destinations together, or in groups.

    Figures are never sampled, and follow what happens within a second. An event that is delivered later, or replayed,
    moves to its new outcome in the period in which it was collected.
    """
    query = call.query
    span = span_of(query, call.now_ms)
    shown_ms = bucket_of(query.granularity, span)
    other = None
    if query.compare != "none":
        other = span.earlier(span.length_ms if query.compare == "previous_period" else _WEEK_MS)
    with call.world.receipts() as store:
        meant = [one for one in places(call, store) if _is_meant(query, one)]
        wanted = _wanted(call)
        now = list(filter(wanted, _rows(store, span, shown_ms if "dataset" in query.include else DAY_MS, meant)))
        before = list(filter(wanted, _rows(store, other, DAY_MS, meant))) if other is not None else []
    names = _names(call, meant)
    groups = _grouped(now, query.group_by, names)
    earlier = _grouped(before, query.group_by, names)
    largest = sorted(groups.items(), key=lambda item: -summed(item[1]).offered)
    shown = dict(largest if len(largest) <= _GROUPS else largest[: _GROUPS - 1])
    if rest := [row for group, rows in groups.items() if group not in shown for row in rows]:
        together = (OTHER,) * len(query.group_by)
        shown[together] = [*shown.get(together, ()), *rest]
        earlier[together] = [row for group, rows in earlier.items() if group not in shown for row in rows]
    starts = buckets(span, shown_ms)
    return Listing(
        data=[
            Resource(
                type="delivery/metrics",
                id=_id(query, group),
                attributes=_attributes(query, group, rows, earlier.get(group, []), other, starts),
            )
            for group, rows in shown.items()
        ],
        links={"self": call.url},
    )


def _rows(store: Store, span: Span, bucket_ms: int, meant: Iterable[Place]) -> list[Delivered]:
    return delivered(store, span.start_ms, span.end_ms, bucket_ms, [one.number for one in meant])


def _is_meant(query: MetricsQuery, place: Place) -> bool:
    return (not query.destination or place.id in query.destination) and (
        not query.environment or place.environment in query.environment
    )


def _wanted(call: Call[MetricsQuery, Nothing]) -> Callable[[Delivered], bool]:
    query = call.query
    known = integrations.numbers(call).items()
    sources = {ref for (kind, ref), one in known if kind == "source" and one.id in query.source}

    def wanted(row: Delivered) -> bool:
        return (
            (not query.source or row.source in sources)
            and (not query.event_name or row.name in query.event_name)
            and (not query.status or OUTCOME_OF[row.code] in query.status)
        )

    return wanted


def _names(
    call: Call[MetricsQuery, Nothing], meant: Iterable[Place]
) -> Mapping[Dimension, Callable[[Delivered], int | str]]:
    """What a row is grouped by."""
    by_number = {one.number: one for one in meant}
    sources = {ref: one.id for (kind, ref), one in integrations.numbers(call).items() if kind == "source"}
    return {
        "destination": lambda row: by_number[row.destination].id,
        "source": lambda row: sources.get(row.source, "none"),
        "event_name": lambda row: row.name,
        "status": lambda row: OUTCOME_OF[row.code],
        "reason": lambda row: row.reason or REASON_OF.get(row.code, ""),
        "environment": lambda row: by_number[row.destination].environment or "none",
    }


def _grouped(
    rows: Iterable[Delivered],
    dimensions: Sequence[Dimension],
    names: Mapping[Dimension, Callable[[Delivered], int | str]],
) -> dict[Group, list[Delivered]]:
    """Rows by their values; without dimensions there is one group, whatever there is."""
    found: dict[Group, list[Delivered]] = {} if dimensions else {(): []}
    for row in rows:
        found.setdefault(tuple(names[one](row) for one in dimensions), []).append(row)
    return found


def _id(query: MetricsQuery, group: Group) -> str:
    if group:
        return "/".join(map(str, group))
    return str(query.destination[0]) if len(query.destination) == 1 else "all"


def _attributes(
    query: MetricsQuery,
    group: Group,
    rows: Sequence[Delivered],
    before: Sequence[Delivered],
    other: Span | None,
    starts: Sequence[int],
) -> MetricsAttributes:
    now, then = summed(rows), summed(before)
    return MetricsAttributes(
        group=dict(zip(query.group_by, group, strict=True)) if group else UNSET,
        offered=now.offered,
        delivered=DeliveredSums(
            total=now.delivered, immediate=now.of(Code.DELIVERED), retry=now.of(Code.DELIVERED_AFTER_RETRY)
        ),
        not_delivered=NotDeliveredSums(
            total=now.not_delivered, rejected=now.of(Code.REJECTED), error=now.of(Code.ERROR)
        ),
        filtered=FilteredSums(
            total=now.filtered,
            consent=now.of(Code.FILTERED_CONSENT),
            condition=now.of(Code.FILTERED_CONDITION),
            other=now.of(*OTHERWISE_FILTERED),
        ),
        pending=now.of(Code.PENDING),
        dry_run=now.of(Code.DRY_RUN),
        cancelled=now.of(Code.CANCELLED),
        delivered_rate=rounded(now.rate),
        weather=weather(now.rate),
        compare=UNSET if other is None else _comparison(now, then, other),
        dataset=_dataset(rows, starts) if "dataset" in query.include else UNSET,
    )


def _comparison(now: Sums, then: Sums, other: Span) -> Comparison:
    return Comparison(
        start=moment(other.start_ms),
        end=moment(other.end_ms),
        delivered=change(now.delivered, then.delivered),
        not_delivered=change(now.not_delivered, then.not_delivered),
        filtered=change(now.filtered, then.filtered),
        delivered_rate_points=points(now.rate, then.rate),
    )


def _dataset(rows: Iterable[Delivered], starts: Sequence[int]) -> list[list[int | str]]:
    columns: dict[str, Sequence[Code]] = {
        "delivered": (Code.DELIVERED, Code.DELIVERED_AFTER_RETRY),
        "not_delivered": (Code.REJECTED, Code.ERROR),
        "filtered": (*FILTERED, *OTHERWISE_FILTERED),
        "pending": (Code.PENDING,),
    }
    return delivery_figures.table(by_bucket(rows), starts, columns)
