"""Lists, single records and counts of the inspector (`config-api.md` C4)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Generic, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Meta

from turnout.control.access.integrations import Kind
from turnout.control.api import integrations
from turnout.control.api.documents import Listing, ListMeta, Nothing, Resource, Single
from turnout.control.api.inspector_query import (
    PII,
    EitherQuery,
    IncomingQuery,
    OutgoingQuery,
    Question,
    StreamQuery,
    page_of,
    question,
    span_of,
)
from turnout.control.api.inspector_records import (
    IncomingAttributes,
    Looker,
    OutgoingAttributes,
    incoming_resource,
    is_routed,
    outgoing_resource,
    seq_in,
)
from turnout.control.api.masking import masked_event
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import read_cursor, with_parameters
from turnout.control.api.problems import ApiError, Fault, Place, not_found
from turnout.control.inspector import incoming, outgoing
from turnout.control.inspector.incoming import Event, Incoming
from turnout.control.inspector.outgoing import Outgoing
from turnout.control.inspector.search import Check
from turnout.control.inspector.segment import Row
from turnout.control.inspector.store import Found, Series
from turnout.receipts.trace import outcomes

_COUNTED = 50_000
_LARGEST = 20
_GONE = "there is no such record: never kept, or older than the retention"
_ONLY_ATTEMPTS = ("destination", "http_status", "attempt", "replay")

_DAY_MS = 86_400_000


class _Record(Protocol):
    @property
    def seq(self) -> int: ...

    @property
    def site(self) -> str: ...


A = TypeVar("A")
R = TypeVar("R", bound=_Record)


class Facet(msgspec.Struct, frozen=True):
    """A value and how often it is there."""

    value: Annotated[str, Meta(description="Of sources and destinations the id; `none` where there is none.")]
    count: int


class FacetsAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """The most frequent values among the records found, largest first."""

    counted: Annotated[int, Meta(description="How many records were counted, the newest.")]
    partial: Annotated[bool, Meta(description="Whether there may be more, which were not counted.")]
    event_name: list[Facet]
    status: list[Facet]
    reason: list[Facet]
    source: list[Facet]
    destination: list[Facet]


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
    return Single(incoming_resources(call, [one], looker)[0])


@operation("GET", "/v2/{site}/inspector/outgoing/{hit_id}", scope="inspector:read", tag="Inspector")
def get_outgoing(call: Call[Nothing, Nothing]) -> Single[OutgoingAttributes]:
    """One attempt, whole. Personal data needs `inspector:pii`, and the look is recorded."""
    one = _one(call, call.world.inspector.outgoing, "out_", outgoing.decode)
    looker = looking(call, full=True, personal=False, subject=call.path["hit_id"], action="outgoing.view")
    return Single(outgoing_resource(one, looker))


@operation("GET", "/v2/{site}/inspector/facets", scope="inspector:read", tag="Inspector")
def count_facets(call: Call[EitherQuery, Nothing]) -> Single[FacetsAttributes]:
    """How many records there are of each event name, status, reason, source and destination, for the same filters.

    Counts the newest records, 50,000 at most; figures about all events are elsewhere.
    """
    direction = call.query.direction
    asked = either(call)
    record_search(call, asked, f"{direction}.search")
    inspector = call.world.inspector
    if direction == "incoming":
        came = search(
            inspector.incoming, asked, incoming.decode, incoming_check(call, asked), _COUNTED, examined=_COUNTED
        )
        counters = _counted(came.items, incoming.FIELDS)
        counted, partial = len(came.items), came.resume is not None
    else:
        went = search(
            inspector.outgoing, asked, outgoing.decode, outgoing_check(call, asked), _COUNTED, examined=_COUNTED
        )
        counters = _counted(went.items, outgoing.FIELDS)
        counted, partial = len(went.items), went.resume is not None
    facets = {name: _facets(call, name, counter) for name, counter in counters.items()}
    attributes = FacetsAttributes(counted=counted, partial=partial, **facets)
    return Single(Resource(type="inspector/facets", id=direction, attributes=attributes))


def either(call: Call[EitherQuery, Nothing] | Call[StreamQuery, Nothing]) -> Question:
    """What is asked of one direction. Raises `ApiError` 400 for filters that this one does not have."""
    query = call.query
    if query.direction == "incoming":
        faults = [
            Fault("INVALID_PARAMETER", f"filter[{name}] is for direction=outgoing", Place(parameter=f"filter[{name}]"))
            for name in _ONLY_ATTEMPTS
            if getattr(query, name)
        ]
        if faults:
            raise ApiError(400, faults)
    return question(call, query)


def search(
    series: Series,
    asked: Question,
    decode: Callable[[bytes], R],
    check: Check[R],
    limit: int,
    *,
    oldest_first: bool = False,
    examined: int = 20_000,
) -> Found[R]:
    """The records that are sought."""

    def read(row: Row) -> R | None:
        record = decode(row.document)
        return record if check(record) else None

    return series.search(asked.sought.match(), asked.span, read, limit, oldest_first=oldest_first, examined=examined)


def incoming_check(call: AnyCall, asked: Question, view: str = "normalized") -> Check[Incoming]:
    """How a record of what came in is checked for this reader."""
    allowed = PII in call.token.scopes

    def document(one: Incoming) -> object:
        if view == "raw":
            return one.came_as
        # The shape of what was refused is not known, so any of it may be personal.
        return _searchable(one.event, allowed) if allowed or one.status != "rejected" else None

    return Check(asked.sought, incoming.FIELDS, lambda one: one.event, document)


def outgoing_check(call: AnyCall, asked: Question, view: str = "normalized") -> Check[Outgoing]:
    """How a record of what went out is checked for this reader."""
    allowed = PII in call.token.scopes
    return Check(
        asked.sought,
        outgoing.FIELDS,
        lambda one: one.event,
        lambda one: one.sent if view == "sent" else _searchable(one.event, allowed),
    )


def _searchable(event: Event | None, allowed: bool) -> Event | None:
    """What of an event a search may look into: of what is masked, nothing can be guessed."""
    return event if allowed or event is None else masked_event(event, personal=False)


def looking(call: AnyCall, *, full: bool, personal: bool, subject: str, action: str) -> Looker:
    """How closely this reader looks; written down if personal data is seen, or decides about what is."""
    shown = full and PII in call.token.scopes
    if shown or personal:
        call.record("inspector", action, subject, personal_data=True)
    return Looker(call, full, shown, integrations.numbers(call))


def record_search(call: AnyCall, asked: Question, action: str) -> None:
    """Write down a search that personal data decides about."""
    if asked.personal:
        call.record("inspector", action, "", personal_data=True)


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
    series = call.world.inspector.incoming
    page = _page(query, series, asked, incoming.decode, incoming_check(call, asked, query.view))
    return _listing(call, series, page, incoming_resources(call, page.items, looker))


def _outgoing(call: Call[OutgoingQuery, Nothing], **fixed: tuple[str, ...]) -> Listing[OutgoingAttributes]:
    query = call.query
    asked = question(call, query, query.view, **fixed)
    looker = looking(call, full=query.fields == "full", personal=asked.personal, subject="", action="outgoing.search")
    series = call.world.inspector.outgoing
    page = _page(query, series, asked, outgoing.decode, outgoing_check(call, asked, query.view))
    return _listing(call, series, page, [outgoing_resource(one, looker) for one in page.items])


class Page(NamedTuple, Generic[R]):
    """Records, newest first; the numbers from which the pages around them are found."""

    items: list[R]
    older: int | None
    newer: int | None
    partial: bool


def _page(
    query: IncomingQuery | OutgoingQuery, series: Series, asked: Question, decode: Callable[[bytes], R], check: Check[R]
) -> Page[R]:
    paging = page_of(query)
    after, before = read_cursor(paging, 1)
    size = paging.page_size
    span = asked.span._replace(below=after[0] if after else asked.span.below, above=before[0] if before else -1)
    found = search(series, asked._replace(span=span), decode, check, size + 1, oldest_first=before is not None)
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
    series: Series,
    page: Page[R],
    resources: list[Resource[A]],
) -> Listing[A]:
    links = {"self": call.url}
    if page.older is not None:
        links["next"] = with_parameters(call.url, {"page[after]": str(page.older)})
    if page.newer is not None:
        links["prev"] = with_parameters(call.url, {"page[before]": str(page.newer)})
    span = span_of(call.query)
    left_out = series.left_out(call.site, span.since_ms, min(span.until_ms, call.now_ms))
    meta = ListMeta(
        retention_days=series.keep_ms // _DAY_MS,
        sampled=left_out > 0,
        left_out=left_out,
        partial=page.partial or UNSET,
    )
    return Listing(data=resources, links=links, meta=meta)


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


def _counted(found: Sequence[R], fields: Mapping[str, Callable[[R], tuple[str, ...]]]) -> dict[str, Counter[str]]:
    return {
        name: Counter(value for one in found for value in fields[name](one)) if name in fields else Counter()
        for name in ("event_name", "status", "reason", "source", "destination")
    }


def _facets(call: AnyCall, name: str, counter: Counter[str]) -> list[Facet]:
    found = counter.most_common(_LARGEST)
    if name not in ("source", "destination"):
        return [Facet(value, count) for value, count in found]
    kind: Kind = "source" if name == "source" else "destination"
    numbers = integrations.numbers(call)
    known = {ref: str(one.id) for (of, ref), one in numbers.items() if of == kind}
    return [Facet(known.get(ref, "none"), count) for ref, count in found]
