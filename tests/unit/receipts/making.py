"""Receipts in few words: steps, entries and letters for tests."""

from collections import Counter
from collections.abc import Sequence

from turnout.log.memory import MemoryLog
from turnout.model.event import ACCEPTED, PROCESSED, Processed, Received, encode
from turnout.model.outcome import Code
from turnout.receipts.records import DeadLetter, LedgerEntry, Step
from turnout.receipts.store import Store

REF = "29/orders"
NOW = 1_764_000_000_000
MINUTE_OF_NOW = NOW // 60_000 * 60_000


def entry(offset: int, user: str = "", due_ms: int = NOW, reason: str = "busy") -> LedgerEntry:
    """A ledger entry after one attempt."""
    return LedgerEntry(offset, f"e{offset}", "purchase", b"{}", user, NOW, 1, NOW, due_ms, reason)


def letter(
    offset: int, died_ms: int = NOW, reason: str = "404_not_found", code: Code = Code.ERROR, user: str = ""
) -> DeadLetter:
    """A dead letter."""
    return DeadLetter(offset, f"e{offset}", "purchase", b"{}", user, NOW, code, reason, "gone", 1, died_ms)


def step(base: int, codes: Sequence[Code], at_ms: int = NOW, users: str = "") -> Step:
    """One batch passed; pending codes get a ledger entry, rejections and errors a dead letter, of users in turn."""
    numbered = list(enumerate(codes, base))
    user = {offset: users[(offset - base) % len(users)].strip() if users else "" for offset, _ in numbered}
    return Step(
        base + len(codes),
        [(base, at_ms, bytes(codes))],
        [entry(offset, user[offset]) for offset, code in numbered if code == Code.PENDING],
        [
            letter(offset, at_ms, code=code, user=user[offset])
            for offset, code in numbered
            if code in (Code.REJECTED, Code.ERROR)
        ],
        sum(code not in (Code.NOT_OFFERED, Code.DRY_RUN) for code in codes),
        Counter((MINUTE_OF_NOW, "", "purchase", int(code), "") for code in codes if code != Code.NOT_OFFERED),
    )


def log_with(*ids: str, batch: int = 4) -> MemoryLog:
    """A log whose events have been accepted and processed."""
    log = MemoryLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]})
    for start in range(0, len(ids), batch):
        some = ids[start : start + batch]
        base = log.append(ACCEPTED, [encode(Received(one, "29/shop", "purchase", "valid", NOW, b"{}")) for one in some])
        records = [Processed(one, "29/shop", "purchase", "valid", NOW, base + n, b"{}") for n, one in enumerate(some)]
        log.append(PROCESSED, [encode(record) for record in records])
    done = log.subscribe(ACCEPTED, "process")
    done.commit(log.end(ACCEPTED))
    return log


def due(store: Store, number: int, now_ms: int = NOW, limit: int = 100) -> list[int]:
    """The offsets that are due."""
    return [one.offset for one in store.due(number, now_ms, limit)]
