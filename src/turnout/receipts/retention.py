"""Forgetting what is older than the replay window: outcome rows and what they rest on, dead letters, index runs."""

from collections import Counter

from turnout.model.outcome import Code
from turnout.receipts import dead, erasure
from turnout.receipts.records import Registered
from turnout.receipts.store import PORTION, Store


def retain(store: Store, older_than_ms: int) -> bool:
    """Forget what is from before this time; what is pending stays, and the sums close as before.

    Does a portion; whether there is more to forget. Raises what `Store` raises.
    """
    more = False
    with store.transaction():
        for one in store.registered():
            more |= _forget_outcomes(store, one, older_than_ms)
            more |= _forget_dead(store, one.id, older_than_ms)
            more |= _forget_each(store, "retried", one.id, older_than_ms)
            more |= _forget_each(store, "stopped", one.id, older_than_ms)
            _forget_requirements(store, one)
        erasure.forget(store)
        for (first,) in store.db.execute("SELECT first FROM runs WHERE made_ms<?", (older_than_ms,)).fetchall():
            store.db.execute("DELETE FROM runs WHERE first=?", (first,))
            parts = [(prefix, first) for prefix in range(256)]
            store.db.executemany("DELETE FROM run_parts WHERE prefix=? AND first=?", parts)
    return more


def _forget_outcomes(store: Store, one: Registered, older_than_ms: int) -> bool:
    """Some of the oldest outcome rows; what they counted stays in `expired`."""
    old = []
    sql = "SELECT base, appended_ms, codes FROM outcomes WHERE destination=? ORDER BY base LIMIT ?"
    for base, appended_ms, codes in store.db.execute(sql, (one.id, PORTION)):
        if appended_ms >= older_than_ms:
            break
        if Code.PENDING not in codes:
            old.append((base, codes))
    if old:
        store.count(one.id, Counter(b"".join([codes for _, codes in old])), "expired")
        rows = [(one.id, base) for base, _ in old]
        store.db.executemany("DELETE FROM outcomes WHERE destination=? AND base=?", rows)
        since = old[-1][0] + len(old[-1][1])
        store.db.execute("UPDATE destinations SET since=max(since,?) WHERE id=?", (since, one.id))
    return len(old) == PORTION


def _forget_dead(store: Store, destination: int, older_than_ms: int) -> bool:
    oldest = "rowid IN (SELECT rowid FROM dead WHERE destination=? AND died_ms<? LIMIT ?)"
    return dead.remove(store, destination, oldest, destination, older_than_ms, PORTION) == PORTION


def _forget_each(store: Store, table: str, destination: int, older_than_ms: int) -> bool:
    gone = store.db.execute(
        f"DELETE FROM {table} WHERE destination=:id AND offset IN"
        f" (SELECT offset FROM {table} WHERE destination=:id AND at_ms<:old LIMIT :most)",
        {"id": destination, "old": older_than_ms, "most": PORTION},
    ).rowcount
    return gone == PORTION


def _forget_requirements(store: Store, one: Registered) -> None:
    """Those that were replaced before the first event that is still kept."""
    store.db.execute(
        "DELETE FROM requirements WHERE destination=:id AND since<(SELECT max(since) FROM requirements"
        " WHERE destination=:id AND since<=(SELECT min(base) FROM outcomes WHERE destination=:id))",
        {"id": one.id},
    )
