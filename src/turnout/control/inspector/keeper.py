"""The inspector's own thread: follows what happens, applies the retention, and goes on after whatever goes wrong."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator

import structlog

from turnout.control.inspector.drain import Drain
from turnout.control.inspector.follower import Follower
from turnout.control.inspector.inspector import Inspector
from turnout.log.interface import Log
from turnout.model.clock import Clock, now_ms
from turnout.model.config import Snapshot
from turnout.model.errors import LogUnavailableError, ReceiptsUnavailableError
from turnout.settings import Settings

_IDLE_S, _TROUBLE_S = 0.1, 1.0
_RETAIN_MS = 5_000
_ERRORS = (LogUnavailableError, ReceiptsUnavailableError, sqlite3.Error, OSError)

log = structlog.get_logger("inspector")


class Keeper:
    """Runs while the body of `at_work` does."""

    def __init__(
        self,
        settings: Settings,
        inspector: Inspector,
        open_log: Callable[[], Log],
        snapshot: Callable[[], Snapshot],
        clock: Clock = now_ms,
    ) -> None:
        self._settings, self._inspector, self._clock = settings, inspector, clock
        self._open_log, self._snapshot = open_log, snapshot
        self._stop = threading.Event()
        self._retain_at_ms = 0
        self.lag = 0
        """Events that have not been looked at."""
        self.trouble = ""
        """Why no records are kept at the moment; empty when all is well."""

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep records meanwhile."""
        thread = threading.Thread(target=self._run, name="inspector", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        stream = self._open_log()
        follower = Follower(stream, self._inspector.incoming, self._snapshot)
        drain = Drain(self._settings.state_path, self._inspector.outgoing, self._snapshot)
        wait = 0.0
        while not self._stop.wait(wait):
            try:
                wait = self._turn(follower, drain)
            except _ERRORS as error:
                self._tell(str(error))
                wait = _TROUBLE_S
        follower.close()
        drain.close()
        stream.close()

    def _turn(self, follower: Follower, drain: Drain) -> float:
        """One step; gives how long to wait before the next (s)."""
        if (now := self._clock()) >= self._retain_at_ms:
            self._retain_at_ms = now + _RETAIN_MS
            self._inspector.retain(now)
        if not self._inspector.has_room():
            self._tell("the disk is nearly full; what is left of it is for events")
            return _TROUBLE_S
        with self._inspector.following:
            went_on = any([follower.step(), drain.step()])
        if went_on:
            self._inspector.stay_within_budget()
        self._tell("")
        self.lag = follower.lag()
        return 0.0 if went_on else _IDLE_S

    def _tell(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.warning("no records are kept for the inspector", reason=trouble)
        elif self.trouble and not trouble:
            log.info("records are kept again")
        self.trouble = trouble
