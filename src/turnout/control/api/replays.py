"""Replays (`config-api.md` C6): sending again what was not delivered, at a rate, with its progress."""

from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api import integrations, problems
from turnout.control.api.documents import (
    Listing,
    New,
    Nothing,
    Relationship,
    Resource,
    Single,
    moment,
    moment_or_none,
)
from turnout.control.api.inspector_records import seq_in
from turnout.control.api.masking import hidden_of
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import Numbered, When, milliseconds, numbered
from turnout.control.api.problems import ApiError, Fault, failure, not_found
from turnout.control.delivery.issues import issue_id
from turnout.control.inspector import outgoing
from turnout.control.inspector.conditions import Condition, ConditionError, Operator, predicate
from turnout.control.replay.jobs import Counts, Item, Replay
from turnout.model.outcome import Code
from turnout.receipts import figures
from turnout.receipts.records import DeadLetter
from turnout.receipts.selection import Choice, chosen, count_delivered
from turnout.receipts.store import Store
from turnout.receipts.tally import MINUTE

_CODES = {"error": Code.ERROR, "rejected": Code.REJECTED}
_ITEMS = 10_000
_Status = Literal["error", "rejected"]
_Words = Annotated[tuple[str, ...], Meta(max_length=1_000)]
Rate = Annotated[int, Meta(ge=1, le=10_000, description="How many events a second, at most.", examples=[50])]


class PropertyCondition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on a property of the event, as in the inspector's searches."""

    path: Annotated[str, Meta(min_length=1, examples=["user.id"])]
    op: Annotated[Operator, Meta(description="How to compare.")] = "eq"
    values: Annotated[tuple[str, ...], Meta(min_length=1, description="One of these must fit.")]


class ReplaySelector(msgspec.Struct, frozen=True, kw_only=True):
    """What to send again: all conditions must hold. A period, event ids or an issue is needed."""

    destinations: Annotated[tuple[int, ...], Meta(min_length=1, max_length=100, description="Their ids.")]
    start: Annotated[When, Meta(description="Received then or later.")] | None = None
    end: Annotated[When, Meta(description="Received before.")] | None = None
    statuses: Annotated[tuple[_Status, ...], Meta(min_length=1, description="What became of it.")] = (
        "error",
        "rejected",
    )
    reasons: Annotated[_Words, Meta(description="Only for these reasons.", examples=[["502_bad_gateway"]])] = ()
    event_names: Annotated[_Words, Meta(description="Only these events.")] = ()
    sources: Annotated[tuple[int, ...], Meta(max_length=1_000, description="Only of these sources.")] = ()
    event_ids: Annotated[_Words, Meta(description="Only these.")] = ()
    issue_id: Annotated[str, Meta(description="Only what belongs to this issue.")] | None = None
    property: Annotated[tuple[PropertyCondition, ...], Meta(max_length=10, description="On the event.")] = ()
    limit: Annotated[int, Meta(ge=1, le=100_000, description="How many at most, the oldest first.")] = _ITEMS
    rate_per_second: Rate = 50


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How many events of the replay are where. `expired`: they were forgotten before their turn."""

    delivered: int
    rejected: int
    error: int
    filtered: int
    pending: int
    cancelled: int
    dry_run: int
    expired: int


class ReplayJobAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A replay. `expired` ones are matched, but their content is not kept any more."""

    dry_run: bool
    state: Annotated[Literal["running", "paused", "completed", "cancelled"] | None, Meta(description="How far it is.")]
    matched: int
    replayable: int
    expired: int
    skipped_delivered: int
    progress: Progress | UnsetType = UNSET
    rate_per_second: int
    trouble: Annotated[str | None, Meta(description="What it waits for.")]
    created: str | None
    finished: str | None


class ReplayItemAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a replay at one destination."""

    event_id: str
    status: Annotated[str, Meta(description="`queued`, `pending`, or what became of it.")]
    died_at: Annotated[str, Meta(description="When it was given up or refused before.")]


class DryRunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to do it."""

    dry_run: Annotated[bool, Meta(description="Only count.")] = False


