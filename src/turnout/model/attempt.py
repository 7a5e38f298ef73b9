"""One attempt to deliver one event, as the inspector shows it; and what went over the wire in it."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from turnout.model.sampling import Kept

Outcome = Literal["delivered", "rejected", "error", "filtered", "dry_run", "pending", "cancelled"]
BODY_BYTES = 16 * 1024
"""So much of a body is kept."""


class Sent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A request to a partner."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


class Answer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What came back. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """What one attempt put on the wire, or would have; `response` is None when none came."""

    request: Sent
    response: Answer | None = None


class Attempt(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What happened to an event at a destination (`ref`, "site/name") at `at_ms`, and how long it took.

    `offset` is that of its record in `processed`. `attempt` counts from 1; it is 0 where none was made: the event was
    filtered, or the destination is in dry mode. `pending` will be tried again at `next_attempt_ms`. `request` and
    `response` are None where there was none; secrets are masked, bodies cut to `BODY_BYTES`. `payload` is the event as
    it was processed, JSON. Fields are only ever added at the end, with a default.
    """

    destination: str
    source: str
    event_id: str
    name: str
    offset: int
    attempt: int
    at_ms: int
    duration_ms: int
    outcome: Outcome
    reason: str
    detail: str
    next_attempt_ms: int | None
    replay_id: str
    sampling: Kept
    request: Sent | None
    response: Answer | None
    payload: bytes
    received_ms: int

    @property
    def texts(self) -> list[bytes]:
        """Everything in it that may tell of a person. A request may carry other events too."""
        found = [self.payload, self.detail.encode()]
        if self.request is not None:
            found += [self.request.url.encode(), self.request.body, *map(str.encode, self.request.headers.values())]
        if self.response is not None:
            found += [self.response.body, *map(str.encode, self.response.headers.values())]
        return found


encode_attempt = msgspec.msgpack.Encoder().encode
decode_attempt = msgspec.msgpack.Decoder(Attempt).decode
