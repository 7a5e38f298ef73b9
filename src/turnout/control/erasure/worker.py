"""Carries out erasures, one after the other, in a thread of the control process; goes on after a restart."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import structlog

from turnout.control.erasure.carry_out import Entries, Task
from turnout.control.erasure.jobs import Erasure, Erasures
from turnout.control.erasure.search import InterruptedSearchError
from turnout.control.inspector.inspector import Inspector
from turnout.log.interface import Log
from turnout.model.clock import Clock
from turnout.model.config import Snapshot
from turnout.model.errors import TurnoutError
from turnout.receipts.store import Store

_IDLE_S = 0.5
_AGAIN_S = 5.0

log = structlog.get_logger("erasure")


class ErasureWorker:
    """See the module. One per data directory: two would do everything twice."""

    def __init__(
        self,
        jobs: Erasures,
        events: Callable[[], AbstractContextManager[tuple[Log, Store]]],
        inspector: Inspector,
        entries: Entries,
        snapshot: Callable[[], Snapshot],
        clock: Clock,
    ) -> None:
        """`events` opens the log and the receipts, for use in a thread."""
        self._jobs, self._events, self._inspector, self._entries = jobs, events, inspector, entries
        self._snapshot, self._clock = snapshot, clock
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; what is under way then is broken off and done at the next start."""
        self._stop = stop
        while not stop.is_set():
            failed = await asyncio.to_thread(self._turn)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _AGAIN_S if failed else _IDLE_S)

    def _turn(self) -> bool:
        """Do what is open; whether something of it has to wait."""
        try:
            waiting = [job for job in self._jobs.open() if not self._done(job)]
            return bool(waiting)
        except TurnoutError as error:
            log.warning("erasures wait", reason=str(error))
            return True

    def _done(self, job: Erasure) -> bool:
        try:
            self._carry_out(job)
        except InterruptedSearchError:
            return False
        except (TurnoutError, OSError, sqlite3.Error) as error:
            log.warning("erasure waits", erasure=job.id, reason=str(error))
            if str(error) != job.trouble:
                self._jobs.hindered(job.id, str(error))
            return False
        log.info("erasure done", erasure=job.id, dry_run=job.dry_run)
        return True

    def _carry_out(self, job: Erasure) -> None:
        receipt = job.receipt
        if job.person is not None:
            types = {ref: one.type for ref, one in self._snapshot().destinations.items()}
            with self._events() as (stream, store):
                task = Task(
                    stream, store, self._inspector, self._entries, job.site, job.person, types, self._stop.is_set
                )
                note = partial(self._jobs.begun, job.id)
                receipt = task.count() if job.dry_run else task.erase(receipt, note, self._clock())
        assert receipt is not None, "whom it is about is forgotten after there is a receipt"
        self._jobs.done(job.id, receipt, self._clock())
