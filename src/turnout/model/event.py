"""The two records that travel through the log.

`Received` is what the collector writes to the stream `accepted`: one per event, refused ones included.
`Processed` is what the process stage makes of it in the stream `processed`: exactly one per `Received`,
in the same order, each followed by those of the events derived from it. Both are encoded as msgpack arrays,
so fields are only ever added at the end, with a default; that keeps old logs readable.
"""

from typing import Literal

import msgspec

ACCEPTED = "accepted"
PROCESSED = "processed"

Status = Literal["valid", "invalid_accepted", "invalid_rejected", "filtered", "failed", "rejected"]
"""What was decided about an event (`processing.md` 5.3). `rejected` is the collector's own refusal
(`collect.md` §12). Only `valid` and `invalid_accepted` go on to destinations."""

ROUTED: frozenset[Status] = frozenset(("valid", "invalid_accepted"))


class Reason(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Why an event has its status: a stable snake_case code, the property's path, words for a person."""

    code: str
    path: str = ""
    message: str = ""


class Location(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where the client is, as the edge in front of us says (`X-Forwarded-Country`, `-Region`, `-CountryRegion`)."""

    country: str = ""
    region: str = ""
    country_region: str = ""


class Received(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One event as the collector took or refused it.

    `event_id` is never empty: the client's id, or one the collector made. `source` is "site/source",
    "site/" when only the site is known, "" when neither is. `payload` is the event as one JSON object in
    its version 2 form, complete (ids, timestamps, address filled in); for a refused event it is what
    came in, cut to 2 KB where it was not JSON, empty where it was too large. `raw` is the event as it
    came, kept only when conversion changed its shape. `warnings` never change the status. `location` is
    known only behind a trusted proxy that tells.
    """

    event_id: str
    source: str
    name: str
    status: Status
    received_ms: int
    payload: bytes
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[str, ...] = ()
    raw: bytes = b""
    endpoint: str = "events"
    batch_index: int = -1
    location: Location | None = None


class Processed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One event after the processing chain, with its final verdict.

    `offset` is the position of its `Received` in `accepted`, or of its parent's for a derived event:
    `derived_from` is the parent's id then, else "". `derived` has the ids of the events derived from it.
    `payload` is compact JSON on one line, the bytes that destinations get; empty unless the status is in
    `ROUTED` or `failed` (a failed event is kept as it came, for replay). `user_key` orders events of one
    user: `user.consistent_anonymous_id`, else `user.id`, else "". `tested` says that it has a text
    `test_code` at its root, so that the many that have none need not be looked through.
    """

    event_id: str
    source: str
    name: str
    status: Status
    received_ms: int
    offset: int
    payload: bytes
    user_key: str = ""
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[str, ...] = ()
    derived_from: str = ""
    derived: tuple[str, ...] = ()
    tested: bool = False


_ERASED = (Reason("erased", "", "erased on request"),)
"""The reasons of an event whose content was erased, with whatever else could tell of a person."""


def erased_received(record: Received) -> Received:
    """What is kept of an event that is erased: that there was one, from where, when, and its status."""
    nothing = {"payload": b"", "reasons": _ERASED, "warnings": (), "raw": b"", "location": None}
    return msgspec.structs.replace(record, **nothing)


def erased_processed(record: Processed) -> Processed:
    """The same after processing."""
    return msgspec.structs.replace(record, payload=b"", user_key="", reasons=_ERASED, warnings=())


def is_erased(record: Received | Processed) -> bool:
    """Whether nothing but the fact is left of this event."""
    return not record.payload and record.reasons == _ERASED


encode = msgspec.msgpack.Encoder().encode
decode_received = msgspec.msgpack.Decoder(Received).decode
decode_processed = msgspec.msgpack.Decoder(Processed).decode
