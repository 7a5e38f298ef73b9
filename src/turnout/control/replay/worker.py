"""Moves what replays are about into the retry ledger at their rate, and follows it to its end.

What must stay true: an item is moved at most once. It is known by when it died, so a letter that is gone, or has died
again, was moved, though a crash may have kept that from being written down.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import groupby

import structlog

from turnout.control.replay.jobs import PENDING, QUEUED, Item, Replay, Replays
from turnout.model.clock import Clock
from turnout.model.config import Snapshot
from turnout.model.errors import TurnoutError
from turnout.model.outcome import OUTCOME_OF, Code
from turnout.receipts.selection import letters_at, outcomes_at
from turnout.receipts.store import Store

_TURN_S, _TROUBLE_S = 0.2, 2.0
_MOST_WAITING = 1_000
"""In the ledger of a destination, before more is added: live events must find room there."""
_FOLLOWED = 10_000
_UNDELIVERED = (OUTCOME_OF[Code.ERROR], OUTCOME_OF[Code.REJECTED])

log = structlog.get_logger("replay")


class ReplayWorker:
    """See the module. One per data directory."""

    def __init__(
        self,
        jobs: Replays,
        receipts: Callable[[], AbstractContextManager[Store]],
        snapshot: Callable[[], Snapshot],
        clock: Clock,
    ) -> None:
        """`receipts` opens them, for use in a thread."""
        self._jobs, self._receipts, self._snapshot, self._clock = jobs, receipts, snapshot, clock
        self._moved_ms: dict[str, int] = {}
        """Until when each replay has used what its rate allows."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`."""
        while not stop.is_set():
            well = await asyncio.to_thread(self.turn)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _TURN_S if well else _TROUBLE_S)

    def turn(self) -> bool:
        """One step of every replay; whether all went well."""
        try:
            open_ones = self._jobs.unfinished()
            if open_ones:
                with self._receipts() as store:
                    for job in open_ones:
                        self._step(store, job)
        except (TurnoutError, OSError, sqlite3.Error) as error:
            log.warning("replays wait", reason=str(error))
            return False
        return True

    def _step(self, store: Store, job: Replay) -> None:
        if job.state == "running":
            self._move(store, job)
        self._follow(store, job)
        left = self._jobs.items(job.id, (QUEUED, PENDING), 1)
        if not left:
            state = "cancelled" if job.state == "cancelled" else "completed"
            self._jobs.change(job.id, state=state, finished_ms=self._clock(), trouble="")
            self._moved_ms.pop(job.id, None)

    def _move(self, store: Store, job: Replay) -> None:
        now = self._clock()
        since = self._moved_ms.setdefault(job.id, now - 1000)
        allowed = min((now - since) * job.rate_per_second // 1000, max(1, job.rate_per_second))
        items = self._jobs.items(job.id, (QUEUED,), allowed) if allowed > 0 else []
        if not items:
            return
        self._moved_ms[job.id] = now
        trouble = ""
        for destination, group in groupby(sorted(items), key=lambda item: item.destination):
            reason = self._hindrance(store, destination)
            trouble = trouble or reason
            if not reason:
                self._move_to(store, job, destination, list(group), now)
        if trouble != job.trouble:
            self._jobs.change(job.id, trouble=trouble)

    def _move_to(self, store: Store, job: Replay, destination: int, items: Sequence[Item], now: int) -> None:
        letters = letters_at(store, destination, [item.offset for item in items])
        ready = [
            letter
            for item in items
            if (letter := letters.get(item.offset)) is not None and letter.died_ms == item.died_ms
        ]
        store.replay(destination, ready, now, job.id)
        outcomes = outcomes_at(store, destination, [item.offset for item in items])
        self._jobs.became(job.id, [item._replace(status=_status(item, letters, outcomes)) for item in items])

    def _hindrance(self, store: Store, destination: int) -> str:
        """Why nothing can be sent to this destination now; empty if it can."""
        ref = next((one.ref for one in store.registered() if one.id == destination and not one.removed), "")
        configured = self._snapshot().destinations.get(ref)
        if configured is None:
            return "the destination is not configured any more"
        if configured.status != "active" or configured.dry_mode:
            return f"{ref} is inactive or in dry mode"
        return (
            f"{ref} has {_MOST_WAITING} events that wait already" if store.pending(destination) >= _MOST_WAITING else ""
        )

    def _follow(self, store: Store, job: Replay) -> None:
        pending = self._jobs.items(job.id, (PENDING,), _FOLLOWED)
        changed: list[Item] = []
        for destination, group in groupby(sorted(pending), key=lambda item: item.destination):
            items = list(group)
            outcomes = outcomes_at(store, destination, [item.offset for item in items])
            # The outcome of what is older than the replay window is not known any more: it has one by now.
            found = [item._replace(status=outcomes.get(item.offset, "expired")) for item in items]
            changed += [item for item in found if item.status != PENDING]
        if changed:
            self._jobs.became(job.id, changed)


def _status(item: Item, letters: Container[int], outcomes: Mapping[int, str]) -> str:
    """What an item is after it was to be moved: by this call, or by one that did not live to write it down."""
    outcome = outcomes.get(item.offset, "expired")
    # Without its letter it was not moved: its time was over, or it was erased.
    return "expired" if outcome in _UNDELIVERED and item.offset not in letters else outcome
