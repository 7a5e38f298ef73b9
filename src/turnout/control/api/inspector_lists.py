"""Lists, single records and counts of the inspector (`config-api.md` C4)."""

import itertools
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from msgspec import UNSET, UnsetType

from turnout.control.access.integrations import Kind
from turnout.control.api import integrations
from turnout.control.api.documents import Listing, ListMeta, Nothing, Resource, Single
from turnout.control.api.inspector_query import PII, IncomingQuery, OutgoingQuery, page_of, question
from turnout.control.api.inspector_records import (
    IncomingAttributes,
    Looker,
    OutgoingAttributes,
    incoming_resource,
    is_routed,
    outgoing_resource,
    seq_in,
)
from turnout.control.api.inspector_search import R, Records, incoming_records, outgoing_records
from turnout.control.api.masking import hidden_of
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import read_cursor, with_parameters
from turnout.control.api.problems import not_found
from turnout.control.inspector import incoming, outgoing
from turnout.control.inspector.counts import ALWAYS
from turnout.control.inspector.incoming import Event, Incoming
from turnout.control.inspector.store import Series
from turnout.control.inspector.terms import unindexed_paths
from turnout.receipts.trace import outcomes

_GONE = "there is no such record: never kept, or older than the retention"
_MOST_PATHS = 100
_DAY_MS = 86_400_000

A = TypeVar("A")


@operation("GET", "/v2/{site}/inspector/incoming", scope="inspector:read", tag="Inspector")
def list_incoming(call: Call[IncomingQuery, Nothing]) -> Listing[IncomingAttributes]:
    """Events that came in, refused ones too, newest first.

    Filters must all match; of several values of one, one must. A search that has looked at 20,000 records gives what
    it found, says `partial` in `meta`, and goes on at `links.next`. `left_out` is how many records were not kept,
    because their source was over its sampling quota. IP addresses are always shortened. With `fields=full`, the scope
    `inspector:pii` shows personal data; the look is recorded.
    """
    return _incoming(call)


@operation("GET", "/v2/{site}/sources/{id}/inspector", scope="inspector:read", tag="Inspector")
def list_incoming_of_source(call: Call[IncomingQuery, Nothing]) -> Listing[IncomingAttributes]:
    """Events that came in from one source: `/inspector/incoming` with `filter[source]`."""
    ref = _ref(call, "source")
    return _incoming(call, source=(ref,))


@operation("GET", "/v2/{site}/inspector/outgoing", scope="inspector:read", tag="Inspector")
def list_outgoing(call: Call[OutgoingQuery, Nothing]) -> Listing[OutgoingAttributes]:
    """Attempts to deliver events, newest first, and what was filtered.

    As for what came in. Secrets are never shown.
    """
    return _outgoing(call)


@operation("GET", "/v2/{site}/destinations/{id}/inspector", scope="inspector:read", tag="Inspector")
def list_outgoing_of_destination(call: Call[OutgoingQuery, Nothing]) -> Listing[OutgoingAttributes]:
    """Attempts to deliver events to one destination: `/inspector/outgoing` with `filter[destination]`."""
    ref = _ref(call, "destination")
    return _outgoing(call, destination=(ref,))


@operation("GET", "/v2/{site}/inspector/incoming/{hit_id}", scope="inspector:read", tag="Inspector")
def get_incoming(call: Call[Nothing, Nothing]) -> Single[IncomingAttributes]:
    """One event that came in, whole. Personal data needs `inspector:pii`, and the look is recorded."""
    one = _one(call, call.world.inspector.incoming, "in_", incoming.decode)
    looker = looking(call, full=True, personal=False, subject=call.path["hit_id"], action="incoming.view")
    return Single(incoming_resources(call, [one], looker)[0], meta=_indexing(one.event))


@operation("GET", "/v2/{site}/inspector/outgoing/{hit_id}", scope="inspector:read", tag="Inspector")
def get_outgoing(call: Call[Nothing, Nothing]) -> Single[OutgoingAttributes]:
    """One attempt, whole. Personal data needs `inspector:pii`, and the look is recorded."""
    one = _one(call, call.world.inspector.outgoing, "out_", outgoing.decode)
    looker = looking(call, full=True, personal=False, subject=call.path["hit_id"], action="outgoing.view")
    return Single(outgoing_resource(one, looker), meta=_indexing(one.event))


def looking(call: AnyCall, *, full: bool, personal: bool, subject: str, action: str) -> Looker:
    """How closely this reader looks; written down if personal data is seen, or decides about what is."""
    shown = full and PII in call.token.scopes
    if shown or personal:
        call.record("inspector", action, subject, personal_data=True)
    hidden = None if shown else hidden_of(call.world.snapshot(), call.site)
    return Looker(call, full, hidden, integrations.numbers(call))


