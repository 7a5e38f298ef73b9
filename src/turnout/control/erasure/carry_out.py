"""One erasure from its beginning to its end. May be broken off anywhere and begun again: nothing is done twice.

The order is what makes it certain. What is accepted goes first; then it is waited for until the process stage has come
to where the stream ended, so that nothing it had in its hands is missed. Then the receipts learn which events are
erased, so that no attempt under way leaves anything behind; then what is processed goes.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing

from msgspec import structs

from turnout.control.erasure.jobs import Receipt
from turnout.control.erasure.search import Findings, InterruptedSearchError, Search
from turnout.control.inspector.inspector import Inspector
from turnout.log.interface import Log
from turnout.model.errors import LogUnavailableError, ReceiptsUnavailableError
from turnout.model.event import ACCEPTED, PROCESSED
from turnout.model.person import Person
from turnout.receipts import erasure
from turnout.receipts.erasure import PORTION
from turnout.receipts.store import Store

_POLL_S = 0.05
_PATIENCE_S = 60.0
_TRIES = 100
Note = Callable[[Person, Receipt], None]
Entries = Callable[[str, Person, bool], int]
"""Removes what the data stores of a site have of a person, for good, or only counts it (True); gives how many."""


class Task:
    """See the module. Raises `LogUnavailableError`, `ReceiptsUnavailableError`, `InterruptedSearchError`."""

    def __init__(
        self,
        log: Log,
        store: Store,
        inspector: Inspector,
        entries: Entries,
        site: str,
        person: Person,
        types: Mapping[str, str],
        stopped: Callable[[], bool],
    ) -> None:
        """`types` has the type of every destination that is configured, by reference."""
        self._log, self._store, self._inspector, self._entries, self._site = log, store, inspector, entries, site
        self._types, self._stopped = types, stopped
        self._search = Search(log, site, person, stopped)

    def count(self) -> Receipt:
        """What there is of the person at the moment. Changes nothing."""
        self._search.follow_visitors()
        received = self._search.received()
        processed = self._search.processed(received.records)
        found = self._receipt(received, processed, sorted({*processed.new, *self._waiting()}))
        kept = self._entries(self._site, self._search.person, True)
        return structs.replace(found, erased={**found.erased, "data_stores": kept})

    def erase(self, before: Receipt | None, note: Note, now_ms: int) -> Receipt:
        """Erase it. `before` is what was noted when this was begun before; `note` is called before anything is gone."""
        end = self._log.end(ACCEPTED)
        self._search.follow_visitors()
        received = self._search.received()
        found = most(before, self._receipt(received, Findings(), []))
        note(self._search.person, found)
        self._log.replace(ACCEPTED, received.records)
        self._wait_for_process_stage(end)
        processed = self._search.processed(received.records)
        offsets = sorted({*processed.records, *self._waiting()})
        found = most(found, self._receipt(received, processed, offsets))
        note(self._search.person, found)
        gone = frozenset(offsets)
        for part in _portions(offsets):
            self._check()
            erasure.bury(self._store, part, now_ms)
        erasure.forget_attempts(self._store, lambda one: one.offset in gone or any(map(self._search.tells, one.texts)))
        self._purge()
        self._log.replace(PROCESSED, processed.records)
        kept = self._entries(self._site, self._search.person, False)
        shown = self._inspector.erase(
            lambda offset, texts: offset in processed.records or any(map(self._search.tells, texts)), self._site
        )
        return most(found, structs.replace(found, erased={**found.erased, "data_stores": kept, "inspector": shown}))

    def _receipt(self, received: Findings, processed: Findings, offsets: list[int]) -> Receipt:
        held = [erasure.held(self._store, part) for part in _portions(offsets)]
        delivered = {
            one.ref: count
            for one in self._store.registered()
            if (count := erasure.delivered(self._store, one.id, sorted(processed.new)))
        }
        return Receipt(
            erased={
                "accepted": len(received.new),
                "processed": len(processed.new),
                "retry_ledger": sum(one.ledger for one in held),
                "dead_letters": sum(one.dead for one in held),
            },
            delivered=delivered,
            files=[ref for ref in delivered if self._types.get(ref) == "file"],
            unreadable=len(self._log.damage()),
        )

    def _waiting(self) -> list[int]:
        """Events in the retry ledger and among the dead letters, also those that the log has no more."""
        ours = [one.id for one in self._store.registered() if one.ref.startswith(f"{self._site}/")]
        return list(erasure.find(self._store, ours, self._search.owns))

    def _wait_for_process_stage(self, end: int) -> None:
        """Until everything accepted before `end` is processed."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            now = self._log.end(ACCEPTED)
            with closing(self._log.subscribe(ACCEPTED, "process")) as reader:
                missing = end - (now - reader.lag())
            if missing <= 0:
                return
            if time.monotonic() >= deadline:
                raise LogUnavailableError(f"{missing} events wait to be processed: does the worker run?")
            self._check()
            time.sleep(_POLL_S)

    def _purge(self) -> None:
        for _ in range(_TRIES):
            if self._store.purge():
                return
            self._check()
            time.sleep(_POLL_S)
        raise ReceiptsUnavailableError(f"{self._store.path}: something reads it all the time")

    def _check(self) -> None:
        if self._stopped():
            raise InterruptedSearchError("interrupted; it goes on at the next start")


def _portions(offsets: list[int]) -> list[list[int]]:
    return [offsets[start : start + PORTION] for start in range(0, len(offsets), PORTION)]


def most(before: Receipt | None, now: Receipt) -> Receipt:
    """The receipt of what was begun before: what is erased already is not there any more to be counted."""
    if before is None:
        return now
    return Receipt(
        erased={place: max(n, before.erased.get(place, 0)) for place, n in {**before.erased, **now.erased}.items()},
        delivered={**now.delivered, **before.delivered},
        files=sorted({*now.files, *before.files}),
        unreadable=max(now.unreadable, before.unreadable),
    )
