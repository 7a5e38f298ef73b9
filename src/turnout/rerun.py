"""Recorded events through two configurations: what a draft would change. Pure; nothing is kept or sent.

Data stores and APIs are not read for either: what enrichments would add is missing on both sides.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from turnout.destinations import mapped
from turnout.destinations.dry import DryDestination
from turnout.destinations.interface import Context, Event
from turnout.mapping.partner import Mapper
from turnout.model.config import Destination, Snapshot
from turnout.model.event import ROUTED, Processed, Received
from turnout.model.outcome import OUTCOME_OF, REASON_OF, Code
from turnout.process.build import chain_for
from turnout.process.chain import Tally, process
from turnout.route.gate import Gate
from turnout.route.plan import offered

_decode = msgspec.json.Decoder(dict[str, object]).decode


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What one configuration makes of an event. `event` is None if it goes no further.

    `destinations` has, by reference, what would happen there: "send", or an outcome with its reason. `sent` has what
    a mapping makes of the event, where a destination has one.
    """

    status: str
    event_name: str
    event: dict[str, object] | None
    destinations: dict[str, str]
    sent: dict[str, object]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An event of which two configurations make different things; None: one of them makes no such event."""

    event_id: str
    source: str
    received_ms: int
    before: Fate | None
    after: Fate | None

    @property
    def kinds(self) -> Iterator[str]:
        """What is different, in words for counting."""
        before, after = self.before, self.after
        if before is None or after is None:
            known = before or after
            assert known is not None
            yield f"{known.event_name or '-'}: {'derived' if before is None else 'not derived'}"
            return
        if before.status != after.status:
            yield f"status: {before.status} → {after.status}"
        if before.event_name != after.event_name:
            yield f"name: {before.event_name or '-'} → {after.event_name or '-'}"
        elif before.event != after.event and before.event is not None and after.event is not None:
            yield "content"
        for ref in sorted({*before.destinations, *after.destinations}):
            old, new = (side.destinations.get(ref, "not offered") for side in (before, after))
            if old != new:
                yield f"{ref}: {old} → {new}"
            elif before.sent.get(ref) != after.sent.get(ref):
                yield f"{ref}: another mapping"


class Rerun:
    """One configuration, compiled."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Raises `FormulaError` for a formula that cannot work."""
        self._chain = chain_for(snapshot, Tally())
        self._destinations = list(snapshot.destinations.values())
        self._gates = {one.ref: Gate(one.requirement, one.zone) for one in self._destinations}
        self._mappers = {one.ref: Mapper(one.mapping) for one in self._destinations if one.mapping is not None}

    def fates(self, received: Received) -> dict[str, Fate]:
        """By id: the fate of an event, and of those derived from it."""
        return {one.event_id: self._fate(one, received) for one in process(received, 0, self._chain)}

    def _fate(self, record: Processed, received: Received) -> Fate:
        event = _decode(record.payload) if record.status in ROUTED else None
        outcomes: dict[str, str] = {}
        sent: dict[str, object] = {}
        for destination in self._destinations:
            if record.source in destination.sources:
                outcome = self._outcome(destination, record, event, received.received_ms, sent)
                if outcome:
                    outcomes[destination.ref] = outcome
        return Fate(status=record.status, event_name=record.name, event=event, destinations=outcomes, sent=sent)

    def _outcome(
        self,
        destination: Destination,
        record: Processed,
        event: Mapping[str, object] | None,
        now_ms: int,
        sent: dict[str, object],
    ) -> str:
        """Empty where it is not offered."""
        code = offered(destination, record)
        if code is None:
            code = self._gates[destination.ref].judge(event, now_ms).code
        if code == Code.NOT_OFFERED:
            return ""
        if code is not None:
            return f"{OUTCOME_OF[code]} {REASON_OF.get(code, '')}".strip()
        if (mapper := self._mappers.get(destination.ref)) is not None:
            made = mapped.mapped(
                mapper, Event(record.event_id, record.name, record.payload, now_ms), _nowhere(destination)
            )
            if not isinstance(made, Event):
                return f"{made.kind} {made.reason}".strip()
            sent[destination.ref] = _decode(made.payload)
        return "dry_run" if destination.dry_mode else "send"


def _nowhere(destination: Destination) -> Context:
    """A world in which nothing is sent."""
    return Context(
        destination.ref, Path(), lambda translator: DryDestination(translator, lambda: 0), zone=destination.zone
    )


def changes(before: Rerun, after: Rerun, received: Received) -> Iterator[Change]:
    """What is different between what both make of an event."""
    old, new = before.fates(received), after.fates(received)
    for event_id in dict.fromkeys((*old, *new)):
        if old.get(event_id) != new.get(event_id):
            yield Change(
                event_id=event_id,
                source=received.source,
                received_ms=received.received_ms,
                before=old.get(event_id),
                after=new.get(event_id),
            )
