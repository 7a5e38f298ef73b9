"""Do the sums close? Counted again from the bytes, not from the counters."""

from collections import Counter

import msgspec

from turnout.log.interface import Log
from turnout.model.event import ACCEPTED, PROCESSED
from turnout.model.outcome import OUTCOME_OF, Code
from turnout.receipts.store import ATTEMPTS, Store


class DestinationAudit(msgspec.Struct, kw_only=True):
    """One destination's sums. `drift` is how many events are not where they should be: always 0."""

    destination: str
    offered: int
    outcomes: dict[str, int]
    lag: int
    drift: int
    findings: list[str] = []


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
        end = log.end(PROCESSED)
        reports = [
            _destination(store, ref, number, cursor, end)
            for ref, (number, cursor) in sorted(store.destinations().items())
        ]
    finally:
        store.db.execute("ROLLBACK")
    closes = not any(report.drift or report.findings for report in reports)
    return Audit(accepted=log.end(ACCEPTED), unprocessed=unprocessed, destinations=reports, closes=closes)


def _destination(store: Store, ref: str, number: int, cursor: int, end: int) -> DestinationAudit:
    recount: Counter[int] = Counter()
    findings = []
    after = None
    rows = store.db.execute("SELECT base, codes FROM outcomes WHERE destination=? ORDER BY base", (number,))
    for base, codes in rows:
        if after is not None and base < after:
            findings.append(f"the batch at offset {base} has outcomes twice")
        after = base + len(codes)
        recount.update(codes)
    if after is not None and after > cursor:
        findings.append(f"there are outcomes up to offset {after}, beyond the cursor at {cursor}")
    for code, n in store.db.execute("SELECT code, n FROM expired WHERE destination=?", (number,)):
        recount[code] += n
    counted = store.counts(number)
    del counted[ATTEMPTS]
    drift = sum(abs(recount[code] - counted[code]) for code in set(recount) | set(counted))
    pending = store.ledger_size(number)
    if recount[Code.PENDING] != pending:
        drift += abs(recount[Code.PENDING] - pending)
        findings.append(f"{recount[Code.PENDING]} events are pending, but {pending} are in the retry ledger")
    outcomes: Counter[str] = Counter()
    for code, n in recount.items():
        if code != Code.NOT_OFFERED:
            outcomes[OUTCOME_OF[Code(code)]] += n
    return DestinationAudit(
        destination=ref,
        offered=sum(outcomes.values()),
        outcomes=dict(outcomes),
        lag=max(0, end - cursor),
        drift=drift,
        findings=findings,
    )
