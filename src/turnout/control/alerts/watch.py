"""The loop of the control process: checks every rule each minute, and sends what follows.

What must stay true: a check is recorded, with the messages that follow from it, before any is sent. What can't be
read or written now is tried again at the next minute; states stay as they were.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable

import structlog

from turnout.control import factsfile
from turnout.control.alerts import sending, words
from turnout.control.alerts.book import FRESH, Entry, Outcome
from turnout.control.alerts.check import Reading
from turnout.control.alerts.look import Look
from turnout.control.alerts.state import Kind, State, messages, step
from turnout.control.alerts.words import Notice
from turnout.control.api.world import World
from turnout.control.status import SILENT_MS
from turnout.model.alerts import Alert, Notification
from turnout.model.config import EMPTY, Snapshot
from turnout.model.errors import ControlUnavailableError, LogUnavailableError, ReceiptsUnavailableError

CHECKED_EVERY_MS = 60_000
_AT_ONCE = 16
_RETRY_MS = (10_000, 60_000, 300_000, 900_000, 3_600_000)
_GIVEN_UP_MS = 86_400_000
_UNAVAILABLE = (ControlUnavailableError, LogUnavailableError, ReceiptsUnavailableError, sqlite3.Error, OSError)

log = structlog.get_logger("alerts")


class Watch:
    """One per server. `check` and `send` are the two halves of a round, for tests that own the time."""

    def __init__(self, world: World) -> None:
        self._world, self._book = world, world.alerts

    async def run(self, stop: asyncio.Event) -> None:
        """Check and send until `stop`: at the start, at every full minute, and when a message is to be tried again."""
        next_check_ms = 0
        while not stop.is_set():
            now_ms = self._world.clock()
            try:
                if now_ms >= next_check_ms:
                    next_check_ms = now_ms - now_ms % CHECKED_EVERY_MS + CHECKED_EVERY_MS
                    await asyncio.to_thread(self.check, now_ms)
                due_ms = await self.send(now_ms)
            except _UNAVAILABLE as error:
                log.warning("alerts not checked", reason=str(error))
                due_ms = None
            except Exception:
                # A mistake of ours must not take the API and the health page with it.
                log.exception("alerts not checked")
                due_ms = None
            wait_ms = min(next_check_ms, due_ms or next_check_ms) - self._world.clock()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(wait_ms, 50) / 1000)

    def check(self, now_ms: int) -> None:
        """Look at every rule, and record what was found and what has to be said. Blocks; raises `_UNAVAILABLE`."""
        snapshot = self._world.snapshot()
        kept = self._book.kept()
        if snapshot is EMPTY or not (snapshot.alerts or kept):
            return
        states: dict[str, State] = {}
        entries: list[Entry] = []
        with self._world.events() as (stream, store):
            worker = factsfile.read(self._world.settings.data_dir).get("worker")
            if worker is not None and now_ms - worker.beat_ms > SILENT_MS:
                worker = None
            look = Look(snapshot, stream, store, worker, now_ms)
            for ref, alert in snapshot.alerts.items():
                before, snoozed_until_ms = kept.get(ref, FRESH)
                reading = look.reading(alert)
                state = step(before, reading, now_ms)
                if state.phase != before.phase:
                    entries.append(_change(alert, state, now_ms))
                states[ref], said = messages(state, reading, alert.notify, snoozed_until_ms, now_ms)
                notice = _notice(alert, snapshot, state, reading, now_ms)
                entries += [_message(alert, one.notification, notice, one.kind, now_ms) for one in said]
        self._book.record(states, entries, now_ms)

    async def send(self, now_ms: int) -> int | None:
        """Send what is due; gives when the next message is. Raises `ControlUnavailableError`."""
        while due := await asyncio.to_thread(self._book.due, now_ms, _AT_ONCE):
            await asyncio.gather(*(self._try(entry, now_ms) for entry in due))
        return await asyncio.to_thread(self._book.next_due_ms)

    async def _try(self, entry: Entry, now_ms: int) -> None:
        alert = self._world.snapshot().alerts.get(f"{entry.site}/{entry.alert}")
        notification = next((one for one in alert.notify if one.name == entry.notification), None) if alert else None
        outcome = Outcome(error="not configured any more")
        if alert is not None and notification is not None and entry.notice is not None:
            outcome = await self._attempt(entry, entry.notice, alert, notification, now_ms)
        await asyncio.to_thread(self._book.settle, entry, outcome)

    async def _attempt(
        self, entry: Entry, notice: Notice, alert: Alert, notification: Notification, now_ms: int
    ) -> Outcome:
        text = words.text(notice, await asyncio.to_thread(self._world.link, "alert", alert.ref))
        message_id = f"turnout-alert-{entry.seq}-{entry.at_ms}"
        result = await sending.send(self._world.settings, notification, notice, text, message_id, now_ms)
        said = " ".join(part for part in (result.reason, result.detail) if part)
        if result.kind == "delivered":
            log.info("alert told", alert=alert.ref, notification=notification.name, kind=entry.kind)
            return Outcome(sent_ms=now_ms, error=said)
        due_ms = now_ms + _RETRY_MS[min(entry.attempts, len(_RETRY_MS) - 1)]
        final = due_ms > entry.at_ms + _GIVEN_UP_MS
        log.warning(
            "alert not told", alert=alert.ref, notification=notification.name, reason=said, attempts=entry.attempts + 1
        )
        return Outcome(error=said, due_ms=None if final else due_ms)


def _change(alert: Alert, state: State, now_ms: int) -> Entry:
    return Entry(site=alert.site, alert=alert.name, at_ms=now_ms, kind=state.phase)


def _message(alert: Alert, notification: str, notice: Callable[[Kind], Notice], kind: Kind, now_ms: int) -> Entry:
    return Entry(
        site=alert.site,
        alert=alert.name,
        at_ms=now_ms,
        kind=kind,
        notification=notification,
        notice=notice(kind),
        due_ms=now_ms,
    )


def _notice(alert: Alert, snapshot: Snapshot, state: State, reading: Reading, now_ms: int) -> Callable[[Kind], Notice]:
    """Makes what a message is made of, for its kind."""
    subject = snapshot.destinations.get(alert.subject) or snapshot.sources.get(alert.subject)
    environment = subject.environment if subject is not None else ""

    def notice(kind: Kind) -> Notice:
        return Notice(
            kind=kind,
            site=alert.site,
            alert=alert.name,
            category=alert.category,
            subject=subject.label or subject.name if subject is not None else "",
            environment=environment,
            at_ms=now_ms,
            since_ms=state.since_ms if state.since_ms is not None else now_ms,
            value=reading.value,
            limit=reading.limit,
            window=getattr(alert.parameters, "window", ""),
            counts=reading.counts,
            reasons=reading.reasons,
        )

    return notice