def incoming_resources(call: AnyCall, found: Sequence[Incoming], looker: Looker) -> list[Resource[IncomingAttributes]]:
    """Records of what came in, with what became of them."""
    routed = [one.seq for one in found if is_routed(one)]
    deliveries: dict[int, dict[str, int]] = {}
    if routed:
        with call.world.receipts() as store:
            deliveries = outcomes(store, routed, call.site)
    return [incoming_resource(one, deliveries.get(one.seq, {}), looker) for one in found]


def _incoming(call: Call[IncomingQuery, Nothing], **fixed: tuple[str, ...]) -> Listing[IncomingAttributes]:
    query = call.query
    asked = question(call, query, query.view, **fixed)
    looker = looking(call, full=query.fields == "full", personal=asked.personal, subject="", action="incoming.search")
    records = incoming_records(call, asked, query.view)
    page = _page(query, records)
    paths = _unindexed([one.event for one in page.items]) if looker.full else UNSET
    return _listing(call, records, page, incoming_resources(call, page.items, looker), paths)


def _outgoing(call: Call[OutgoingQuery, Nothing], **fixed: tuple[str, ...]) -> Listing[OutgoingAttributes]:
    query = call.query
    asked = question(call, query, query.view, **fixed)
    looker = looking(call, full=query.fields == "full", personal=asked.personal, subject="", action="outgoing.search")
    records = outgoing_records(call, asked, query.view)
    page = _page(query, records)
    paths = _unindexed([one.event for one in page.items]) if looker.full else UNSET
    return _listing(call, records, page, [outgoing_resource(one, looker) for one in page.items], paths)


class Page(NamedTuple, Generic[R]):
    """Records, newest first; the numbers from which the pages around them are found."""

    items: list[R]
    older: int | None
    newer: int | None
    partial: bool


def _page(query: IncomingQuery | OutgoingQuery, records: Records[R]) -> Page[R]:
    paging = page_of(query)
    after, before = read_cursor(paging, 1)
    size = paging.page_size
    span = records.asked.span
    span = span._replace(below=after[0] if after else span.below, above=before[0] if before else -1)
    found = records.search(size + 1, span, oldest_first=before is not None)
    more = len(found.items) > size
    partial = found.resume is not None and not more
    shown = found.items[:size]
    beyond = shown[-1].seq if more else found.resume
    if before is None:
        return Page(shown, beyond, shown[0].seq if after and shown else None, partial)
    shown.reverse()
    return Page(shown, shown[-1].seq if shown else None, beyond, partial)


def _listing(
    call: Call[IncomingQuery, Nothing] | Call[OutgoingQuery, Nothing],
    records: Records[R],
    page: Page[R],
    resources: list[Resource[A]],
    unindexed: list[str] | UnsetType,
) -> Listing[A]:
    links = {"self": call.url}
    if page.older is not None:
        links["next"] = with_parameters(call.url, {"page[after]": str(page.older)})
    if page.newer is not None:
        links["prev"] = with_parameters(call.url, {"page[before]": str(page.newer)})
    series, span = records.series, records.asked.span
    left_out = series.left_out(call.site, span.since_ms, min(span.until_ms, call.now_ms))
    total: int | UnsetType = UNSET
    total_partial: bool | UnsetType = UNSET
    if "total" in call.query.include:
        counted = records.counted(ALWAYS)
        total, total_partial = counted.total, counted.since_ms is not None or UNSET
    meta = ListMeta(
        retention_days=series.keep_ms // _DAY_MS,
        sampled=left_out > 0,
        left_out=left_out,
        partial=page.partial or UNSET,
        total=total,
        total_partial=total_partial,
        unindexed_paths=unindexed,
    )
    return Listing(data=resources, links=links, meta=meta)


def _unindexed(events: Sequence[Event | None]) -> list[str] | UnsetType:
    """Paths of properties that the index has not, of all these events together; UNSET if it has all."""
    paths = dict.fromkeys(path for event in events if event is not None for path in unindexed_paths(event))
    return list(itertools.islice(paths, _MOST_PATHS)) or UNSET


def _indexing(event: Event | None) -> dict[str, object] | UnsetType:
    """The `meta` of a record, if there is anything to say."""
    paths = _unindexed([event])
    return UNSET if paths is UNSET else {"unindexed_paths": paths}


def _one(call: Call[Nothing, Nothing], series: Series, prefix: str, decode: Callable[[bytes], R]) -> R:
    seq = seq_in(call.path["hit_id"], prefix)
    row = series.get(seq) if seq is not None else None
    record = decode(row.document) if row is not None else None
    if record is None or record.site != call.site:
        raise not_found(_GONE)
    return record


def _ref(call: AnyCall, kind: Kind) -> str:
    prefix = f"{call.site}/"
    for (of, ref), one in integrations.numbers(call).items():
        if of == kind and ref.startswith(prefix) and str(one.id) == call.path["id"]:
            return ref
    raise not_found(f"there is no {kind} with this id")
