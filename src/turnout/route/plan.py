"""Whether an event is offered to a destination, without a look into it (`processing.md` §7.1, the allow-list)."""

from turnout.model.config import Destination
from turnout.model.event import ROUTED, Processed
from turnout.model.outcome import Code


def offered(destination: Destination, record: Processed) -> Code | None:
    """What is decided without the event's content; `None` means: ask the `Gate`, if there is one, or send it.

    `NOT_OFFERED` when the event was refused or failed, its source is not linked, or the destination is
    inactive; `FILTERED_EVENT_NAME` when the destination has an allow-list without this name; `CANCELLED` when the
    event was erased before it could be delivered.
    """
    if record.status not in ROUTED or record.source not in destination.sources:
        return Code.NOT_OFFERED
    if destination.status != "active":
        return Code.NOT_OFFERED
    if destination.event_names and record.name not in destination.event_names:
        return Code.FILTERED_EVENT_NAME
    return None if record.payload else Code.CANCELLED
