"""Dead letters: looking at what was given up, and trying it again (as `turnout dead`)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api import integrations, problems
from turnout.control.api.documents import Listing, New, Nothing, Relationship, Resource, Single, moment
from turnout.control.api.masking import MASK
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import Cursored, When, cursored, milliseconds, read_cursor
from turnout.control.api.problems import ApiError, Fault
from turnout.model.outcome import OUTCOME_OF, Code
from turnout.receipts.lists import Place, Span, dead_count, dead_page
from turnout.receipts.records import DeadLetter
from turnout.receipts.store import Store

_CHUNK = 500


class DeadLetterAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a destination refused, or that was given up."""

    event_id: str
    event_name: str
    status: Annotated[str, Meta(description="`rejected` or `error`.")]
    reason: str
    detail: Annotated[
        str | UnsetType,
        Meta(description="With `fields=full`: what the partner answered; `***` without `inspector:pii`."),
    ] = UNSET
    attempts: int
    received_at: str
    died_at: str
    replayable_until: str


class DeadLettersQuery(Cursored, frozen=True, kw_only=True):
    """Which dead letters."""

    destination: Annotated[int, Meta(description="Only of this destination.")] | None = msgspec.field(
        default=None, name="filter[destination]"
    )
    reason: Annotated[str, Meta(description="Only for this reason.", examples=["502_bad_gateway"])] | None = (
        msgspec.field(default=None, name="filter[reason]")
    )
    start: Annotated[When, Meta(description="Only what died then or later.")] | None = None
    end: Annotated[When, Meta(description="Only what died before.")] | None = None
    fields: Annotated[Literal["summary", "full"], Meta(description="`full` adds what partners answered.")] = "summary"


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters to try again; what is left out does not restrict."""

    destination: Annotated[int, Meta(description="Only of this destination.")] | None = None
    reason: Annotated[str, Meta(description="Only for this reason.")] | None = None
    start: Annotated[When, Meta(description="Only what died then or later.")] | None = None
    end: Annotated[When, Meta(description="Only what died before.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=100_000, description="How many at most, the oldest first.")] = 10_000


class ReplayQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to do it."""

    dry_run: Annotated[bool, Meta(description="Only say how many.")] = False


class ReplayAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found and did."""

    dry_run: bool
    matched: Annotated[int, Meta(description="All that the selection means.")]
    replayed: Annotated[int, Meta(description="Those that are tried again now.")]


@operation("GET", "/v2/{site}/dead-letters", scope="replay:read", tag="Dead letters")
def list_dead_letters(call: Call[DeadLettersQuery, Nothing]) -> Listing[DeadLetterAttributes]:
    """Events that were refused or given up, newest first.

    With `fields=full` and the scope `inspector:pii` the partners' answers are shown, and the look is recorded.
    """
    query = call.query
    after, before = read_cursor(query, 3)
    personal = query.fields == "full" and "inspector:pii" in call.token.scopes
    if personal:
        call.record("inspector", "dead_letters.view", "", personal_data=True)
    with call.world.receipts() as store:
        chosen = _chosen(call, {one.ref: one.id for one in store.registered()}, query.destination)
        found = dead_page(
            store,
            chosen.values(),
            _span(query.start, query.end, query.reason),
            query.page_size + 1,
            after=Place(*after) if after else None,
            before=Place(*before) if before else None,
        )
    refs = {number: ref for ref, number in chosen.items()}
    numbers = integrations.numbers(call)
    kept_ms = call.world.settings.replay_ms

    def resource(pair: tuple[Place, DeadLetter]) -> Resource[DeadLetterAttributes]:
        place, letter = pair
        known = numbers.get(("destination", refs[place.destination]))
        detail = UNSET if query.fields == "summary" else letter.detail if personal or not letter.detail else MASK
        return Resource(
            type="dead-letters",
            id=f"dl_{_cursor(pair)}",
            attributes=_attributes(letter, detail, kept_ms),
            relationships={"destination": Relationship(integrations.identifiers([known.id])[0] if known else None)},
        )

    return cursored(found, query, call.url, resource, _cursor, call.world.settings.replay_days)


@operation("POST", "/v2/{site}/dead-letters/replay", scope="replay:write", tag="Dead letters")
def replay_dead_letters(call: Call[ReplayQuery, New[Selection]]) -> Single[ReplayAttributes]:
    """Try dead letters again, with their destinations as they are configured now.

    Without conditions all of the site are meant. What dies again afterwards is not tried twice.
    """
    wanted = call.body.data.attributes
    span = _span(wanted.start, wanted.end, wanted.reason)
    span = span._replace(until_ms=min(span.until_ms, call.now_ms))
    with call.world.receipts() as store:
        chosen = _chosen(call, {ref: one[0] for ref, one in store.destinations().items()}, wanted.destination)
        if wanted.destination is not None and not chosen:
            where = problems.Place(pointer="/data/attributes/destination")
            raise ApiError(422, [Fault("INVALID_PROPERTY_FORMAT", "there is no destination with this id", where)])
        matched = sum(dead_count(store, number, span) for number in chosen.values())
        replayed = 0
        if not call.query.dry_run and matched:
            asked = {name: value for name, value in msgspec.to_builtins(wanted).items() if value is not None}
            call.record("replay", "dead_letters.replay", str(wanted.destination or ""), **asked, matched=matched)
            replayed = _replay(store, chosen.values(), span, wanted.limit, call.now_ms)
    attributes = ReplayAttributes(dry_run=call.query.dry_run, matched=matched, replayed=replayed)
    return Single(Resource(type="dead-letter-replays", id=None, attributes=attributes))


def _replay(store: Store, destinations: Iterable[int], span: Span, limit: int, now_ms: int) -> int:
    moved = 0
    for number in destinations:
        letters = islice(store.dead_letters(number, *span), limit - moved)
        while chunk := list(islice(letters, _CHUNK)):
            moved += store.replay(number, chunk, now_ms)
    return moved


def _chosen(call: AnyCall, known: Mapping[str, int], wanted: int | None) -> dict[str, int]:
    """Which destinations of the receipts are meant: all of the site, or one."""
    ref = integrations.destination_ref(call, wanted) if wanted is not None else None
    return {
        name: number
        for name, number in known.items()
        if name.startswith(f"{call.site}/") and (wanted is None or name == ref)
    }


def _span(start: datetime | None, end: datetime | None, reason: str | None) -> Span:
    span = Span(reason=reason)
    if start is not None:
        span = span._replace(since_ms=max(0, milliseconds(start)))
    return span if end is None else span._replace(until_ms=milliseconds(end) - 1)


def _cursor(pair: tuple[Place, DeadLetter]) -> str:
    return "-".join(map(str, pair[0]))


def _attributes(letter: DeadLetter, detail: str | UnsetType, kept_ms: int) -> DeadLetterAttributes:
    return DeadLetterAttributes(
        event_id=letter.event_id,
        event_name=letter.name,
        status=OUTCOME_OF[Code(letter.code)],
        reason=letter.reason,
        detail=detail,
        attempts=letter.attempts,
        received_at=moment(letter.received_ms),
        died_at=moment(letter.died_ms),
        replayable_until=moment(letter.died_ms + kept_ms),
    )
