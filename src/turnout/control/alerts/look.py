"""Reads what a rule asks about: receipts, log, and what the worker says of itself."""

from collections.abc import Sequence

from turnout.control.alerts import check
from turnout.control.alerts.check import OFF, Reading
from turnout.log.interface import Log
from turnout.model.alerts import (
    Alert,
    Backlog,
    DataQuality,
    DeliveryRatio,
    Drift,
    Issue,
    Lag,
    Silence,
    Volume,
)
from turnout.model.config import Snapshot
from turnout.model.duration import milliseconds
from turnout.model.event import PROCESSED
from turnout.model.facts import Facts
from turnout.receipts.figures import Collected, Delivered, collected, delivered, last_collected_ms
from turnout.receipts.lists import oldest_pending_ms
from turnout.receipts.store import Store

_HOUR, _DAY, _WEEK = 3_600_000, 86_400_000, 604_800_000
_BY_MINUTE_MS = 47 * _HOUR
"""What is longer ago is known by the hour; an hour less than that, because it is rolled up meanwhile."""


class Look:
    """One round of checks at one moment. `worker` is None while no worker tells. Raises what log and receipts raise."""

    def __init__(self, snapshot: Snapshot, log: Log, store: Store, worker: Facts | None, now_ms: int) -> None:
        self._snapshot, self._log, self._store, self._worker, self._now_ms = snapshot, log, store, worker, now_ms
        self._numbers = {ref: number for ref, (number, _) in store.destinations().items()}

    def reading(self, alert: Alert) -> Reading:
        """What there is to say of a rule now."""
        if alert.status != "active":
            return OFF
        match alert.parameters:
            case Silence() | DataQuality() | Volume():
                source = self._snapshot.sources.get(alert.subject)
                return self._of_source(alert) if source is not None and source.status == "active" else OFF
            case Lag() as wanted:
                return check.lag(wanted, self._worker.lag if self._worker is not None else None)
        watched = self._watched(alert)
        return self._of_destinations(alert, watched) if watched else OFF

    def _watched(self, alert: Alert) -> list[str]:
        """The destinations that a rule is about, without those that are inactive or only pretend to send."""
        return [
            ref
            for ref, one in self._snapshot.destinations.items()
            if one.site == alert.site
            and alert.subject in ("", ref)
            and one.status == "active"
            and not one.dry_mode
            and ref in self._numbers
        ]

    def _of_destinations(self, alert: Alert, watched: Sequence[str]) -> Reading:
        match alert.parameters:
            case DeliveryRatio() as wanted:
                return check.delivery(wanted, self._delivered(watched, milliseconds(wanted.window)))
            case Issue() as wanted:
                window = milliseconds(wanted.window)
                before = () if wanted.reasons else self._delivered(watched, _DAY, window)
                return check.issue(wanted, self._delivered(watched, window), before)
            case Backlog() as wanted:
                (ref,) = watched
                return check.backlog(wanted, *self._waiting(ref), self._now_ms)
            case Drift():
                told = self._worker.destinations if self._worker is not None else {}
                return check.drift({ref: told[ref].drift for ref in watched if ref in told})
        raise AssertionError(alert.category)

    def _of_source(self, alert: Alert) -> Reading:
        match alert.parameters:
            case DataQuality() as wanted:
                since = self._now_ms - milliseconds(wanted.window)
                return check.quality(wanted, self._collected(alert, since, self._now_ms))
            case Volume() as wanted:
                return check.volume(wanted, *self._volumes(alert, wanted))
            case Silence() as wanted:
                last = last_collected_ms(self._store, alert.site).get(alert.subject)
                return check.silence(wanted, last, self._now_ms)
        raise AssertionError(alert.category)

    def _delivered(self, refs: Sequence[str], length_ms: int, ago_ms: int = 0) -> list[Delivered]:
        until = self._now_ms - ago_ms
        return delivered(self._store, until - length_ms, until, _DAY, [self._numbers[ref] for ref in refs])

    def _collected(self, alert: Alert, since_ms: int, until_ms: int) -> list[Collected]:
        rows = collected(self._store, since_ms, until_ms, _DAY, alert.site)
        return [row for row in rows if row.source == alert.subject]

    def _volumes(self, alert: Alert, wanted: Volume) -> tuple[int, int]:
        """How many events came in the window, and in the one it is compared with."""
        window = milliseconds(wanted.window)
        ago = _WEEK if wanted.compare == "previous_week" else window
        until = self._now_ms
        if ago + window > _BY_MINUTE_MS:
            until -= until % _HOUR
        first, second = (
            sum(row.n for row in self._collected(alert, end - window, end)) for end in (until, until - ago)
        )
        return first, second

    def _waiting(self, ref: str) -> tuple[int, int | None]:
        """How many events wait for a destination, and when the oldest came: in the ledger, or not reached yet."""
        number, cursor = self._store.destinations()[ref]
        oldest = oldest_pending_ms(self._store, number)
        unread = max(0, self._log.end(PROCESSED) - cursor)
        if unread:
            reader = self._log.subscribe(PROCESSED, None, cursor)
            try:
                batches = reader.fetch(1)
            finally:
                reader.close()
            if batches:
                appended = batches[0].appended_ms
                oldest = appended if oldest is None else min(oldest, appended)
        return self._store.pending(number) + unread, oldest
