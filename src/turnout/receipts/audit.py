"""Do the sums close? Counted again from the bytes, not from the counters."""

from collections import Counter

import msgspec

from turnout.log.interface import Log
from turnout.model.event import ACCEPTED, PROCESSED
from turnout.model.outcome import Code, by_outcome, by_reason
from turnout.receipts import dead, index
from turnout.receipts import figures as over_time
from turnout.receipts.records import Registered
from turnout.receipts.store import Store


class DestinationAudit(msgspec.Struct, kw_only=True):
    """One destination's sums. `drift` is how many events are not where they should be: always 0."""

    destination: str
    offered: int
    outcomes: dict[str, int]
    filtered: dict[str, int] = {}
    """Those among the outcomes that were filtered, by reason."""
    lag: int
    drift: int
    findings: list[str] = []
    removed: bool = False


class Audit(msgspec.Struct, kw_only=True):
    """The whole report. `accepted` records are processed or waiting; each destination's sum is its own."""

    accepted: int
    unprocessed: int
    destinations: list[DestinationAudit]
    closes: bool


def audit(log: Log, store: Store) -> Audit:
    """Recount everything that is kept. Reads one moment of the receipts, also while the worker runs."""
    waiting = log.subscribe(ACCEPTED, "process")
    try:
        unprocessed = waiting.lag()
    finally:
        waiting.close()
    store.db.execute("BEGIN")
    try:
        # The first read fixes the moment. The end of the log is read after it, so that no cursor can be beyond.
        registered = store.registered()
        end = log.end(PROCESSED)
        reports = [_destination(store, one, end) for one in registered]
    finally:
        store.db.execute("ROLLBACK")
    closes = not any(report.drift or report.findings for report in reports)
    return Audit(accepted=log.end(ACCEPTED), unprocessed=unprocessed, destinations=reports, closes=closes)


def _destination(store: Store, one: Registered, end: int) -> DestinationAudit:
    recount: Counter[int] = Counter()
    findings: list[str] = []
    after = None
    low, high = index.extent(store.db)
    low, high = max(low, one.since), min(high, one.cursor)
    covered = 0
    rows = store.db.execute("SELECT base, codes FROM outcomes WHERE destination=? ORDER BY base", (one.id,))
    for base, codes in rows:
        if after is not None and base < after:
            findings.append(f"the batch at offset {base} has outcomes twice")
        after = base + len(codes)
        recount.update(codes)
        covered += max(0, min(after, high) - max(base, low))
    if after is not None and after > one.cursor:
        findings.append(f"there are outcomes up to offset {after}, beyond the cursor at {one.cursor}")
    if one.cursor > end:
        findings.append(f"the cursor at {one.cursor} is beyond the end of the log at {end}: was the log removed?")
    missing = index.count(store.db, low, high) - covered if low < high else 0
    if missing:
        findings.append(f"{missing} events between offsets {low} and {high} have no outcome")
    for code, n in store.db.execute("SELECT code, n FROM expired WHERE destination=?", (one.id,)):
        recount[code] += n
    drift = abs(missing) + _counters(store, one.id, recount, findings)
    codes = {Code(code): n for code, n in recount.items()}
    outcomes = by_outcome(codes)
    return DestinationAudit(
        destination=one.ref,
        offered=sum(outcomes.values()),
        outcomes=outcomes,
        filtered=by_reason(codes),
        lag=0 if one.removed else max(0, (end if one.until is None else min(end, one.until)) - one.cursor),
        drift=drift,
        findings=findings,
        removed=one.removed,
    )


def _counters(store: Store, destination: int, recount: Counter[int], findings: list[str]) -> int:
    """Compare the rows with the counters, the ledger and the dead letters; gives the drift."""
    figures = store.figures(destination)
    drift = 0
    for code in Code:
        counted = figures.codes.get(code, 0)
        if recount[code] != counted:
            drift += abs(recount[code] - counted)
            findings.append(f"{recount[code]} events are {code.name.lower()}, but the counter says {counted}")
    by_time = over_time.by_code(store, destination)
    for code in set(Code) - {Code.NOT_OFFERED}:
        if by_time[code] != (counted := figures.codes.get(code, 0)):
            drift += abs(by_time[code] - counted)
            findings.append(f"the figures over time have {by_time[code]} {code.name.lower()}, the counter {counted}")
    for unknown in set(recount) - set(Code):
        n = recount.pop(unknown)
        drift += n
        findings.append(f"{n} events have the unknown outcome {unknown}")
    for what, rows, expected in (
        ("in the retry ledger", store.ledger_size(destination), recount[Code.PENDING]),
        ("dead letters", store.dead_size(destination), figures.dead),
    ):
        if rows != expected:
            drift += abs(rows - expected)
            findings.append(f"{rows} events are {what}, but there should be {expected}")
    if (size := dead.recounted(store, destination)) != (counted := dead.room(store, destination).bytes):
        findings.append(f"dead letters take {size} bytes, but the counter says {counted}")
    return drift
