"""Everything that happened to one event, found by its id."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from turnout.log.interface import Log, Subscription
from turnout.model.event import (
    ACCEPTED,
    PROCESSED,
    Location,
    Processed,
    Reason,
    Received,
    decode_processed,
    decode_received,
    is_erased,
)
from turnout.model.outcome import OUTCOME_OF, REASON_OF, Code
from turnout.model.requirement import Requirement, granted
from turnout.receipts import index
from turnout.receipts.records import Registered
from turnout.receipts.store import Store

_JOINTS = {"all": " and ", "any": " or "}
_GIVEN_CHARACTERS = 300


class Shortfall(msgspec.Struct, kw_only=True):
    """The consent that was required when the event was stopped, and what the event gives."""

    required: tuple[str, ...]
    mode: Literal["all", "any"]
    given: tuple[str, ...]

    def __str__(self) -> str:
        given = ", ".join(self.given)[:_GIVEN_CHARACTERS] or "nothing"
        return f"requires {_JOINTS[self.mode].join(self.required)}, given {given}"


class Fate(msgspec.Struct, kw_only=True):
    """What became of the event at one destination. `next_attempt_ms` only while it is pending.

    `detail` is for a person; of an event that a filter stopped it is the filter. `consent` only if that stopped it.
    """

    destination: str
    outcome: str
    reason: str = ""
    detail: str = ""
    attempts: int = 0
    next_attempt_ms: int | None = None
    consent: Shortfall | None = None


class Trace(msgspec.Struct, kw_only=True):
    """One event with the id that was asked for. `destinations` holds those that were to get it.

    `offset` is that of its record in the stream `processed`; None while it waits to be processed.
    """

    event_id: str
    source: str
    event_name: str
    status: str
    received_ms: int
    offset: int | None = None
    endpoint: str = ""
    batch_index: int = -1
    processed: bool = True
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[str, ...] = ()
    derived_from: str = ""
    derived: tuple[str, ...] = ()
    location: Location | None = None
    payload: msgspec.Raw | str = ""
    raw: str = ""
    destinations: list[Fate] = []

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.processed and not any(fate.outcome in ("pending", "waiting") for fate in self.destinations)


def trace(log: Log, store: Store, event_id: str) -> list[Trace]:
    """Every event with this id that is still kept, oldest first; an empty list means expired, or never seen."""
    # What waits is read first: an event that is processed meanwhile is then found twice, not missed.
    waiting = _waiting(log, event_id)
    records = _processed(log, store, event_id)
    processed = {record.offset for _, record in records}
    return [
        *(_trace(log, store, offset, record) for offset, record in records),
        *(_received_trace(received) for offset, received in waiting if offset not in processed),
    ]


def received(log: Log, store: Store, event_id: str) -> list[Received]:
    """Every event with this id as the collector took or refused it, as far as it is still kept, oldest first.

    An event that was derived here was never received.
    """
    waiting = _waiting(log, event_id)
    offsets = {record.offset for _, record in _processed(log, store, event_id) if not record.derived_from}
    found = {offset: data for offset in offsets if (data := _at(log, ACCEPTED, offset)) is not None}
    late = {offset: one for offset, one in waiting if offset not in found}
    return [one for _, one in sorted({**{at: decode_received(data) for at, data in found.items()}, **late}.items())]


def outcomes(store: Store, offsets: Sequence[int], site: str) -> dict[int, dict[str, int]]:
    """For records of the stream `processed`: how many destinations of a site have each outcome for it.

    `pending` are also those that have not come to it. Raises sqlite3.Error.
    """
    prefix = f"{site}/"
    registered = [one for one in store.registered() if one.ref.startswith(prefix)]
    found: dict[int, dict[str, int]] = {}
    for offset in offsets:
        counts = found[offset] = dict.fromkeys(("delivered", "filtered", "pending", "rejected", "error"), 0)
        for one in registered:
            code = _code_at(store.db, one, offset)
            if code is not None and code != Code.NOT_OFFERED:
                counts[OUTCOME_OF[code]] = counts.get(OUTCOME_OF[code], 0) + 1
    return found


def _processed(log: Log, store: Store, event_id: str) -> list[tuple[int, Processed]]:
    """Records of the stream `processed` with this id, each with its offset."""
    _, indexed = index.extent(store.db)
    found = []
    for offset in index.find(store.db, event_id):
        # What was indexed since is found below.
        record = _processed_at(log, offset) if offset < indexed else None
        if record is not None and record.event_id == event_id:
            found.append((offset, record))
    for offset, data in _holding(log.subscribe(PROCESSED, None, indexed), event_id):
        late = decode_processed(data)
        if offset >= indexed and late.event_id == event_id:
            found.append((offset, late))
    return found


def _waiting(log: Log, event_id: str) -> list[tuple[int, Received]]:
    """Records of the stream `accepted` with this id that are not processed yet, each with its offset."""
    found = []
    for offset, data in _holding(log.subscribe(ACCEPTED, "process"), event_id):
        if (received := decode_received(data)).event_id == event_id:
            found.append((offset, received))
    return found


def _holding(subscription: Subscription, event_id: str) -> Iterator[tuple[int, bytes]]:
    """What is left to read of a stream, as far as the bytes of this id are in it; with offsets."""
    sought = event_id.encode("utf-8", "surrogatepass")
    try:
        while batches := subscription.fetch(1000):
            for batch in batches:
                for offset, data in enumerate(batch.records, batch.base):
                    if sought in data:
                        yield offset, data
    finally:
        subscription.close()


def _received_trace(received: Received) -> Trace:
    return Trace(
        event_id=received.event_id,
        source=received.source,
        event_name=received.name,
        status=received.status,
        received_ms=received.received_ms,
        endpoint=received.endpoint,
        batch_index=received.batch_index,
        processed=received.status == "rejected",
        reasons=received.reasons,
        warnings=received.warnings,
        location=received.location,
        payload=_json_or_text(received.payload),
        raw=received.raw.decode("utf-8", "replace"),
    )


def _trace(log: Log, store: Store, offset: int, record: Processed) -> Trace:
    data = _at(log, ACCEPTED, record.offset)
    received = decode_received(data) if data is not None else None
    found = Trace(
        event_id=record.event_id,
        source=record.source,
        event_name=record.name,
        status=record.status,
        received_ms=record.received_ms,
        offset=offset,
        reasons=record.reasons,
        warnings=record.warnings,
        derived_from=record.derived_from,
        derived=record.derived,
        payload=_json_or_text(record.payload),
        destinations=_fates(store, offset, record.payload),
    )
    if is_erased(record):
        cancelled = OUTCOME_OF[Code.CANCELLED]
        found.destinations = [
            msgspec.structs.replace(fate, reason="erased") if fate.outcome == cancelled else fate
            for fate in found.destinations
        ]
    if received is not None:
        found.endpoint, found.batch_index = received.endpoint, received.batch_index
        found.location = received.location
        if record.derived_from:
            return found
        found.raw = received.raw.decode("utf-8", "replace")
        if not record.payload:
            found.payload = _json_or_text(received.payload)
    return found


def _json_or_text(payload: bytes) -> msgspec.Raw | str:
    try:
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return payload.decode("utf-8", "replace")
    return msgspec.Raw(payload)


def _fates(store: Store, offset: int, payload: bytes) -> list[Fate]:
    """At one moment, so that an event that is settled just now is not found between two places."""
    store.db.execute("BEGIN")
    try:
        fates = [_fate_at(store.db, one, offset, payload) for one in store.registered()]
        return [fate for fate in fates if fate is not None]
    finally:
        store.db.execute("ROLLBACK")


def _fate_at(db: sqlite3.Connection, one: Registered, offset: int, payload: bytes) -> Fate | None:
    code = _code_at(db, one, offset)
    if code is None or code == Code.NOT_OFFERED:
        return None
    if offset >= one.cursor:
        return Fate(destination=one.ref, outcome="waiting", reason="not reached yet")
    fate = _fate(db, one, offset, code)
    if code in (Code.FILTERED_CONSENT, Code.FILTERED_CONDITION):
        _explain(fate, code, _required(db, one.id, offset), payload)
    return fate


def _code_at(db: sqlite3.Connection, one: Registered, offset: int) -> Code | None:
    """What is recorded at an offset: None if nothing is kept; pending as long as the destination has not come to it."""
    if offset >= one.cursor:
        return Code.PENDING if one.owes(offset) else None
    row = db.execute(
        "SELECT base, codes FROM outcomes WHERE destination=? AND base<=? ORDER BY base DESC LIMIT 1",
        (one.id, offset),
    ).fetchone()
    return None if row is None or offset - row[0] >= len(row[1]) else Code(row[1][offset - row[0]])


def _fate(db: sqlite3.Connection, one: Registered, offset: int, code: Code) -> Fate:
    fate = Fate(destination=one.ref, outcome=OUTCOME_OF[code], reason=REASON_OF.get(code, ""))
    where = (one.id, offset)
    if code == Code.DELIVERED:
        fate.attempts = 1
    elif code == Code.PENDING:
        sql = "SELECT attempts, due_ms, reason, detail FROM ledger WHERE destination=? AND offset=?"
        if row := db.execute(sql, where).fetchone():
            fate.attempts, fate.next_attempt_ms, fate.reason, fate.detail = row
    elif code == Code.DELIVERED_AFTER_RETRY:
        row = db.execute("SELECT attempts FROM retried WHERE destination=? AND offset=?", where).fetchone()
        fate.attempts = row[0] if row else 0
    elif code in (Code.REJECTED, Code.ERROR):
        sql = "SELECT reason, detail, attempts FROM dead WHERE destination=? AND offset=?"
        if row := db.execute(sql, where).fetchone():
            fate.reason, fate.detail, fate.attempts = row
        else:
            fate.detail = "its dead letter is not kept any more"
    return fate


def _required(db: sqlite3.Connection, destination: int, offset: int) -> Requirement:
    """What was required of the event when its outcome was decided."""
    row = db.execute(
        "SELECT requirement, 1 AS later FROM stopped WHERE destination=:id AND offset=:offset UNION ALL"
        " SELECT * FROM (SELECT requirement, 0 FROM requirements WHERE destination=:id AND since<=:offset"
        " ORDER BY since DESC LIMIT 1) ORDER BY later DESC",
        {"id": destination, "offset": offset},
    ).fetchone()
    return msgspec.json.decode(row[0], type=Requirement) if row is not None else Requirement()


def _explain(fate: Fate, code: Code, required: Requirement, payload: bytes) -> None:
    if code == Code.FILTERED_CONDITION:
        fate.detail = required.filter
    elif required.consent is not None and payload:
        event = msgspec.json.decode(payload)
        given = granted(event) if isinstance(event, dict) else ()
        fate.consent = Shortfall(required=required.consent.categories, mode=required.consent.mode, given=given)
        fate.detail = str(fate.consent)


def _processed_at(log: Log, offset: int) -> Processed | None:
    data = _at(log, PROCESSED, offset)
    return decode_processed(data) if data is not None else None


def _at(log: Log, stream: str, offset: int) -> bytes | None:
    """The record at an offset, if it is still kept."""
    visitor = log.subscribe(stream, None, offset)
    try:
        batches = visitor.fetch(1)
    finally:
        visitor.close()
    if batches and batches[0].base <= offset < batches[0].next:
        return batches[0].records[offset - batches[0].base]
    return None
