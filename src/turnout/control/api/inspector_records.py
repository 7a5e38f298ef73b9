"""Records of what came in and what went out, as the API shows them (`config-api.md` C4)."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.access.integrations import Kind
from turnout.control.api import integrations
from turnout.control.api.documents import Identifier, Relationship, Resource, moment, moment_or_none
from turnout.control.api.masking import MASK, Hidden, masked_address, masked_addresses, masked_event
from turnout.control.api.operation import AnyCall
from turnout.control.inspector.incoming import Incoming
from turnout.control.inspector.outgoing import Outgoing
from turnout.model.attempt import Answer, Sent
from turnout.model.event import ROUTED

INCOMING, OUTGOING = "inspector/incoming", "inspector/outgoing"
_TO_CLIENTS = {"invalid_json": 400, "payload_too_large": 400}

Document = dict[str, object]
Shown = Annotated[
    Document | str | UnsetType | None, Meta(description="With `fields=full`. What may not be seen is `***`.")
]


class Why(msgspec.Struct, frozen=True):
    """A reason for a status."""

    code: str
    path: str
    message: str


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """How an event came."""

    endpoint: str
    batch_index: Annotated[int | None, Meta(description="Its place in a batch.")]
    http_status: int
    bytes: Annotated[int | None, Meta(description="Of the event; None where only an excerpt of it is kept.")]
    ip: Annotated[str | None, Meta(description="The client's address, shortened.")]


class IncomingAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """One event that came in."""

    event_id: str
    event_name: str
    status: str
    received_at: str
    event_timestamp: Annotated[str | None, Meta(description="When it happened, as the client says.")]
    environment: str | None
    reasons: list[Why]
    warnings: list[str]
    transport: Transport
    sampling: Annotated[str, Meta(description="Why it is here: `all`, `quota` or `test_code`.")]
    test_code: str | None
    derived_from: Annotated[str | None, Meta(description="Id of the event that a cleansing rule derived it from.")]
    deliveries: Annotated[dict[str, int], Meta(description="How many destinations, by outcome.")]
    normalized: Shown = UNSET
    raw: Shown = UNSET


class RequestShown(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str
    data: Annotated[object, Meta(description="The body, where it is JSON.")]


class ResponseShown(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status_code: int = msgspec.field(name="statusCode")
    headers: Mapping[str, str]
    body: str
    data: Annotated[object, Meta(description="The body, where it is JSON.")]


class OutgoingAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to deliver an event, or why there was none."""

    event_id: str
    event_name: str
    status: str
    reason: str | None
    detail: Annotated[str | UnsetType | None, Meta(description="With `fields=full`, for a person.")] = UNSET
    attempt: int
    max_attempts: Annotated[int | None, Meta(description="As configured now.")]
    attempted_at: str
    duration_ms: int
    next_attempt_at: str | None
    received_at: str
    dry_mode: bool
    replay_id: str | None
    environment: str | None
    sampling: str
    test_code: str | None
    request: RequestShown | UnsetType | None = UNSET
    response: ResponseShown | UnsetType | None = UNSET
    event: Shown = UNSET


class Looker(msgspec.Struct, frozen=True):
    """Who looks, and how closely."""

    call: AnyCall
    full: bool
    hidden: Hidden | None
    """What is hidden from them; None: they may see personal data."""
    numbers: integrations.Numbers

    @property
    def personal(self) -> bool:
        """Whether they see personal data."""
        return self.hidden is None


def incoming_id(seq: int) -> str:
    """The id of a record of what came in; sorted as they came."""
    return f"in_{seq:016d}"


def outgoing_id(seq: int) -> str:
    """The id of a record of what went out."""
    return f"out_{seq:016d}"


def seq_in(text: str, prefix: str) -> int | None:
    """The number in the id of a record, if it is one."""
    digits = text.removeprefix(prefix)
    return int(digits) if digits != text and digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def incoming_resource(one: Incoming, deliveries: Mapping[str, int], looker: Looker) -> Resource[IncomingAttributes]:
    """A record as this reader may see it."""
    site = looker.call.site
    name = incoming_id(one.seq)
    return Resource(
        type=INCOMING,
        id=name,
        attributes=_incoming(one, deliveries, looker),
        relationships={"source": _related(looker, "source", one.source)},
        links={"self": f"/v2/{site}/inspector/incoming/{name}", "trace": _trace_link(site, one.event_id)},
    )


def outgoing_resource(one: Outgoing, looker: Looker) -> Resource[OutgoingAttributes]:
    """A record as this reader may see it."""
    attempt, site = one.attempt, looker.call.site
    name = outgoing_id(one.seq)
    return Resource(
        type=OUTGOING,
        id=name,
        attributes=_outgoing(one, looker),
        relationships={
            "destination": _related(looker, "destination", attempt.destination),
            "source": _related(looker, "source", attempt.source),
            "incoming": Relationship(Identifier(INCOMING, incoming_id(attempt.offset))),
        },
        links={"self": f"/v2/{site}/inspector/outgoing/{name}", "trace": _trace_link(site, attempt.event_id)},
    )


def is_routed(one: Incoming) -> bool:
    """Whether it went on to destinations."""
    return one.status in ROUTED


