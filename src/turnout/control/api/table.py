"""All operations. A module that declares one is named here, and nowhere else."""

from collections.abc import Sequence

from turnout.control.api import (
    activity,
    api_tokens,
    catalogs,
    dead_letters,
    delivery,
    destinations,
    inspector,
    me,
    sources,
)
from turnout.control.api.operation import Operation

OPERATIONS: Sequence[Operation] = (
    sources.list_sources,
    sources.get_source,
    destinations.list_destinations,
    destinations.get_destination,
    catalogs.list_source_types,
    catalogs.list_source_categories,
    catalogs.list_destination_types,
    catalogs.list_destination_categories,
    inspector.trace_event,
    delivery.list_pending,
    dead_letters.list_dead_letters,
    dead_letters.replay_dead_letters,
    me.get_me,
    api_tokens.list_tokens,
    api_tokens.create_token,
    api_tokens.get_token,
    api_tokens.change_token,
    api_tokens.revoke_token,
    api_tokens.rotate_token,
    activity.list_activity,
)
