"""The trace of one event (`config-api.md` C4)."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api import integrations
from turnout.control.api.documents import Nothing, Resource, Single, moment, moment_or_none
from turnout.control.api.masking import MASK, masked_event
from turnout.control.api.operation import Call, operation
from turnout.control.api.problems import not_found
from turnout.model.event import Reason
from turnout.receipts.trace import Fate, Trace, trace


class Why(msgspec.Struct, frozen=True):
    """A reason for a status."""

    code: str
    path: str
    message: str


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One arrival of the event."""

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


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an arrival at one destination that was to get it."""

    id: int | None
    label: str
    hit: Annotated[int, Meta(description="Which of `hits`, from 0.")]
    status: Annotated[str, Meta(description="`pending` also while the destination has not come to it.")]
    reason: str | None
    attempts: int
    next_attempt_at: str | None
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
    personal = full and "inspector:pii" in call.token.scopes
    if personal:
        call.record("inspector", "events.view", event_id, personal_data=True)
    numbers = integrations.numbers(call)
    outcomes = [
        _outcome(fate, place, numbers, full, personal) for place, one in enumerate(traces) for fate in one.destinations
    ]
    attributes = TraceAttributes(hits=[_hit(one, numbers, full, personal) for one in traces], destinations=outcomes)
    return Single(Resource(type="inspector/trace", id=event_id, attributes=attributes))


def _hit(one: Trace, numbers: integrations.Numbers, full: bool, personal: bool) -> Hit:
    known = numbers.get(("source", one.source))
    return Hit(
        status=one.status if one.processed else "waiting",
        event_name=one.event_name,
        source_id=known.id if known else None,
        received_at=moment(one.received_ms),
        endpoint=one.endpoint,
        batch_index=one.batch_index if one.batch_index >= 0 else None,
        reasons=[_why(reason) for reason in one.reasons],
        warnings=list(one.warnings),
        event=_event(one, personal) if full else UNSET,
        raw=UNSET if not full else None if not one.raw else one.raw if personal else MASK,
    )


def _event(one: Trace, personal: bool) -> dict[str, object] | str | None:
    """The payload as its reader may see it. Without a known shape, nothing in it can be masked but all of it."""
    if not one.payload:
        return None
    decoded = msgspec.json.decode(one.payload) if isinstance(one.payload, msgspec.Raw) else one.payload
    if isinstance(decoded, dict) and one.status != "rejected":
        return masked_event(decoded, personal)
    if not personal:
        return MASK
    return decoded if isinstance(decoded, dict) else str(one.payload)


def _why(reason: Reason) -> Why:
    return Why(reason.code, reason.path, reason.message)


def _outcome(fate: Fate, hit: int, numbers: integrations.Numbers, full: bool, personal: bool) -> Outcome:
    known = numbers.get(("destination", fate.destination))
    return Outcome(
        id=known.id if known else None,
        label=fate.destination.partition("/")[2],
        hit=hit,
        status="pending" if fate.outcome == "waiting" else fate.outcome,
        reason=fate.reason.replace(" ", "_") or None,
        attempts=fate.attempts,
        next_attempt_at=moment_or_none(fate.next_attempt_ms),
        detail=UNSET if not full else None if not fate.detail else fate.detail if personal else MASK,
    )
