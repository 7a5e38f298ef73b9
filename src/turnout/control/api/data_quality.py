"""How valid the events of each source are (`config-api.md` A4, A5, C8). Figures, never sampled."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from turnout.control.api import integrations
from turnout.control.api.delivery_health import Granularity
from turnout.control.api.documents import Listing, Nothing, Resource
from turnout.control.api.monitoring import Dataset, TimeFormat, dataset, grouped, rows_of, time_of
from turnout.control.api.operation import Call, operation
from turnout.control.api.periods import Period, Span, bucket_of, span_of
from turnout.model.config import Source
from turnout.model.event import ROUTED
from turnout.receipts.figures import Collected

Weather = Literal["sunny", "cloudy", "rainy", "stormy", "none"]
_UNJUDGED = "filtered"


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """A reason why events were not valid."""

    level: Annotated[Literal["warning", "error"], Meta(description="`error`: they went to no destination.")]
    count: int
    path: Annotated[str | None, Meta(description="Always null here: see the sample.")] = None
    message: Annotated[str, Meta(description="The code of the reason.")]
    sample: Annotated[str, Meta(description="Where the inspector shows such events.")]
    date: Annotated[int | str, Meta(description="Where the last bucket with one begins.")]


class EventQuality(msgspec.Struct, frozen=True, kw_only=True):
    """How one event name of a source is."""

    name: str
    dataset: Dataset
    anomalies: Annotated[list[Anomaly], Meta(description="The most frequent first.")]


class QualityAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """How a source's events are. Filtered ones are in no ratio."""

    label: str
    collected: int
    statuses: Annotated[dict[str, int], Meta(description="How many events have each status.")]
    valid_rate: Annotated[float | None, Meta(description="Valid ones among those that were judged.")]
    weather: Annotated[Weather, Meta(description="sunny: all valid; cloudy: 95 %; rainy: 90 %; stormy: fewer.")]
    events: list[EventQuality]


class QualityQuery(Period, frozen=True, kw_only=True):
    """Of which sources."""

    source: Annotated[tuple[int, ...], Meta(description="Their numbers; without them all of the site.")] = ()
    granularity: Granularity = "auto"
    time_format: TimeFormat = "ms"


@operation("GET", "/v2/{site}/monitoring/sources-data-quality", scope="sources:read", tag="Monitoring")
def list_source_quality(call: Call[QualityQuery, Nothing]) -> Listing[QualityAttributes]:
    """How valid the events of each source are, by event name, and what is wrong with those that are not."""
    query = call.query
    span = span_of(query, call.now_ms)
    bucket_ms = bucket_of(query.granularity, span)
    by_source = grouped(rows_of(call, span, bucket_ms), lambda row: row.source)
    numbers = integrations.numbers(call)
    found = [
        _quality(call, one, numbers["source", one.ref].id, by_source.get(one.ref, []), span, bucket_ms)
        for one in call.world.snapshot().sources.values()
        if one.site == call.site and (not query.source or numbers["source", one.ref].id in query.source)
    ]
    return Listing(data=sorted(found, key=integrations.number), links={"self": call.url})


def _quality(
    call: Call[QualityQuery, Nothing],
    source: Source,
    number: int,
    rows: Sequence[Collected],
    span: Span,
    bucket_ms: int,
) -> Resource[QualityAttributes]:
    statuses = Counter[str]()
    for row in rows:
        statuses[row.status] += row.n
    judged = statuses.total() - statuses[_UNJUDGED]
    rate = statuses["valid"] / judged if judged else None
    events = [
        EventQuality(
            name=name,
            dataset=dataset(own, span, bucket_ms, call.query.time_format),
            anomalies=_anomalies(call, number, name, own),
        )
        for name, own in sorted(grouped(rows, lambda row: row.name).items())
    ]
    return Resource(
        type="monitoring/source-data-quality",
        id=number,
        attributes=QualityAttributes(
            label=source.label or source.name,
            collected=statuses.total(),
            statuses=dict(sorted(statuses.items())),
            valid_rate=round(rate, 4) if rate is not None else None,
            weather=weather(rate),
            events=events,
        ),
    )


def weather(rate: float | None) -> Weather:
    """The weather of a source with this share of valid events (A5); None: nothing to judge."""
    if rate is None:
        return "none"
    return "sunny" if rate == 1 else "cloudy" if rate >= 0.95 else "rainy" if rate >= 0.90 else "stormy"


def _anomalies(call: Call[QualityQuery, Nothing], source: int, name: str, rows: Iterable[Collected]) -> list[Anomaly]:
    wrong = [row for row in rows if row.status not in ("valid", _UNJUDGED)]
    found = []
    for (status, reason), own in grouped(wrong, lambda row: (row.status, row.reason)).items():
        asked = {"filter[source]": source, "filter[event_name]": name, "filter[status]": status}
        query = urlencode({**asked, "filter[reason]": reason}, safe="[]")
        found.append(
            Anomaly(
                level="warning" if status in ROUTED else "error",
                count=sum(row.n for row in own),
                message=reason,
                sample=f"/v2/{call.site}/inspector/incoming?{query}",
                date=time_of(max(row.bucket_ms for row in own), call.query.time_format),
            )
        )
    return sorted(found, key=lambda one: (-one.count, one.message))
