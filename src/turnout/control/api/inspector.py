"""The trace of one event (`config-api.md` C4)."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api import integrations
from turnout.control.api.documents import Nothing, Resource, Single, moment, moment_or_none
from turnout.control.api.inspector_query import PII, Question
from turnout.control.api.inspector_records import Why, incoming_id
from turnout.control.api.inspector_search import outgoing_records
from turnout.control.api.masking import MASK, Hidden, hidden_of, masked_event
from turnout.control.api.operation import Call, operation
from turnout.control.api.problems import not_found
from turnout.control.inspector.search import Sought
from turnout.control.inspector.segment import Span
from turnout.model.event import Reason
from turnout.receipts.trace import Fate, Shortfall, Trace, trace

_MOST_RECORDS = 500
_TROUBLED = ("pending", "rejected", "error")


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One arrival of the event."""

    id: Annotated[str | None, Meta(description="Its record in `/inspector/incoming`; None if none is kept.")]
    status: Annotated[str, Meta(description="What was decided about it; `waiting` until it is processed.")]
    event_name: str
    source_id: Annotated[int | None, Meta(description="None if no source is to be made out.")]
    received_at: str
    endpoint: str
    batch_index: Annotated[int | None, Meta(description="Its place in a batch.")]
    reasons: list[Why]
    warnings: list[str]
    event: Annotated[
        dict[str, object] | str | UnsetType | None,
        Meta(description="With `fields=full`. Personal data is `***` without the scope `inspector:pii`."),
    ] = UNSET
    raw: Annotated[
        str | UnsetType | None, Meta(description="With `fields=full`: as it came, where that is different.")
    ] = UNSET


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """The consent that was required when the event was stopped, and what the event gives."""

    required: list[str]
    mode: Literal["all", "any"]
    given: list[str]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an arrival at one destination that was to get it."""

    id: int | None
    label: str
    hit: Annotated[int, Meta(description="Which of `hits`, from 0.")]
    status: Annotated[str, Meta(description="`pending` also while the destination has not come to it.")]
    reason: str | None
    attempts: int
    next_attempt_at: str | None
    consent: Annotated[Consent | None, Meta(description="Only if that is why it was stopped.")]
    replays: Annotated[list[str], Meta(description="Ids of the replays that tried it again, as far as kept.")]
    detail: Annotated[
        str | UnsetType | None,
        Meta(description="With `fields=full`: what the partner answered; `***` without `inspector:pii`."),
    ] = UNSET


class TraceAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """The whole life of an event id."""

    hits: list[Hit]
    destinations: list[Outcome]


class TraceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How much."""

    fields: Annotated[
        Literal["summary", "full"], Meta(description="`full` adds the event itself and what partners answered.")
    ] = "summary"


@operation("GET", "/v2/{site}/inspector/events/{event_id}", scope="inspector:read", tag="Inspector")
def trace_event(call: Call[TraceQuery, Nothing]) -> Single[TraceAttributes]:
    """Everything that happened to an event: its arrivals, verdicts and reasons, its fate at each destination.

    Exact for every event of the replay window. IP addresses are always shortened. With `fields=full` and the scope
    `inspector:pii` personal data is shown, and the look is recorded.
    """
    event_id = call.path["event_id"]
    with call.world.events() as (log, store):
        traces = [one for one in trace(log, store, event_id) if one.source.partition("/")[0] == call.site]
    if not traces:
        days = call.world.settings.replay_days
        raise not_found(f"no event with this id is known: never received, or older than {days} days")
    full = call.query.fields == "full"
    personal = full and PII in call.token.scopes
    hidden = None if personal else hidden_of(call.world.snapshot(), call.site)
    if personal:
        call.record("inspector", "events.view", event_id, personal_data=True)
    numbers = integrations.numbers(call)
    fates = [fate for one in traces for fate in one.destinations]
    # Nobody replays what was delivered at once or was not to be sent: most traces need no search.
    replays = _replays(call, event_id) if any(fate.outcome in _TROUBLED or fate.attempts > 1 for fate in fates) else {}
    outcomes = [
        _outcome(fate, place, numbers, full, personal, replays.get(fate.destination, []))
        for place, one in enumerate(traces)
        for fate in one.destinations
    ]
    hits = [_hit(one, _record_id(call, one), numbers, full, hidden) for one in traces]
    attributes = TraceAttributes(hits=hits, destinations=outcomes)
    return Single(Resource(type="inspector/trace", id=event_id, attributes=attributes))


def _record_id(call: Call[TraceQuery, Nothing], one: Trace) -> str | None:
    """The id of the record of an arrival, if one is kept: its number is the offset."""
    if one.offset is None or call.world.inspector.incoming.get(one.offset) is None:
        return None
    return incoming_id(one.offset)


def _replays(call: Call[TraceQuery, Nothing], event_id: str) -> dict[str, list[str]]:
    """By destination: the replays that tried an event again, as far as the inspector has kept it."""
    sought = Sought(fields={"site": (call.site,), "event_id": (event_id,)})
    records = outgoing_records(call, Question(sought, Span(), personal=False))
    found: dict[str, list[str]] = {}
    for one in records.search(_MOST_RECORDS).items[::-1]:
        tried = found.setdefault(one.attempt.destination, [])
        if one.attempt.replay_id and one.attempt.replay_id not in tried:
            tried.append(one.attempt.replay_id)
    return found


def _hit(one: Trace, record_id: str | None, numbers: integrations.Numbers, full: bool, hidden: Hidden | None) -> Hit:
    known = numbers.get(("source", one.source))
    return Hit(
        id=record_id,
        status=one.status if one.processed else "waiting",
        event_name=one.event_name,
        source_id=known.id if known else None,
        received_at=moment(one.received_ms),
        endpoint=one.endpoint,
        batch_index=one.batch_index if one.batch_index >= 0 else None,
        reasons=[_why(reason) for reason in one.reasons],
        warnings=list(one.warnings),
        event=_event(one, hidden) if full else UNSET,
        raw=UNSET if not full else None if not one.raw else one.raw if hidden is None else MASK,
    )


def _event(one: Trace, hidden: Hidden | None) -> dict[str, object] | str | None:
    """The payload as its reader may see it. Without a known shape, nothing in it can be masked but all of it."""
    if not one.payload:
        return None
    decoded = msgspec.json.decode(one.payload) if isinstance(one.payload, msgspec.Raw) else one.payload
    if isinstance(decoded, dict) and one.status != "rejected":
        return masked_event(decoded, hidden)
    if hidden is not None:
        return MASK
    return decoded if isinstance(decoded, dict) else str(one.payload)


def _why(reason: Reason) -> Why:
    return Why(reason.code, reason.path, reason.message)


def _outcome(
    fate: Fate, hit: int, numbers: integrations.Numbers, full: bool, personal: bool, replays: list[str]
) -> Outcome:
    known = numbers.get(("destination", fate.destination))
    return Outcome(
        id=known.id if known else None,
        label=fate.destination.partition("/")[2],
        hit=hit,
        status="pending" if fate.outcome == "waiting" else fate.outcome,
        reason=fate.reason.replace(" ", "_") or None,
        attempts=fate.attempts,
        next_attempt_at=moment_or_none(fate.next_attempt_ms),
        consent=_consent(fate.consent) if fate.consent is not None else None,
        replays=replays,
        detail=UNSET if not full else None if not fate.detail else fate.detail if personal else MASK,
    )


def _consent(one: Shortfall) -> Consent:
    return Consent(required=list(one.required), mode=one.mode, given=list(one.given))
