"""One event through the steps: a `Received` in, its `Processed` out (`processing.md` §1, §4.5, §5.3).

A step is a function that changes a `Draft`. Steps run in order; one that refuses or filters the event ends
the chain. A step that raises costs the event its delivery and nothing else: it is kept as it came, with
status `failed`, the step's name and the error, for replay.

A step may derive events. Each gets a `Processed` of its own right behind that of its parent, and runs through the
steps that are for derived events too. None derives more, so there is no loop. What a failed event derived is
dropped: its replay derives it again, with the same ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from turnout.log.interface import Batch
from turnout.model.event import (
    ROUTED,
    Processed,
    Reason,
    Received,
    Status,
    decode_received,
    encode,
    is_erased,
)

if TYPE_CHECKING:
    # Only for its type: whoever has no formulas does without the language.
    from turnout.formula.run import Run

_SEVERITY: dict[Status, int] = {
    "valid": 0,
    "invalid_accepted": 1,
    "invalid_rejected": 2,
    "filtered": 3,
    "failed": 4,
    "rejected": 5,
}
_MESSAGE_LENGTH = 200

_decode_event = msgspec.json.Decoder(dict[str, object]).decode
_encode_event = msgspec.json.Encoder().encode


class Draft(msgspec.Struct):
    """An event on its way through the steps. `source` is "site/source", `event_id` the id it was received with.

    `derived_from` is the id of its parent, "" for an event that was received. `derived` takes the events that
    steps derive from it; `run` is for the formulas on it, which share one.
    """

    event: dict[str, object]
    source: str
    status: Status
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...]
    event_id: str = ""
    received_ms: int = 0
    derived_from: str = ""
    derived: list[Received] = []
    run: Run | None = None
    violations: tuple[dict[str, object], ...] = ()
    """What checks found, as the event says it."""

    def settle(self, status: Status) -> None:
        """Take this status unless the event already has a worse one (`processing.md` §5.3)."""
        if _SEVERITY[status] > _SEVERITY[self.status]:
            self.status = status


class Tally:
    """What rules come to, by (site, label); one for all chains of a process.

    `hits`: events that a rule applied to. `warnings`: how often one of its formulas met what it could not compute.
    `enrichments`: events by what an enrichment came to, (site, label, status).
    """

    def __init__(self) -> None:
        self.hits: Counter[tuple[str, str]] = Counter()
        self.warnings: Counter[tuple[str, str]] = Counter()
        self.enrichments: Counter[tuple[str, str, str]] = Counter()


class Step(NamedTuple):
    """`run` changes the draft in place; `name` is what reasons and logs call it.

    `for_derived`: whether derived events, too, run through it.
    """

    name: str
    run: Callable[[Draft], None]
    for_derived: bool = True


Chain = tuple[Step, ...]


def process(received: Received, offset: int, chain: Chain) -> list[Processed]:
    """The final record of this event, then those of the events derived from it. Never raises.

    `offset` is its position in `accepted`. What the collector refused passes through without its payload.
    """
    if received.status not in ROUTED:
        return [_outcome(received, offset, received.status, received.reasons, received.warnings)]
    derived: list[Received] = []
    own = _through(received, offset, chain, "", derived)
    if not derived or own.status == "failed":
        return [own]
    entry = tuple(step for step in chain if step.for_derived)
    own = msgspec.structs.replace(own, derived=tuple(one.event_id for one in derived))
    return [own, *(_through(one, offset, entry, own.event_id, []) for one in derived)]


def _through(received: Received, offset: int, chain: Chain, parent: str, derived: list[Received]) -> Processed:
    """The event's own record; what it derives is added to `derived`."""
    doing = "decode"
    try:
        draft = Draft(
            _decode_event(received.payload),
            received.source,
            received.status,
            received.reasons,
            received.warnings,
            received.event_id,
            received.received_ms,
            parent,
            derived,
        )
        for step in chain:
            doing = step.name
            step.run(draft)
            if draft.status not in ROUTED:
                return _outcome(received, offset, draft.status, draft.reasons, draft.warnings, parent)
        doing = "encode"
        payload = _encode_event(draft.event)
    except Exception as error:  # noqa: BLE001  (whatever a step raises must not stop the stream)
        return _failed(received, offset, doing, error, parent)
    name = draft.event.get("event_name")
    return Processed(
        received.event_id,
        received.source,
        name if isinstance(name, str) else "",
        draft.status,
        received.received_ms,
        offset,
        payload,
        _user_key(draft.event),
        draft.reasons,
        draft.warnings,
        parent,
        tested=isinstance(draft.event.get("test_code"), str),
    )


def process_batch(batch: Batch, chain: Chain) -> tuple[list[bytes], Counter[tuple[str, Status]]]:
    """The encoded `Processed` of every record of the batch, in order, and how many by (source, status)."""
    records: list[bytes] = []
    counts: Counter[tuple[str, Status]] = Counter()
    for offset, record in enumerate(batch.records, batch.base):
        for processed in process(_received(record, offset, batch.appended_ms), offset, chain):
            counts[processed.source, processed.status] += 1
            records.append(encode(processed))
    return records, counts


def _received(record: bytes, offset: int, appended_ms: int) -> Received:
    """The record decoded; one that cannot be (a later release wrote it) fails alone, with its bytes kept."""
    try:
        return decode_received(record)
    except msgspec.DecodeError as error:
        reason = Reason("record_unreadable", "", _told(error))
        return Received(f"accepted-{offset}", "", "", "failed", appended_ms, record, (reason,))


def _outcome(
    received: Received,
    offset: int,
    status: Status,
    reasons: tuple[Reason, ...],
    warnings: tuple[str, ...],
    parent: str = "",
) -> Processed:
    """The record of an event that goes no further. Only a failed one keeps its payload, for replay."""
    return Processed(
        received.event_id,
        received.source,
        received.name,
        status,
        received.received_ms,
        offset,
        received.payload if status == "failed" else b"",
        "",
        reasons,
        warnings,
        parent,
    )


def _failed(received: Received, offset: int, doing: str, error: Exception, parent: str) -> Processed:
    """The record of an event that a step could not do with, or of which nothing is left to be processed."""
    if is_erased(received):
        return _outcome(received, offset, received.status, received.reasons, (), parent)
    reason = Reason("step_failed", "", f"{doing}: {_told(error)}")
    return _outcome(received, offset, "failed", (*received.reasons, reason), received.warnings, parent)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_MESSAGE_LENGTH]


def _user_key(event: dict[str, object]) -> str:
    user = event.get("user")
    if not isinstance(user, dict):
        return ""
    key = user.get("consistent_anonymous_id") or user.get("id")
    return key if isinstance(key, str) else ""
