"""An event through the whole pipeline, with every state on the way: as received, after each rule, per destination.

It is decided by the code that collects, processes and translates. Nothing is kept or sent, and data stores are not
read: an event is shown as it would be without them.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from turnout.destinations import mapped
from turnout.destinations.dry import DryDestination
from turnout.destinations.interface import Context, Event
from turnout.destinations.secrets import Secrets
from turnout.judge import judge
from turnout.mapping.partner import Mapper
from turnout.model.attempt import Sent
from turnout.model.config import Destination, Snapshot, Source
from turnout.model.event import ROUTED, Processed, Reason, Received
from turnout.model.outcome import OUTCOME_OF, REASON_OF, Code, Result
from turnout.model.requirement import granted
from turnout.model.trial import Request, State, Trial, Verdict
from turnout.process.build import chain_in_detail
from turnout.process.chain import Draft, Tally
from turnout.route.gate import Gate
from turnout.route.plan import offered

_encode, _decode = msgspec.json.encode, msgspec.json.decode


def attempt(snapshot: Snapshot, source: Source, body: bytes, now_ms: int) -> tuple[int, list[Trial]]:
    """The HTTP status that `body` would get from this source, and its events, each followed by those derived from it.

    Never raises for anything that a client can send. Not for a running event loop.
    """
    status, judged = judge(snapshot, source, body, now_ms)
    return status, [
        _trial(snapshot, source, now_ms, *pair)
        for received, processed in judged
        for pair in _pairs(snapshot, received, processed)
    ]


def _pairs(
    snapshot: Snapshot, received: Received, processed: Sequence[Processed]
) -> Iterator[tuple[Received, list[State], Processed]]:
    own, *derived = processed
    children: list[Received] = []
    yield received, list(_states(snapshot, received, "", children)), own
    by_id = {child.event_id: child for child in children}
    for one in derived:
        child = by_id[one.event_id]
        yield child, list(_states(snapshot, child, own.event_id, [])), one


def _states(snapshot: Snapshot, received: Received, parent: str, children: list[Received]) -> Iterator[State]:
    """The event after each step that is for it. A step that fails is the last."""
    if received.status not in ROUTED:
        return
    tally = Tally()
    draft = Draft(
        _decode(received.payload), received.source, received.status, received.reasons, received.warnings,
        received.event_id, received.received_ms, parent, children,
    )  # fmt: skip
    for rule, step in chain_in_detail(snapshot, received.source, tally):
        if parent and not step.for_derived:
            continue
        before, reasons, warnings = _encode(draft.event), draft.reasons, draft.warnings
        hits = tally.hits.total()
        try:
            step.run(draft)
        except Exception as error:  # noqa: BLE001 - as the chain does: the event fails, and nothing else
            draft.status, draft.reasons = "failed", (*reasons, Reason("step_failed", "", str(error)))
        changed = _encode(draft.event) != before
        yield State(
            step=step.name,
            rule=rule,
            applied=tally.hits.total() > hits if rule else True,
            status=draft.status,
            reasons=list(draft.reasons[len(reasons) :]),
            warnings=list(draft.warnings[len(warnings) :]),
            event=_decode(_encode(draft.event)) if changed else None,
        )
        if draft.status not in ROUTED:
            return


def _trial(
    snapshot: Snapshot, source: Source, now_ms: int, received: Received, states: list[State], processed: Processed
) -> Trial:
    destinations = [one for one in snapshot.destinations.values() if one.site == source.site]
    return Trial(
        event_id=processed.event_id,
        event_name=processed.name,
        derived_from=processed.derived_from,
        received=_decode(received.payload) if received.status in ROUTED else None,
        states=states,
        status=processed.status,
        reasons=list(processed.reasons),
        warnings=list(processed.warnings),
        event=_decode(processed.payload) if processed.status in ROUTED else None,
        destinations=[verdict(one, processed, now_ms) for one in destinations],
    )


def verdict(destination: Destination, processed: Processed, now_ms: int) -> Verdict:
    """What a destination would do with an event that was processed. Not for a running event loop."""
    event = _decode(processed.payload) if processed.status in ROUTED else {}
    consent = destination.consent
    found = Verdict(
        destination=destination.ref,
        linked=processed.source in destination.sources,
        outcome="send",
        required=list(consent.categories) if consent is not None else [],
        mode=consent.mode if consent is not None else "",
        given=list(granted(event)),
        filter=destination.filter,
    )
    code, detail = offered(destination, processed), ""
    if code is None:
        code, detail = Gate(destination.requirement, destination.zone).judge(event, now_ms)
    if code is not None:
        reason = REASON_OF.get(code, "inactive" if destination.status != "active" else "")
        return structs.replace(found, outcome=OUTCOME_OF[code], reason=reason, detail=detail)
    return _translated(found, destination, processed, now_ms)


def _translated(found: Verdict, destination: Destination, processed: Processed, now_ms: int) -> Verdict:
    """What the destination would make of an event that it may have."""
    event = Event(processed.event_id, processed.name, processed.payload, processed.received_ms)
    context = Context(
        destination.ref,
        Path(),
        lambda translator: DryDestination(translator, lambda: now_ms),
        destination.delivery.batch_size,
        destination.delivery.timeout_ms,
        dry_mode=True,
        zone=destination.zone,
    )
    if destination.mapping is not None:
        made = mapped.mapped(Mapper(destination.mapping), event, context)
        if isinstance(made, Event):
            found = structs.replace(found, event=_decode(made.payload))
    result = asyncio.run(_rehearsed(destination, event, context))
    if result.kind != "delivered":
        outcome = "filtered" if result.kind == "filtered" else "rejected"
        return structs.replace(found, outcome=outcome, reason=result.reason, detail=result.detail)
    outcome = OUTCOME_OF[Code.DRY_RUN] if destination.dry_mode else "send"
    if result.exchange is None:
        return structs.replace(found, outcome=outcome)
    sent = Secrets(destination.settings).masked(result.exchange).request
    return structs.replace(found, outcome=outcome, request=_shown(sent))


async def _rehearsed(destination: Destination, event: Event, context: Context) -> Result:
    """The result of a rehearsal: in dry mode nothing leaves a destination."""
    opened = mapped.open_destination(destination, context)
    try:
        (result,) = await opened.send([event])
    finally:
        await opened.close()
    return result


def _shown(sent: Sent) -> Request:
    return Request(
        method=sent.method,
        url=sent.url,
        headers=dict(sent.headers),
        body=sent.body.decode("utf-8", "replace"),
    )
