"""An event through the whole pipeline, with every state on its way, before anything is saved (`processing.md` §1).

It is decided by the code that collects, processes and translates. Nothing is kept or sent, and data stores are not
read.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api import integrations
from turnout.control.api.documents import New, Nothing, Resource, Single
from turnout.control.api.drafts import Draft, drafted
from turnout.control.api.inspector_records import RequestShown, Why, request_shown
from turnout.control.api.masking import masked_addresses
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.problems import ApiError, Fault, Place, not_found
from turnout.model.attempt import Sent
from turnout.model.config import Snapshot, Source
from turnout.model.event import Reason, Received
from turnout.model.trial import ABSENT, State, Trial, Verdict, differences
from turnout.receipts.trace import received

_PII = "inspector:pii"
_MOST = 50
_AT = "/data/attributes"

Event = dict[str, object]


class TryEvent(Draft, frozen=True, kw_only=True):
    """Which event, from which source, and with which configuration."""

    payload: Annotated[
        Event | UnsetType,
        Meta(
            description=f"As a client sends it: an event, or `batch` with several, {_MOST} at most.",
            examples=[{"event_name": "purchase", "value": 59.9, "user": {}}],
        ),
    ] = UNSET
    event_id: Annotated[
        str | UnsetType,
        Meta(description="Instead: of an event that is still kept, as it was received; needs `inspector:pii`."),
    ] = UNSET
    source: Annotated[
        int | str | UnsetType,
        Meta(description="Number or name of the source that sends it. Default: that of the event, or the first one."),
    ] = UNSET


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One value that a step changed."""

    path: str
    change: Literal["added", "changed", "removed"]
    before: Annotated[object, Meta(description="Null also where there was nothing.")]
    after: Annotated[object, Meta(description="Null also where nothing is left.")]


class StepShown(msgspec.Struct, frozen=True, kw_only=True):
    """An event after one step."""

    step: Annotated[
        str, Meta(description="`cleanse`, `normalise`, `cleanse_after_enrichment` or `check`.", examples=["cleanse"])
    ]
    rule: Annotated[str | None, Meta(description="Label of the cleansing rule; the other steps have none.")]
    applied: Annotated[bool, Meta(description="Whether the rule's condition held.")]
    status: Annotated[str, Meta(description="Of the event, from here on.")]
    reasons: Annotated[list[Why], Meta(description="That this step found.")]
    warnings: Annotated[list[str], Meta(description="That this step gave.")]
    changes: list[Difference]
    event: Annotated[object, Meta(description="As the step left it; null if it is as before.")]


class ConsentShown(msgspec.Struct, frozen=True, kw_only=True):
    """Categories that a destination requires, and those that the event gives."""

    required: list[str]
    mode: str
    given: list[str]


class FateShown(msgspec.Struct, frozen=True, kw_only=True):
    """What a destination would do with an event."""

    id: Annotated[int | None, Meta(description="Null if only the draft has it.")]
    name: str
    linked: Annotated[bool, Meta(description="Whether it gets events from this source.")]
    outcome: Annotated[
        str, Meta(description="`send`, `dry_run`, `not_offered`, `filtered` or `rejected`.", examples=["send"])
    ]
    reason: str | None
    detail: Annotated[str, Meta(description="The same for a person.")]
    consent: Annotated[ConsentShown | None, Meta(description="Null if it requires none.")]
    filter: Annotated[str | None, Meta(description="The formula that must hold.")]
    event: Annotated[object, Meta(description="What its mapping makes of the event; null if it has none.")]
    request: Annotated[RequestShown | None, Meta(description="Secrets are masked. Null if it is not sent over HTTP.")]
    body: Annotated[object, Meta(description="What would be sent, where it is JSON; null if nothing would.")]


class TrialShown(msgspec.Struct, frozen=True, kw_only=True):
    """One event, with every state. Those that rules derive from it follow it."""

    event_id: str
    event_name: str
    derived_from: str | None
    received: Annotated[object, Meta(description="As it was taken; null if it was refused.")]
    steps: list[StepShown]
    status: Annotated[str, Meta(description="In the end.")]
    reasons: list[Why]
    warnings: list[str]
    event: Annotated[object, Meta(description="As destinations get it; null if none does.")]
    destinations: list[FateShown]


class TryEventAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a payload."""

    http_status: Annotated[int, Meta(description="Of the collector's answer.")]
    source: Annotated[str, Meta(description="Name of the source.")]
    hits: Annotated[dict[str, int], Meta(description="By label of a cleansing rule: how many events it applied to.")]
    events: list[TrialShown]
    configuration_warnings: Annotated[list[str], Meta(description="What works in a draft but is probably a mistake.")]


@operation("POST", "/v2/{site}/try/event", scope="inspector:read", tag="Trying")
def try_event(call: Call[Nothing, New[TryEvent]]) -> Single[TryEventAttributes]:
    """Show what would become of an event: after every rule and check, and at every destination.

    It needs `destinations:read` too, since it shows what would be sent. `configuration` is a whole `turnout.yaml`, for
    who may apply one; `draft` replaces parts of the one that is applied, for who may change destinations. Both are
    refused with all that is wrong in them. Data stores are not read, and rates and ids that were seen before play no
    part. Addresses of people are always shortened.
    """
    call.require("destinations:read")
    wanted = call.body.data.attributes
    snapshot = drafted(call, wanted)
    body, kept, now_ms = _payload(call, wanted)
    source = _source(call, snapshot, wanted, kept)
    status, trials = call.world.attempt(snapshot, source, body, now_ms)
    attributes = TryEventAttributes(
        http_status=status,
        source=source.name,
        hits=_hits(snapshot, source, trials),
        events=[_event(call, one) for one in trials],
        configuration_warnings=[str(one) for one in snapshot.warnings] if wanted.is_draft else [],
    )
    return Single(Resource(type="try/event", id=None, attributes=attributes))


def _payload(call: AnyCall, wanted: TryEvent) -> tuple[bytes, Received | None, int]:
    """What to try, the record it is from, and the time at which it comes in."""
    if (wanted.payload is UNSET) == (wanted.event_id is UNSET):
        raise _wrong("", "give either payload or event_id", "MISSING_REQUIRED_PROPERTY")
    if wanted.event_id is UNSET:
        assert wanted.payload is not UNSET
        batch = wanted.payload.get("batch")
        if isinstance(batch, list) and len(batch) > _MOST:
            raise _wrong("/payload/batch", f"has more than {_MOST} events")
        return msgspec.json.encode(wanted.payload), None, call.now_ms
    kept = _kept(call, wanted.event_id)
    return kept.payload, kept, kept.received_ms


def _kept(call: AnyCall, event_id: str) -> Received:
    """The last event with this id, as it was received. Whoever looks at it is written down."""
    call.require(_PII)
    call.record("inspector", "events.view", event_id, personal_data=True)
    with call.world.events() as (log, store):
        found = [one for one in received(log, store, event_id) if one.source.partition("/")[0] == call.site]
    if not found or not found[-1].payload:
        raise not_found("no event with this id was received, or it is not kept any more")
    return found[-1]


def _source(call: AnyCall, snapshot: Snapshot, wanted: TryEvent, kept: Received | None) -> Source:
    """The source that is asked for, else that of the event, else the site's first one."""
    ours = {one.name: one for one in snapshot.sources.values() if one.site == call.site}
    asked = wanted.source
    if asked is UNSET:
        name = kept.source.partition("/")[2] if kept is not None else next(iter(ours), "")
    else:
        numbers = integrations.numbers(call)
        known = {one.id: ref for (kind, ref), one in numbers.items() if kind == "source"}
        name = asked if isinstance(asked, str) else known.get(asked, "").removeprefix(f"{call.site}/")
    if name not in ours:
        raise _wrong("/source", f"there is no such source; there are {', '.join(ours) or 'none'}")
    return ours[name]


def _wrong(where: str, detail: str, code: str = "INVALID_PROPERTY_FORMAT") -> ApiError:
    return ApiError(422, [Fault(code, detail, Place(pointer=f"{_AT}{where}"))])


def _hits(snapshot: Snapshot, source: Source, trials: Sequence[Trial]) -> dict[str, int]:
    """Of every rule that concerns the source, those without any too."""
    counts = Counter(state.rule for one in trials for state in one.states if state.rule and state.applied)
    rules = [one.label for one in snapshot.cleansing if source.ref in one.sources and one.status == "active"]
    return {label: counts[label] for label in rules}


def _event(call: AnyCall, one: Trial) -> TrialShown:
    return TrialShown(
        event_id=one.event_id,
        event_name=one.event_name,
        derived_from=one.derived_from or None,
        received=masked_addresses(one.received),
        steps=list(_steps(one.received, one.states)),
        status=one.status,
        reasons=_named(one.reasons),
        warnings=one.warnings,
        event=masked_addresses(one.event),
        destinations=[_fate(call, one, verdict) for verdict in one.destinations],
    )


def _steps(received: Event | None, states: Sequence[State]) -> Iterator[StepShown]:
    before = masked_addresses(received)
    for state in states:
        after = masked_addresses(state.event)
        yield StepShown(
            step=state.step,
            rule=state.rule or None,
            applied=state.applied,
            status=state.status,
            reasons=_named(state.reasons),
            warnings=state.warnings,
            changes=[_difference(*one) for one in differences(before, after)] if state.event is not None else [],
            event=after,
        )
        before = after if state.event is not None else before


def _difference(path: str, before: object, after: object) -> Difference:
    return Difference(
        path=path,
        change="added" if before is ABSENT else "removed" if after is ABSENT else "changed",
        before=None if before is ABSENT else before,
        after=None if after is ABSENT else after,
    )


def _named(reasons: Sequence[Reason]) -> list[Why]:
    return [Why(one.code, one.path, one.message) for one in reasons]


def _fate(call: AnyCall, one: Trial, verdict: Verdict) -> FateShown:
    known = integrations.numbers(call).get(("destination", verdict.destination))
    mapped = masked_addresses(verdict.event)
    request = None
    if (sent := verdict.request) is not None:
        request = request_shown(Sent(sent.method, sent.url, sent.headers, sent.body.encode()), personal=True)
    goes = verdict.outcome in ("send", "dry_run")
    return FateShown(
        id=known.id if known is not None else None,
        name=verdict.destination.partition("/")[2],
        linked=verdict.linked,
        outcome=verdict.outcome,
        reason=verdict.reason or None,
        detail=verdict.detail,
        consent=ConsentShown(required=verdict.required, mode=verdict.mode, given=verdict.given)
        if verdict.required
        else None,
        filter=verdict.filter or None,
        event=mapped,
        request=request,
        body=request.data if request is not None else None if not goes else mapped or masked_addresses(one.event),
    )
