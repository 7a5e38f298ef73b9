"""Whether an event goes to a destination (`processing.md` §7.1, and the allow-list of names)."""

from turnout.model.config import Destination
from turnout.model.event import ROUTED, Processed
from turnout.model.outcome import Code


def offered(destination: Destination, record: Processed) -> Code | None:
    """What routing alone decides for this pair; `None` means: send it.

    `NOT_OFFERED` when the event was refused or failed, its source is not linked, or the destination is
    inactive; `FILTERED_EVENT_NAME` when the destination has an allow-list without this name.
    """
    if record.status not in ROUTED or record.source not in destination.sources:
        return Code.NOT_OFFERED
    if destination.status != "active":
        return Code.NOT_OFFERED
    if destination.event_names and record.name not in destination.event_names:
        return Code.FILTERED_EVENT_NAME
    return None
