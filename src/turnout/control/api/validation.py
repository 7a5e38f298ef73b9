"""What would become of a payload, without sending it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from turnout.control.api import integrations
from turnout.control.api.documents import New, Nothing, Resource, Single
from turnout.control.api.inspector_records import Why
from turnout.control.api.operation import Call, operation
from turnout.control.api.problems import ApiError, Fault, Place
from turnout.model.config import Destination, Snapshot, Source
from turnout.model.event import Processed
from turnout.model.outcome import REASON_OF, Code
from turnout.route.gate import Gate
from turnout.route.plan import offered


class Validated(msgspec.Struct, frozen=True, kw_only=True):
    """Which payload, from which source."""

    source: Annotated[int, Meta(description="Number of the source that would send it.")]
    payload: Annotated[
        dict[str, object],
        Meta(description="An event, or `batch` with several.", examples=[{"event_name": "login", "user": {}}]),
    ]


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """What a destination would do with an event."""

    id: int
    label: str
    would_send: bool
    reason: Annotated[str | None, Meta(description="Why not: `event_name`, `consent`, `condition`, or `dry_run`.")]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of an event."""

    event_name: str
    status: Annotated[str, Meta(description="As the inspector would show it.")]
    reasons: list[Why]
    warnings: list[str]
    event: Annotated[object, Meta(description="As destinations would get it; null if none would.")]
    derived: Annotated[bool, Meta(description="A rule makes it from the event before it.")]
    destinations: list[Sending]


class ValidationAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a payload."""

    http_status: Annotated[int, Meta(description="Of the collector's answer.")]
    events: list[Verdict]


@operation("POST", "/v2/{site}/inspector/validate", scope="inspector:read", tag="Inspector")
def validate_payload(call: Call[Nothing, New[Validated]]) -> Single[ValidationAttributes]:
    """Say what would become of a payload: refused or taken, its findings, and which destinations would get it.

    It is decided by the code that collects and processes, with the configuration as it is. Nothing is stored or sent.
    Headers, rates and repeated ids play no part.
    """
    wanted = call.body.data.attributes
    snapshot = call.world.snapshot()
    source = _source(call, snapshot, wanted.source)
    body = msgspec.json.encode(wanted.payload)
    status, judged = call.world.judge(snapshot, source, body, call.now_ms)
    numbers = integrations.numbers(call)
    destinations = [
        (numbers["destination", one.ref].id, one, Gate(one.requirement, one.zone))
        for one in snapshot.destinations.values()
        if source.ref in one.sources and one.status == "active"
    ]
    verdicts = [
        Verdict(
            event_name=one.name,
            status=one.status,
            reasons=[Why(reason.code, reason.path, reason.message) for reason in one.reasons],
            warnings=list(one.warnings),
            event=msgspec.json.decode(one.payload) if one.payload else None,
            derived=bool(one.derived_from),
            destinations=[_sending(number, to, gate, one, call.now_ms) for number, to, gate in destinations],
        )
        for _, processed in judged
        for one in processed
    ]
    return Single(
        Resource(
            type="inspector/validation",
            id=None,
            attributes=ValidationAttributes(http_status=status, events=verdicts),
        )
    )


def _source(call: Call[Nothing, New[Validated]], snapshot: Snapshot, number: int) -> Source:
    numbers = integrations.numbers(call)
    for one in snapshot.sources.values():
        if one.site == call.site and numbers["source", one.ref].id == number:
            return one
    place = Place(pointer="/data/attributes/source")
    raise ApiError(422, [Fault("INVALID_PROPERTY_FORMAT", "there is no source with this id", place)])


def _sending(number: int, to: Destination, gate: Gate, event: Processed, now_ms: int) -> Sending:
    code = offered(to, event)
    if code is None:
        code = gate.judge(msgspec.json.decode(event.payload), now_ms).code
    if code is None and to.dry_mode:
        code = Code.DRY_RUN
    reason = "dry_run" if code == Code.DRY_RUN else REASON_OF.get(code) if code is not None else None
    return Sending(id=number, label=to.name, would_send=code is None, reason=reason)