class ItemsQuery(Numbered, frozen=True, kw_only=True):
    """Which items."""

    status: Annotated[tuple[str, ...], Meta(description="Only these.", examples=["error"])] = msgspec.field(
        default=(), name="filter[status]"
    )


class ReplayChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; what is left out stays."""

    state: Annotated[Literal["running", "paused", "cancelled"], Meta(description="`cancelled` is for good.")] | None = (
        None
    )
    rate_per_second: Rate | None = None


@operation("POST", "/v2/{site}/replays", scope="replay:write", tag="Replays", status=202)
def create_replay(call: Call[DryRunQuery, New[ReplaySelector]]) -> Single[ReplayJobAttributes]:
    """Send undelivered events again, with their destinations as they are configured now.

    What was delivered is not sent again, and nobody who was erased comes back. One replay per destination at a time;
    it gives way to live events. `event_id` and times are those of the event, so that partners know what they have.
    """
    wanted = call.body.data.attributes
    if not (wanted.start and wanted.end) and not wanted.event_ids and wanted.issue_id is None:
        where = problems.Place(pointer="/data/attributes")
        raise ApiError(422, [Fault("MISSING_REQUIRED_PROPERTY", "give start and end, event_ids or issue_id", where)])
    refs = [_destination(call, number) for number in wanted.destinations]
    with call.world.receipts() as store:
        known = store.destinations()
        found: list[Item] = []
        expired = skipped = 0
        for number, ref in zip(wanted.destinations, refs, strict=True):
            destination = known[ref][0] if ref in known else -1
            choice = _choice(call, wanted, number)
            found += [
                Item(destination, one.offset, one.event_id, one.died_ms) for one in chosen(store, destination, choice)
            ]
            expired += _expired(store, destination, choice, wanted)
            skipped += count_delivered(store, destination, wanted.event_ids) if wanted.event_ids else 0
    found = sorted(found, key=lambda item: item.died_ms)[: wanted.limit]
    counts = Counts(matched=len(found) + expired, replayable=len(found), expired=expired, skipped_delivered=skipped)
    if call.query.dry_run:
        return Single(_counted(counts, wanted.rate_per_second))
    return Single(_resource(call.site, _added(call, refs, wanted.rate_per_second, counts, found)))


@operation("POST", "/v2/{site}/inspector/outgoing/{hit_id}/replay", scope="replay:write", tag="Replays", status=202)
def replay_attempt(call: Call[Nothing, Nothing]) -> Single[ReplayJobAttributes]:
    """Send the event of one attempt again, if it was not delivered in the end."""
    seq = seq_in(call.path["hit_id"], "out_")
    row = call.world.inspector.outgoing.get(seq) if seq is not None else None
    attempt = outgoing.decode(row.document).attempt if row is not None else None
    if attempt is None or attempt.destination.partition("/")[0] != call.site:
        raise not_found("there is no such record: never kept, or older than the retention")
    _check_destination(call, attempt.destination)
    with call.world.receipts() as store:
        destination = store.destinations().get(attempt.destination, (-1, 0))[0]
        choice = Choice(event_ids=frozenset((attempt.event_id,)))
        letters = [one for one in chosen(store, destination, choice) if one.offset == attempt.offset]
        if not letters and count_delivered(store, destination, (attempt.event_id,)):
            raise failure(409, "CONFLICT", "the event was delivered")
    if not letters:
        raise failure(410, "PAYLOAD_EXPIRED", "the event is not among the dead letters: pending, expired or erased")
    items = [Item(destination, one.offset, one.event_id, one.died_ms) for one in letters]
    counts = Counts(matched=1, replayable=1, expired=0, skipped_delivered=0)
    return Single(_resource(call.site, _added(call, [attempt.destination], 50, counts, items)))


@operation("GET", "/v2/{site}/replays", scope="replay:read", tag="Replays")
def list_replays(call: Call[Numbered, Nothing]) -> Listing[ReplayJobAttributes]:
    """The replays of the last month, the newest first."""
    found = [_resource(call.site, one) for one in call.world.replays.of_site(call.site)]
    return numbered(found, call.query, call.url)


@operation("GET", "/v2/{site}/replays/{replay_id}", scope="replay:read", tag="Replays")
def get_replay(call: Call[Nothing, Nothing]) -> Single[ReplayJobAttributes]:
    """One replay and how far it is."""
    return Single(_resource(call.site, _one(call)))


@operation("PATCH", "/v2/{site}/replays/{replay_id}", scope="replay:write", tag="Replays")
def change_replay(call: Call[Nothing, New[ReplayChange]]) -> Single[ReplayJobAttributes]:
    """Pause it, let it go on, cancel it, or change its rate. What is under way already goes on."""
    one, change = _one(call), call.body.data.attributes
    if one.state in ("completed", "cancelled"):
        raise failure(409, "CONFLICT", f"the replay is {one.state}")
    given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not None}
    call.record("replay", "replays.change", one.id, **given)
    if change.rate_per_second is not None:
        call.world.replays.change(one.id, rate_per_second=change.rate_per_second)
    if change.state == "cancelled":
        call.world.replays.cancel(one.id)
    elif change.state is not None:
        call.world.replays.change(one.id, state=change.state)
    return Single(_resource(call.site, _one(call)))


@operation("GET", "/v2/{site}/replays/{replay_id}/items", scope="replay:read", tag="Replays")
def list_replay_items(call: Call[ItemsQuery, Nothing]) -> Listing[ReplayItemAttributes]:
    """The events of a replay and what became of each, those that died first."""
    one = _one(call)
    with call.world.receipts() as store:
        refs = {known.id: known.ref for known in store.registered()}
    numbers = integrations.numbers(call)

    def resource(item: Item) -> Resource[ReplayItemAttributes]:
        known = numbers.get(("destination", refs.get(item.destination, "")))
        return Resource(
            type="replays/items",
            id=f"{item.destination}-{item.offset}",
            attributes=ReplayItemAttributes(event_id=item.event_id, status=item.status, died_at=moment(item.died_ms)),
            relationships={"destination": Relationship(integrations.identifiers([known.id])[0] if known else None)},
        )

    found = call.world.replays.items(one.id, call.query.status, 100_000)
    return numbered([resource(item) for item in found], call.query, call.url)


def _one(call: AnyCall) -> Replay:
    found = call.world.replays.find(call.site, call.path["replay_id"])
    if found is None:
        raise not_found("there is no replay with this id")
    return found


def _destination(call: AnyCall, number: int) -> str:
    """The reference of a destination that can be sent to. Raises `ApiError`."""
    ref = integrations.destination_ref(call, number)
    if ref is None or ref not in call.world.snapshot().destinations:
        where = problems.Place(pointer="/data/attributes/destinations")
        raise ApiError(422, [Fault("INVALID_PROPERTY_FORMAT", f"there is no destination {number}", where)])
    _check_destination(call, ref)
    return ref


def _check_destination(call: AnyCall, ref: str) -> None:
    configured = call.world.snapshot().destinations.get(ref)
    if configured is None or configured.status != "active" or configured.dry_mode:
        raise failure(409, "CONFLICT", f"{ref} is inactive or in dry mode: nothing would arrive")


def _choice(call: AnyCall, wanted: ReplaySelector, number: int) -> Choice:
    names = {one.id: ref for (kind, ref), one in integrations.numbers(call).items() if kind == "source"}
    return Choice(
        since_ms=milliseconds(wanted.start) if wanted.start else 0,
        until_ms=milliseconds(wanted.end) if wanted.end else 1 << 62,
        codes=frozenset(_CODES[status] for status in wanted.statuses),
        reasons=frozenset(wanted.reasons),
        names=frozenset(wanted.event_names),
        sources=frozenset(names.get(source, f"{source}") for source in wanted.sources),
        event_ids=frozenset(wanted.event_ids),
        accepts=_look(call, wanted, number),
    )


def _look(call: AnyCall, wanted: ReplaySelector, number: int) -> Callable[[DeadLetter], bool] | None:
    """The conditions that need more than a comparison.

    Raises `ApiError` 422, and 403 for one on personal data without the right to see it: how many match tells of it.
    """
    hidden = hidden_of(call.world.snapshot(), call.site)
    if any(hidden.covers(one.path) for one in wanted.property):
        call.require("inspector:pii")
    tests = []
    for index, one in enumerate(wanted.property):
        try:
            tests.append(predicate(Condition(one.path, one.op, one.values)))
        except ConditionError as error:
            where = problems.Place(pointer=f"/data/attributes/property/{index}")
            raise ApiError(422, [Fault("INVALID_PROPERTY_FORMAT", str(error), where)]) from error
    issue = wanted.issue_id
    if not tests and issue is None:
        return None

    def accepts(letter: DeadLetter) -> bool:
        if issue is not None and issue_id(number, Code(letter.code), letter.reason) != issue:
            return False
        document = msgspec.json.decode(letter.payload) if tests else None
        return all(test(document) for test in tests)

    return accepts


def _expired(store: Store, destination: int, choice: Choice, wanted: ReplaySelector) -> int:
    """How many more the figures know than there are dead letters. They know no single events."""
    if choice.accepts is not None or choice.event_ids or not (wanted.start and wanted.end):
        return 0
    since, until = -(-choice.since_ms // MINUTE) * MINUTE, choice.until_ms
    known = sum(
        one.n
        for one in figures.delivered(store, since, until, MINUTE, [destination])
        if one.code in choice.codes
        and (not choice.reasons or one.reason in choice.reasons)
        and (not choice.names or one.name in choice.names)
        and (not choice.sources or one.source in choice.sources)
    )
    whole = msgspec.structs.replace(choice, since_ms=since, until_ms=-(-until // MINUTE) * MINUTE)
    return max(0, known - sum(1 for _ in chosen(store, destination, whole)))


def _added(call: AnyCall, refs: Iterable[str], rate: int, counts: Counts, items: list[Item]) -> Replay:
    refs = list(dict.fromkeys(refs))
    call.record("replay", "replays.create", "", destinations=refs, **msgspec.structs.asdict(counts))
    added = call.world.replays.add(call.site, refs, rate, counts, items, call.now_ms)
    if isinstance(added, str):
        raise failure(409, "REPLAY_RUNNING", f"{added} is under way for one of these destinations", replay=added)
    return added


def _counted(counts: Counts, rate: int) -> Resource[ReplayJobAttributes]:
    attributes = ReplayJobAttributes(
        dry_run=True,
        state=None,
        matched=counts.matched,
        replayable=counts.replayable,
        expired=counts.expired,
        skipped_delivered=counts.skipped_delivered,
        rate_per_second=rate,
        trouble=None,
        created=None,
        finished=None,
    )
    return Resource(type="replays", id=None, attributes=attributes)


def _resource(site: str, one: Replay) -> Resource[ReplayJobAttributes]:
    progress = {name: one.progress.get(name, 0) for name in Progress.__struct_fields__}
    progress["pending"] += one.progress.get("queued", 0)
    return Resource(
        type="replays",
        id=one.id,
        attributes=ReplayJobAttributes(
            dry_run=False,
            state=one.state,
            matched=one.counts.matched,
            replayable=one.counts.replayable,
            expired=one.counts.expired,
            skipped_delivered=one.counts.skipped_delivered,
            progress=Progress(**progress),
            rate_per_second=one.rate_per_second,
            trouble=one.trouble or None,
            created=moment(one.created_ms),
            finished=moment_or_none(one.finished_ms),
        ),
        links={"self": f"/v2/{site}/replays/{one.id}"},
    )
