"""What a destination would do with an event, and whether its partner takes one (`config-api.md` C2).

The event is one as destinations get them: after cleansing and checks. Whether a destination is active, in dry mode or
linked to the event's source plays no part, so that it can be tried before it is switched on.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, structs

from turnout.control.api import integrations
from turnout.control.api.documents import New, Nothing, Resource, Single
from turnout.control.api.inspector_records import RequestShown, ResponseShown, request_shown, response_shown
from turnout.control.api.masking import masked_event
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.problems import ApiError, Fault, Place, not_found
from turnout.destinations.secrets import Secrets
from turnout.model.attempt import Sent
from turnout.model.clock import now_ms
from turnout.model.config import Destination
from turnout.model.event import ROUTED, Processed
from turnout.model.trial import Verdict
from turnout.receipts.trace import trace

_PII = "inspector:pii"
_EVENT_ID = "given"
"""Of an event that has none."""
_SOURCE = "given"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """Which event: one of both."""

    event: Annotated[
        dict[str, object] | UnsetType,
        Meta(description="As destinations get it.", examples=[{"event_name": "purchase", "value": 59.9}]),
    ] = UNSET
    event_id: Annotated[
        str | UnsetType, Meta(description="Of an event that is still kept; needs the scope `inspector:pii`.")
    ] = UNSET


class PreviewAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """What a destination would do with an event."""

    would_send: bool
    reason: Annotated[str | None, Meta(description="Why not, as in the inspector.")]
    detail: Annotated[str, Meta(description="The same for a person.")]
    event: Annotated[object, Meta(description="What its mapping makes of the event; null if it has none.")]
    body: Annotated[object, Meta(description="What would be sent, where it is JSON.")]
    request: Annotated[RequestShown | None, Meta(description="Secrets are masked. Null if it is not sent over HTTP.")]


class TrialAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test."""

    mode: Literal["dry", "live"]
    outcome: Annotated[str, Meta(description="`delivered`, `filtered`, `rejected`, `error`, or `dry_run`.")]
    reason: str | None
    detail: str
    retryable: Annotated[bool, Meta(description="Whether a later attempt may succeed.")]
    duration_ms: int
    request: RequestShown | None
    response: ResponseShown | None


class TrialQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How."""

    mode: Annotated[Literal["dry", "live"], Meta(description="`live` really sends the event, once.")] = "dry"


@operation("POST", "/v2/{site}/destinations/{id}/preview", scope="destinations:read", tag="Destinations")
def preview_event(call: Call[Nothing, New[Given]]) -> Single[PreviewAttributes]:
    """Say what a destination would make of an event: whether it passes, what the mapping makes of it, the request.

    Nothing is sent or kept.
    """
    destination, event = _tried(call), _event(call, call.body.data.attributes)
    found = call.world.preview(destination, event, call.now_ms)
    request = _request(found)
    shown = masked_event(found.event, None) if isinstance(found.event, dict) else None
    attributes = PreviewAttributes(
        would_send=found.outcome == "send",
        reason=found.reason or None,
        detail=found.detail,
        event=shown,
        body=_body(found, event) if request is None else request.data,
        request=request,
    )
    return Single(Resource(type="destinations/preview", id=None, attributes=attributes))


@operation("POST", "/v2/{site}/destinations/{id}/test", scope="destinations:write", tag="Destinations")
def test_event(call: Call[TrialQuery, New[Given]]) -> Single[TrialAttributes]:
    """Run one event through a destination and give the request, the answer and what it means.

    With `mode=live` the event is really sent, once, beside all that is delivered: nothing of it is counted or tried
    again. What would not be sent in earnest is not sent here either.
    """
    destination, event = _tried(call), _event(call, call.body.data.attributes)
    mode = call.query.mode
    call.record("destinations", "destinations.test", call.path["id"], mode=mode)
    found = call.world.preview(destination, event, call.now_ms)
    attributes = TrialAttributes(
        mode=mode,
        outcome="dry_run" if found.outcome == "send" else found.outcome,
        reason=found.reason or None,
        detail=found.detail,
        retryable=False,
        duration_ms=0,
        request=_request(found),
        response=None,
    )
    if mode == "live" and found.outcome == "send":
        attributes = _sent(call, destination, event, attributes)
    return Single(Resource(type="destinations/test", id=None, attributes=attributes))


def _sent(call: AnyCall, destination: Destination, event: Processed, dry: TrialAttributes) -> TrialAttributes:
    began_ms = now_ms()
    result = call.world.send(destination, event)
    exchange = None if result.exchange is None else Secrets(destination.settings).masked(result.exchange)
    return structs.replace(
        dry,
        outcome="error" if result.kind == "retry" else result.kind,
        reason=result.reason or None,
        detail=result.detail,
        retryable=result.kind == "retry",
        duration_ms=now_ms() - began_ms,
        request=None if exchange is None else request_shown(exchange.request, personal=True),
        response=None if exchange is None else response_shown(exchange.response, personal=True),
    )


def _tried(call: AnyCall) -> Destination:
    """The destination that is asked for, as if it were switched on and got what it is given."""
    numbers = integrations.numbers(call)
    for one in call.world.snapshot().destinations.values():
        if one.site == call.site and str(numbers["destination", one.ref].id) == call.path["id"]:
            return structs.replace(one, status="active", dry_mode=False, sources=frozenset((_SOURCE,)))
    raise not_found("there is no destination with this id")


def _event(call: AnyCall, given: Given) -> Processed:
    """The event to try, from a source that the destination is linked to."""
    if (given.event is UNSET) == (given.event_id is UNSET):
        place = Place(pointer="/data/attributes")
        raise ApiError(422, [Fault("MISSING_REQUIRED_PROPERTY", "give either event or event_id", place)])
    event = given.event if given.event is not UNSET else _kept(call, str(given.event_id))
    context = event.get("context")
    event_id = context.get("event_id") if isinstance(context, dict) else None
    name = event.get("event_name")
    return Processed(
        event_id if isinstance(event_id, str) and event_id else _EVENT_ID,
        _SOURCE,
        name if isinstance(name, str) else "",
        "valid",
        call.now_ms,
        0,
        msgspec.json.encode(event),
    )


def _kept(call: AnyCall, event_id: str) -> dict[str, object]:
    """An event as it was processed. Whoever looks at it is written down."""
    call.require(_PII)
    call.record("inspector", "events.view", event_id, personal_data=True)
    with call.world.events() as (log, store):
        traces = [one for one in trace(log, store, event_id) if one.source.partition("/")[0] == call.site]
    for one in reversed(traces):
        if one.processed and one.status in ROUTED and isinstance(one.payload, msgspec.Raw):
            return msgspec.json.decode(one.payload, type=dict[str, object])
    raise not_found("no event with this id was processed for destinations, or it is not kept any more")


def _body(found: Verdict, event: Processed) -> object:
    """What a destination that is not asked over HTTP would be given."""
    if found.outcome != "send":
        return None
    given = found.event if isinstance(found.event, dict) else msgspec.json.decode(event.payload)
    return masked_event(given, None)


def _request(found: Verdict) -> RequestShown | None:
    if found.request is None:
        return None
    one = found.request
    return request_shown(Sent(one.method, one.url, one.headers, one.body.encode()), personal=True)