def _incoming(one: Incoming, deliveries: Mapping[str, int], looker: Looker) -> IncomingAttributes:
    event = one.event
    code = one.reasons[0].code if one.reasons else ""
    excerpt = event is None and one.status == "rejected"
    came = one.raw or one.received or one.normalized
    return IncomingAttributes(
        event_id=one.event_id,
        event_name=one.name,
        status=one.status,
        received_at=moment(one.at_ms),
        event_timestamp=_happened(event),
        environment=one.environment or None,
        reasons=[Why(reason.code, reason.path, reason.message) for reason in one.reasons],
        warnings=list(one.warnings),
        transport=Transport(
            endpoint=one.endpoint,
            batch_index=one.batch_index if one.batch_index >= 0 else None,
            http_status=_TO_CLIENTS.get(code, 200) if one.status == "rejected" else 200,
            bytes=None if excerpt else len(came),
            ip=_address(event),
        ),
        sampling=one.sampling,
        test_code=one.test_code or None,
        derived_from=one.derived_from or None,
        deliveries=dict(deliveries),
        normalized=_normalized(one, event, looker.hidden) if looker.full else UNSET,
        raw=_raw(one, looker.personal) if looker.full else UNSET,
    )


def _normalized(one: Incoming, event: Document | None, hidden: Hidden | None) -> Document | str | None:
    """The event. Of what was refused the shape is not known, so all of it may be personal."""
    if one.status == "rejected":
        return None
    return masked_event(event, hidden) if event is not None else None


def _raw(one: Incoming, personal: bool) -> Document | str | None:
    """The event as it came; None where that is `normalized`."""
    came = one.raw or one.received or (one.normalized if one.status == "rejected" else b"")
    if not came:
        return None
    if not personal:
        return MASK
    document = one.came_as
    shown = masked_addresses(document) if document is not None else came.decode("utf-8", "replace")
    return shown if isinstance(shown, dict | str) else None


def _outgoing(one: Outgoing, looker: Looker) -> OutgoingAttributes:
    attempt, event = one.attempt, one.event
    destination = looker.call.world.snapshot().destinations.get(attempt.destination)
    full, personal = looker.full, looker.personal
    shown = masked_event(event, looker.hidden) if event is not None else None
    return OutgoingAttributes(
        event_id=attempt.event_id,
        event_name=attempt.name,
        status=attempt.outcome,
        reason=attempt.reason.replace(" ", "_") or None,
        detail=_guarded(attempt.detail, personal) if full else UNSET,
        attempt=attempt.attempt,
        max_attempts=destination.delivery.max_attempts if destination is not None else None,
        attempted_at=moment(attempt.at_ms),
        duration_ms=attempt.duration_ms,
        next_attempt_at=moment_or_none(attempt.next_attempt_ms),
        received_at=moment(attempt.received_ms),
        dry_mode=attempt.outcome == "dry_run",
        replay_id=attempt.replay_id or None,
        environment=one.environment or None,
        sampling=attempt.sampling,
        test_code=one.test_code or None,
        request=request_shown(attempt.request, personal) if full else UNSET,
        response=response_shown(attempt.response, personal) if full else UNSET,
        event=shown if full else UNSET,
    )


def request_shown(sent: Sent | None, personal: bool) -> RequestShown | None:
    """A request; its body is `***` unless `personal`."""
    if sent is None:
        return None
    body, data = _body(sent.body, personal)
    return RequestShown(method=sent.method, url=sent.url, headers=sent.headers, body=body, data=data)


def response_shown(answer: Answer | None, personal: bool) -> ResponseShown | None:
    """An answer; its body is `***` unless `personal`."""
    if answer is None:
        return None
    body, data = _body(answer.body, personal)
    return ResponseShown(status_code=answer.status, headers=answer.headers, body=body, data=data)


def _body(body: bytes, personal: bool) -> tuple[str, object]:
    """A body as text, with addresses shortened where it is JSON, and as the JSON that it is."""
    if not body:
        return "", None
    if not personal:
        return MASK, None
    try:
        data = masked_addresses(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace"), None
    return msgspec.json.encode(data).decode(), data


def _guarded(text: str, personal: bool) -> str | None:
    return None if not text else text if personal else MASK


def _related(looker: Looker, kind: Kind, ref: str) -> Relationship:
    known = looker.numbers.get((kind, ref))
    return Relationship(integrations.identifiers([known.id])[0] if known is not None else None)


def _trace_link(site: str, event_id: str) -> str:
    return f"/v2/{site}/inspector/events/{quote(event_id.encode('utf-8', 'replace'), safe='')}"


def _happened(event: Document | None) -> str | None:
    context = event.get("context") if event is not None else None
    value = context.get("event_timestamp") if isinstance(context, dict) else None
    try:
        return moment(int(value)) if isinstance(value, str | int) else None
    except (ValueError, OverflowError, OSError):
        return None


def _address(event: Document | None) -> str | None:
    context = event.get("context") if event is not None else None
    device = context.get("device") if isinstance(context, dict) else None
    ip = device.get("ip") if isinstance(device, dict) else None
    return masked_address(ip) if isinstance(ip, str) else None
