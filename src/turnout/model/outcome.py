"""What became of one event at one destination (`destinations.md` §2)."""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Literal

import msgspec

from turnout.model.attempt import Exchange


class Code(IntEnum):
    """The fate of one (event, destination) pair, one byte in the receipts.

    `NOT_OFFERED` pairs are outside every sum: the event was refused, or its source is not linked.
    For all others: offered = delivered + filtered + rejected + error + dry + cancelled + pending.
    """

    NOT_OFFERED = 0
    PENDING = 1
    DELIVERED = 2
    DELIVERED_AFTER_RETRY = 3
    FILTERED_EVENT_NAME = 4
    FILTERED_CONSENT = 5
    FILTERED_CONDITION = 6
    FILTERED_UNSUPPORTED = 7
    REJECTED = 8
    ERROR = 9
    DRY_RUN = 10
    CANCELLED = 11


OUTCOME_OF: dict[Code, str] = {
    Code.NOT_OFFERED: "not_offered",
    Code.PENDING: "pending",
    Code.DELIVERED: "delivered",
    Code.DELIVERED_AFTER_RETRY: "delivered",
    Code.FILTERED_EVENT_NAME: "filtered",
    Code.FILTERED_CONSENT: "filtered",
    Code.FILTERED_CONDITION: "filtered",
    Code.FILTERED_UNSUPPORTED: "filtered",
    Code.REJECTED: "rejected",
    Code.ERROR: "error",
    Code.DRY_RUN: "dry_run",
    Code.CANCELLED: "cancelled",
}
"""The public word for each code, as the inspector and the sums use it."""

REASON_OF: dict[Code, str] = {
    Code.FILTERED_EVENT_NAME: "event_name",
    Code.FILTERED_CONSENT: "consent",
    Code.FILTERED_CONDITION: "condition",
    Code.FILTERED_UNSUPPORTED: "unsupported_event",
}
"""The reason where the code alone tells it; other reasons are in the ledger or the dead letters."""


def by_outcome(codes: Mapping[Code, int]) -> dict[str, int]:
    """How many of the offered events have each outcome."""
    return _summed(codes, lambda code: OUTCOME_OF[code] if code != Code.NOT_OFFERED else None)


def by_reason(codes: Mapping[Code, int]) -> dict[str, int]:
    """How many of the filtered events were so for each reason."""
    return _summed(codes, REASON_OF.get)


def _summed(codes: Mapping[Code, int], word_of: Callable[[Code], str | None]) -> dict[str, int]:
    found: dict[str, int] = {}
    for code, n in codes.items():
        if (word := word_of(code)) is not None:
            found[word] = found.get(word, 0) + n
    return found


class Result(msgspec.Struct, frozen=True, gc=False):
    """What one attempt to send one event gave, as a value.

    `retry` means: worth another attempt, after at least `retry_after_s` seconds when the partner said
    so; the retry policy decides whether there is one. `rejected` and `error` are final: the first blames
    the event, the second the partner. `filtered` is a silent skip by the destination
    (`unsupported_event`). `reason` is a short snake_case token, `detail` is for a person: what the
    partner answered, secrets masked. `asked` is false where nothing was sent, so that the result says
    nothing about the partner. `exchange` is what went over the wire, secrets included, where it is
    known: it is shown if the attempt is (`deliver/samples.py`).
    """

    kind: Literal["delivered", "rejected", "error", "retry", "filtered"]
    reason: str = ""
    detail: str = ""
    retry_after_s: float | None = None
    asked: bool = True
    exchange: Exchange | None = None


DELIVERED = Result("delivered")
