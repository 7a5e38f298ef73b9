"""One event through the steps: a `Received` in, exactly one `Processed` out (`processing.md` §1, §5.3).

A step is a function that changes a `Draft`. Steps run in order; one that refuses or filters the event ends
the chain. A step that raises costs the event its delivery and nothing else: it is kept as it came, with
status `failed`, the step's name and the error, for replay.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

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
)
from turnout.process.check import check

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
    """An event on its way through the steps. `source` is "site/source"."""

    event: dict[str, object]
    source: str
    status: Status
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...]

    def settle(self, status: Status) -> None:
        """Take this status unless the event already has a worse one (`processing.md` §5.3)."""
        if _SEVERITY[status] > _SEVERITY[self.status]:
            self.status = status


class Step(NamedTuple):
    """`run` changes the draft in place; `name` is what reasons and logs call it."""

    name: str
    run: Callable[[Draft], None]


Chain = tuple[Step, ...]


def check_event(draft: Draft) -> None:
    """Stage 6: flags violations in the event, its reasons and its status."""
    violations = check(draft.event)
    if not violations:
        return
    draft.settle("invalid_accepted")
    known = {reason.path for reason in draft.reasons}
    draft.reasons += tuple(Reason(v.rule, v.path, v.message) for v in violations if v.path not in known)
    context = draft.event.get("context")
    if context is None:
        context = draft.event["context"] = {}
    if isinstance(context, dict):
        context["dataquality"] = {"violations": [msgspec.structs.asdict(v) for v in violations]}


STANDARD_CHAIN: Chain = (Step("check", check_event),)


def process(received: Received, offset: int, chain: Chain) -> Processed:
    """The final record of this event; `offset` is its position in `accepted`. Never raises.

    What the collector refused passes through without its payload.
    """
    if received.status not in ROUTED:
        return _outcome(received, offset, received.status, received.reasons, received.warnings)
    doing = "decode"
    try:
        draft = Draft(
            _decode_event(received.payload),
            received.source,
            received.status,
            received.reasons,
            received.warnings,
        )
        for step in chain:
            doing = step.name
            step.run(draft)
            if draft.status not in ROUTED:
                return _outcome(received, offset, draft.status, draft.reasons, draft.warnings)
        doing = "encode"
        payload = _encode_event(draft.event)
    except Exception as error:  # noqa: BLE001  (whatever a step raises must not stop the stream)
        return _failed(received, offset, doing, error)
    return Processed(
        received.event_id,
        received.source,
        received.name,
        draft.status,
        received.received_ms,
        offset,
        payload,
        _user_key(draft.event),
        draft.reasons,
        draft.warnings,
    )


def process_batch(batch: Batch, chain: Chain) -> tuple[list[bytes], Counter[tuple[str, Status]]]:
    """The encoded `Processed` of every record of the batch, and how many there are by (source, status)."""
    records: list[bytes] = []
    counts: Counter[tuple[str, Status]] = Counter()
    for offset, record in enumerate(batch.records, batch.base):
        processed = process(_received(record, offset, batch.appended_ms), offset, chain)
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
    received: Received, offset: int, status: Status, reasons: tuple[Reason, ...], warnings: tuple[str, ...]
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
    )


def _failed(received: Received, offset: int, doing: str, error: Exception) -> Processed:
    reason = Reason("step_failed", "", f"{doing}: {_told(error)}")
    return _outcome(received, offset, "failed", (*received.reasons, reason), received.warnings)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_MESSAGE_LENGTH]


def _user_key(event: dict[str, object]) -> str:
    user = event.get("user")
    if not isinstance(user, dict):
        return ""
    key = user.get("consistent_anonymous_id") or user.get("id")
    return key if isinstance(key, str) else ""
