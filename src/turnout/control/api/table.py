"""All operations. A module that declares one is named here, and nowhere else."""

from collections.abc import Sequence

from turnout.control.api import activity, dead_letters, delivery, destinations, inspector, me, sources
from turnout.control.api.operation import Operation

OPERATIONS: Sequence[Operation] = (
    sources.list_sources,
    sources.get_source,
    destinations.list_destinations,
    destinations.get_destination,
    inspector.trace_event,
    delivery.list_pending,
    dead_letters.list_dead_letters,
    dead_letters.replay_dead_letters,
    me.get_me,
    activity.list_activity,
)
