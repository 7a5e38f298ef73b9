"""What waits to be delivered (`config-api.md` C5)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from turnout.control import factsfile
from turnout.control.api import integrations
from turnout.control.api.documents import Listing, Nothing, Resource, moment_or_none
from turnout.control.api.operation import Call, operation
from turnout.control.status import SILENT_MS
from turnout.log.interface import Log
from turnout.model.event import PROCESSED
from turnout.model.facts import DestinationFacts
from turnout.receipts.lists import oldest_pending_ms
from turnout.receipts.records import Registered
from turnout.receipts.store import Store


class PendingAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """One destination's queue."""

    label: str
    lag: Annotated[int, Meta(description="Events of the log that it has not come to, those of all sources.")]
    pending: Annotated[int, Meta(description="Events that wait for their next attempt.")]
    oldest_received_at: Annotated[str | None, Meta(description="When the oldest of these was received.")]
    next_attempt_at: str | None
    dead_letters: int
    breaker: Annotated[str | None, Meta(description="`closed`, `open` or `half_open`; None while no worker tells.")]


@operation("GET", "/v2/{site}/delivery/pending", scope="delivery:read", tag="Delivery")
def list_pending(call: Call[Nothing, Nothing]) -> Listing[PendingAttributes]:
    """How much waits, per destination: not reached yet, or between two attempts."""
    numbers = integrations.numbers(call)
    facts = _facts(call)
    with call.world.events() as (log, store):
        found = [
            Resource(
                type="delivery/pending",
                id=known.id,
                attributes=_pending(log, store, one, facts.get(one.ref)),
            )
            for one in store.registered()
            if not one.removed
            and one.ref.startswith(f"{call.site}/")
            and (known := numbers.get(("destination", one.ref))) is not None
        ]
    return Listing(data=sorted(found, key=integrations.number), links={"self": call.url})


def _pending(log: Log, store: Store, one: Registered, facts: DestinationFacts | None) -> PendingAttributes:
    upcoming = store.next_due(one.id)
    return PendingAttributes(
        label=one.ref.partition("/")[2],
        lag=max(0, log.end(PROCESSED) - one.cursor),
        pending=store.pending(one.id),
        oldest_received_at=moment_or_none(oldest_pending_ms(store, one.id)),
        next_attempt_at=moment_or_none(upcoming[0].due_ms) if upcoming else None,
        dead_letters=store.figures(one.id).dead,
        breaker=facts.breaker if facts is not None else None,
    )


def _facts(call: Call[Nothing, Nothing]) -> dict[str, DestinationFacts]:
    worker = factsfile.read(call.world.settings.data_dir).get("worker")
    return worker.destinations if worker is not None and call.now_ms - worker.beat_ms < SILENT_MS else {}
