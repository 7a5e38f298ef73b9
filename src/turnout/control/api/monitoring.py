"""What came in, by event name (`config-api.md` A4, C8). Figures, never sampled."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api import integrations
from turnout.control.api.delivery_health import Granularity
from turnout.control.api.documents import Included, Listing, Nothing, Relationship, Resource, moment
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import WHOLE
from turnout.control.api.periods import Period, Span, bucket_of, buckets, span_of
from turnout.model.event import ROUTED
from turnout.receipts.figures import Collected, collected

Dataset = Annotated[list[list[int | str]], Meta(description="Rows; the first has the names of the columns.")]
TimeFormat = Annotated[
    Literal["ms", "text"], Meta(description="Of times in tables: ms since 1970, or text in UTC to the nanosecond.")
]
K = TypeVar("K")


class DefinitionAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """An event name, and how often it came."""

    name: str
    collected: int
    normalized: Annotated[int, Meta(description="Of these, the ones that went on to destinations.")]
    last_collected_at: Annotated[str, Meta(description="Where the last bucket with one begins.")]
    stats: Annotated[dict[str, Dataset] | UnsetType, Meta(description="With `include=stats.normalized`.")] = UNSET


class CollectionQuery(Period, frozen=True, kw_only=True):
    """Which events, and what beside them."""

    search: Annotated[str, Meta(max_length=256, description="Part of the name, in any letter case.")] | None = (
        msgspec.field(default=None, name="filter[search]")
    )
    include: Annotated[
        tuple[
            Literal["stats.normalized", "sources", "sources.connector", "destinations", "destinations.connector"], ...
        ],
        Meta(description="Tables over time; the sources and destinations, and what kind each is."),
    ] = ()
    granularity: Granularity = "auto"
    time_format: TimeFormat = "ms"


@operation("GET", "/v2/{site}/monitoring/collection/events", scope="sources:read", tag="Monitoring")
def list_collected_events(call: Call[CollectionQuery, Nothing]) -> Listing[DefinitionAttributes]:
    """The event names that came in, the most frequent first (500 at most), where from and where to.

    Of strangers' names only so many are counted as they are; the others are `(other)`.
    """
    query = call.query
    span = span_of(query, call.now_ms)
    bucket_ms = bucket_of(query.granularity, span)
    rows = rows_of(call, span, bucket_ms)
    names = Counter[str]()
    for row in rows:
        if query.search is None or query.search.lower() in row.name.lower():
            names[row.name] += row.n
    by_name = grouped(rows, lambda row: row.name)
    shown = sorted(names, key=lambda name: (-names[name], name))[:WHOLE]
    found = [_definition(call, name, by_name[name], span, bucket_ms) for name in shown]
    return Listing(data=found, links={"self": call.url}, included=_included(call, found))


def grouped(rows: Iterable[Collected], by: Callable[[Collected], K]) -> Mapping[K, list[Collected]]:
    """Rows that have the same of something."""
    found: dict[K, list[Collected]] = {}
    for row in rows:
        found.setdefault(by(row), []).append(row)
    return found


def rows_of(call: AnyCall, span: Span, bucket_ms: int) -> list[Collected]:
    """The figures of a site."""
    with call.world.receipts() as store:
        return collected(store, span.start_ms, span.end_ms, bucket_ms, call.site)


def _definition(
    call: Call[CollectionQuery, Nothing], name: str, rows: Sequence[Collected], span: Span, bucket_ms: int
) -> Resource[DefinitionAttributes]:
    numbers = integrations.numbers(call)
    sources = {row.source for row in rows}
    destinations = [
        ref
        for ref, one in call.world.snapshot().destinations.items()
        if one.sources & sources and (not one.event_names or name in one.event_names)
    ]
    stats: dict[str, Dataset] | UnsetType = UNSET
    if "stats.normalized" in call.query.include:
        stats = {"normalized": dataset(rows, span, bucket_ms, call.query.time_format)}
    return Resource(
        type="events/definition",
        id=f"{call.site}-{name}",
        attributes=DefinitionAttributes(
            name=name,
            collected=sum(row.n for row in rows),
            normalized=sum(row.n for row in rows if row.status in ROUTED),
            last_collected_at=moment(max(row.bucket_ms for row in rows)),
            stats=stats,
        ),
        relationships={
            "sources": Relationship(
                integrations.identifiers(one.id for ref in sources if (one := numbers.get(("source", ref))))
            ),
            "destinations": Relationship(
                integrations.identifiers(numbers["destination", ref].id for ref in destinations)
            ),
        },
    )


def _included(
    call: Call[CollectionQuery, Nothing], found: Iterable[Resource[DefinitionAttributes]]
) -> list[Included] | UnsetType:
    """The sources and destinations that were asked for, each once, and what kind they are."""
    wanted = {word.partition(".")[0] for word in call.query.include} & {"sources", "destinations"}
    if not wanted:
        return UNSET
    linked = {
        (kind, identifier.id)
        for one in found
        for kind in wanted
        if one.relationships is not UNSET and isinstance(data := one.relationships[kind].data, list)
        for identifier in data
    }
    snapshot, numbers = call.world.snapshot(), integrations.numbers(call)
    included: dict[tuple[str, int | str], Included] = {}
    for source in snapshot.sources.values():
        number = numbers["source", source.ref].id
        if ("sources", str(number)) in linked:
            _include(included, number, source.label, source.type, "sources.connector" in call.query.include)
    for destination in snapshot.destinations.values():
        number = numbers["destination", destination.ref].id
        if ("destinations", str(number)) in linked:
            connector = "destinations.connector" in call.query.include
            _include(included, number, destination.label, destination.type, connector)
    return list(included.values())


def _include(
    included: dict[tuple[str, int | str], Included], number: int, label: str, template: str, connector: bool
) -> None:
    attributes = {"label": label, "template": template}
    included[integrations.TYPE, number] = Included(type=integrations.TYPE, id=number, attributes=attributes)
    if connector:
        kind = Included(type="dms/connector", id=template, attributes={"label": template})
        included[kind.type, kind.id] = kind


def dataset(rows: Iterable[Collected], span: Span, bucket_ms: int, time_format: str) -> Dataset:
    """What came, and what of it went on, bucket by bucket."""
    came, went = Counter[int](), Counter[int]()
    for row in rows:
        bucket = row.bucket_ms - row.bucket_ms % bucket_ms
        came[bucket] += row.n
        went[bucket] += row.n if row.status in ROUTED else 0
    table: Dataset = [["dateTime", "collected", "normalized"]]
    table += [[time_of(bucket, time_format), came[bucket], went[bucket]] for bucket in buckets(span, bucket_ms)]
    return table


def time_of(ms: int, time_format: str) -> int | str:
    """A time as a table has it."""
    if time_format == "ms":
        return ms
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}.{ms % 1000:03d}000000"
