"""What goes into the receipts and comes out of them."""

from collections.abc import Mapping

import msgspec

from turnout.model.outcome import Code
from turnout.model.requirement import Requirement

REPLAY = "replay"
"""Why an event is in the ledger that was taken from the dead letters."""


class Registered(msgspec.Struct, frozen=True):
    """A destination as the receipts know it.

    Every event between `since` and `cursor` has an outcome here; what came before has expired, or was
    processed while there was no such destination. `until` is where it ends, if it is gone from the configuration and
    not `removed` yet.
    """

    ref: str
    id: int
    cursor: int
    since: int
    removed: bool
    until: int | None = None

    def owes(self, offset: int) -> bool:
        """Whether it has yet to come to an event."""
        return self.cursor <= offset and not self.removed and (self.until is None or offset < self.until)


class LedgerEntry(msgspec.Struct, frozen=True):
    """One event waiting for its next attempt. `attempts` have been made; `first_ms` is 0 before the first.

    `due_ms` is None while it waits behind an earlier event of its user. `replay_id` is the job that put it here, if one
    did.
    """

    offset: int
    event_id: str
    name: str
    payload: bytes
    user_key: str
    received_ms: int
    attempts: int
    first_ms: int
    due_ms: int | None
    reason: str = ""
    detail: str = ""
    seq: int = 0
    source: str = ""
    replay_id: str = ""


class DeadLetter(msgspec.Struct, frozen=True):
    """One event given up or refused, with why; `code` is `REJECTED` or `ERROR`."""

    offset: int
    event_id: str
    name: str
    payload: bytes
    user_key: str
    received_ms: int
    code: int
    reason: str
    detail: str
    attempts: int
    died_ms: int
    source: str = ""


class Step(msgspec.Struct):
    """What a destination did with the batches before `cursor`: outcome rows (base, appended_ms, codes) and the rest.

    `counted` are the same outcomes as `tally.py` counts them, reasons left out. `shown` are encoded attempts.
    """

    cursor: int
    outcomes: list[tuple[int, int, bytes]] = []
    ledger: list[LedgerEntry] = []
    dead: list[DeadLetter] = []
    attempts: int = 0
    counted: Mapping[tuple[int, str, str, int, str], int] = {}
    shown: list[bytes] = []


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a ledger entry at `at_ms`: a final code (with a dead letter), or when to try again.

    `requirement` is what the event did not meet, if that is why.
    """

    entry: LedgerEntry
    attempts: int
    at_ms: int
    code: Code | None = None
    dead: DeadLetter | None = None
    requirement: Requirement | None = None
    due_ms: int = 0
    first_ms: int = 0
    reason: str = ""
    detail: str = ""


class Figures(msgspec.Struct, frozen=True):
    """One destination's counts since it exists: events per code, attempts, and the dead letters kept now."""

    codes: dict[Code, int]
    attempts: int
    dead: int


def dead_letter(entry: LedgerEntry, code: Code, reason: str, detail: str, attempts: int, now_ms: int) -> DeadLetter:
    """The dead letter of an event that is given up or refused now."""
    return DeadLetter(
        entry.offset,
        entry.event_id,
        entry.name,
        entry.payload,
        entry.user_key,
        entry.received_ms,
        int(code),
        reason,
        detail,
        attempts,
        now_ms,
        entry.source,
    )


def given_up(entry: LedgerEntry, reason: str, now_ms: int) -> Settlement:
    """The settlement of an event that is given up without another attempt."""
    letter = dead_letter(entry, Code.ERROR, reason, entry.detail, entry.attempts, now_ms)
    return Settlement(entry=entry, attempts=entry.attempts, at_ms=now_ms, code=Code.ERROR, dead=letter)


def replayed(letter: DeadLetter, now_ms: int, replay_id: str) -> LedgerEntry:
    """The ledger entry of a dead letter that is to be tried again from the beginning, at once."""
    return LedgerEntry(
        letter.offset,
        letter.event_id,
        letter.name,
        letter.payload,
        letter.user_key,
        letter.received_ms,
        attempts=0,
        first_ms=now_ms,
        due_ms=now_ms,
        reason=REPLAY,
        source=letter.source,
        replay_id=replay_id,
    )
