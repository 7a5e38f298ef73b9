"""How many records there are: by their values, and over time (`config-api.md` C4, `destinations.md` §4)."""

from collections import Counter
from typing import Annotated, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.access.integrations import Kind
from turnout.control.api import integrations
from turnout.control.api.documents import Nothing, Resource, Single, moment, moment_or_none
from turnout.control.api.inspector_query import FACETS, FacetsQuery, HistogramQuery, Question, with_property
from turnout.control.api.inspector_search import R, Records, either, incoming_records, outgoing_records
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.periods import Dataset, span_of
from turnout.control.inspector.counts import ALWAYS, width_for
from turnout.control.inspector.segment import Span
from turnout.control.inspector.store import Counted
from turnout.control.inspector.values import found, scalars, text_of
from turnout.model.attempt import Outcome
from turnout.model.event import Status

_LARGEST, _OF_PROPERTY = 20, 5
_NEWEST = 5_000
"""So many records are looked at for the values of a property, about 50 ms."""
_VALUE_CHARACTERS = 256


class Facet(msgspec.Struct, frozen=True):
    """A value and how often it is there."""

    value: Annotated[str, Meta(description="Of sources and destinations the id; `none` where there is none.")]
    count: int


Facets = Annotated[list[Facet] | UnsetType, Meta(description="If it was asked for.")]


class PropertyFacet(msgspec.Struct, frozen=True, kw_only=True):
    """The most frequent values of a property, the largest first."""

    path: str
    counted: Annotated[int, Meta(description="In how many records they were counted: the newest that have it.")]
    partial: Annotated[bool, Meta(description="Whether there may be more, which were not counted.")]
    values: list[Facet]


class FacetsAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """The most frequent values among the records found, largest first."""

    counted: Annotated[int, Meta(description="How many records were counted, the newest.")]
    partial: Annotated[bool, Meta(description="Whether there may be more, which were not counted.")]
    event_name: Facets = UNSET
    status: Facets = UNSET
    reason: Facets = UNSET
    source: Facets = UNSET
    destination: Facets = UNSET
    property: PropertyFacet | UnsetType = UNSET


class HistogramAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Records over time."""

    start: str
    end: str
    bucket_ms: Annotated[int, Meta(description="How long a bucket is: a round time, so that there are few enough.")]
    counted: int
    complete_since: Annotated[
        str | None, Meta(description="If counting was cut short: from when on all are counted.")
    ] = None
    dataset: Dataset


@operation("GET", "/v2/{site}/inspector/facets", scope="inspector:read", tag="Inspector")
def count_facets(call: Call[FacetsQuery, Nothing]) -> Single[FacetsAttributes]:
    """How many records there are of each event name, status, reason, source and destination, for the same filters.

    Exact for all records kept, unless a filter is about what is in an event: then among the newest 10,000 that the
    index leads to. `facet=property` with a `path` gives the five most frequent values of a property, among the newest
    5,000 records that have it.
    """
    asked = either(call, call.query)
    looked_up = call.query.facet or FACETS
    of_property = with_property(call, asked, call.query.path) if "property" in looked_up else None
    if asked.personal or (of_property is not None and of_property.personal):
        call.record("inspector", f"{call.query.direction}.search", "", personal_data=True)
    fields = [name for name in FACETS if name in looked_up]
    counted = _counted(call, asked, ALWAYS) if fields else Counted([], None)
    attributes = FacetsAttributes(
        counted=counted.total,
        partial=counted.since_ms is not None,
        property=_property(call, of_property) if of_property is not None else UNSET,
        **{name: _facets(call, name, counted) for name in fields},
    )
    return Single(Resource(type="inspector/facets", id=call.query.direction, attributes=attributes))


@operation("GET", "/v2/{site}/inspector/histogram", scope="inspector:read", tag="Inspector")
def count_over_time(call: Call[HistogramQuery, Nothing]) -> Single[HistogramAttributes]:
    """How many records there are of each status over time, for the same filters; without a period, the last 24 hours.

    Buckets are as long as is needed for there to be at most `buckets`, of 10 seconds at least, and begin where a clock
    does; the first and the last hold what is within the period. Exact for all records kept, unless a filter is about
    what is in an event: then the newest 10,000 that the index leads to are counted. `truncated` in `meta` says that
    there may be more, before `complete_since`. `left_out` are records that were not kept, over the sampling quota.
    """
    query = call.query
    period = span_of(query, call.now_ms)
    asked = either(call, query)._replace(span=Span(since_ms=period.start_ms, until_ms=period.end_ms))
    if asked.personal:
        call.record("inspector", f"{query.direction}.search", "", personal_data=True)
    width = width_for(period.start_ms, period.end_ms, query.buckets)
    counted = _counted(call, asked, width)
    inspector = call.world.inspector
    series = inspector.incoming if query.direction == "incoming" else inspector.outgoing
    left_out = series.left_out(call.site, period.start_ms, min(period.end_ms, call.now_ms))
    attributes = HistogramAttributes(
        start=moment(period.start_ms),
        end=moment(period.end_ms),
        bucket_ms=width,
        counted=counted.total,
        complete_since=moment_or_none(counted.since_ms),
        dataset=_dataset(counted, range(period.start_ms // width * width, period.end_ms, width), query.direction),
    )
    meta: dict[str, object] = {"truncated": counted.since_ms is not None, "sampled": left_out > 0, "left_out": left_out}
    return Single(Resource(type="inspector/histogram", id=query.direction, attributes=attributes), meta=meta)


def _counted(call: Call[FacetsQuery, Nothing] | Call[HistogramQuery, Nothing], asked: Question, width: int) -> Counted:
    if call.query.direction == "incoming":
        return incoming_records(call, asked).counted(width)
    return outgoing_records(call, asked).counted(width)


def _dataset(counted: Counted, buckets: range, direction: str) -> Dataset:
    """A row per bucket, a column per status."""
    columns = get_args(Status if direction == "incoming" else Outcome)
    sums: Counter[tuple[int, str]] = Counter()
    for fields, bucket, n in counted.counts:
        sums[bucket, fields["status"][0]] += n
    rows = [[bucket, *(sums[bucket, column] for column in columns)] for bucket in buckets]
    return [["dateTime", *columns], *rows]


def _facets(call: AnyCall, name: str, counted: Counted) -> list[Facet]:
    sums: Counter[str] = Counter()
    for fields, _, n in counted.counts:
        for value in fields.get(name, ()):
            sums[value] += n
    largest = sums.most_common(_LARGEST)
    if name not in ("source", "destination"):
        return [Facet(value, n) for value, n in largest]
    kind: Kind = "source" if name == "source" else "destination"
    known = {ref: str(one.id) for (of, ref), one in integrations.numbers(call).items() if of == kind}
    return [Facet(known.get(ref, "none"), n) for ref, n in largest]


def _property(call: Call[FacetsQuery, Nothing], asked: Question) -> PropertyFacet:
    if call.query.direction == "incoming":
        return _values(incoming_records(call, asked), call.query.path)
    return _values(outgoing_records(call, asked), call.query.path)


def _values(records: Records[R], path: str) -> PropertyFacet:
    """The most frequent values; each counts once per record."""
    newest = records.search(_NEWEST, examined=_NEWEST)
    sums: Counter[str] = Counter()
    for one in newest.items:
        there = found(records.check.document(one), path.split("."))
        sums.update({text_of(value)[:_VALUE_CHARACTERS] for each in there for value in scalars(each)})
    values = [Facet(value, n) for value, n in sums.most_common(_OF_PROPERTY)]
    return PropertyFacet(path=path, counted=len(newest.items), partial=newest.resume is not None, values=values)
