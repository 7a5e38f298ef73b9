"""Takes the attempts that the worker noted from its queue and keeps them as records.

What must stay true: an attempt is forgotten only after it is kept, and kept once: the position is in the same
transaction as the records, so what a crash left in the queue is known.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import structlog

from turnout.control.inspector import outgoing
from turnout.control.inspector.store import Series
from turnout.model.config import Snapshot
from turnout.receipts import attempts
from turnout.receipts.store import Store

_AT_ONCE = 500

log = structlog.get_logger("inspector")


class Drain:
    """`step` again and again, from one thread."""

    def __init__(self, receipts: Path, series: Series, snapshot: Callable[[], Snapshot]) -> None:
        self._receipts, self._series, self._snapshot = receipts, series, snapshot
        self._store: Store | None = None
        self._next = 0

    def step(self) -> bool:
        """Keep the next attempts; whether there were any.

        Raises `ReceiptsUnavailableError`, sqlite3.Error, OSError.
        """
        try:
            return self._step(self._store or self._begin())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give back what is open."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _begin(self) -> Store:
        store = Store(self._receipts)
        try:
            self._next = self._series.position() or 0
            if self._next > attempts.last(store) + 1:
                log.warning("the receipts have begun anew, and so do the records of attempts")
                self._series.clear()
                self._next = 0
        except (sqlite3.Error, OSError):
            store.close()
            raise
        self._store = store
        return store

    def _step(self, store: Store) -> bool:
        found = attempts.read(store, _AT_ONCE)
        if not found:
            return False
        sources = self._snapshot().sources
        last = found[-1][0]
        entries = []
        for seq, attempt in found:
            if seq >= self._next:
                source = sources.get(attempt.source)
                environment = source.environment if source is not None else ""
                entries.append(outgoing.entry(outgoing.outgoing(seq, attempt, environment)))
        if entries:
            self._series.append(entries, last + 1, {})
            self._next = last + 1
        attempts.forget(store, last)
        return True
