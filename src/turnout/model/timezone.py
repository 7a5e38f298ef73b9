"""Time zones by name: where a date without an offset is meant (`formulas.md` §8)."""

import functools
import zoneinfo
from datetime import UTC, tzinfo

NAME = "UTC"
"""Of a site that says nothing."""


@functools.cache
def known() -> frozenset[str]:
    """The names of the time-zone database of this machine, as far as they are places or UTC."""
    return frozenset(zoneinfo.available_timezones()) - {"Factory", "localtime"} | {NAME}


def zone_of(name: str) -> tzinfo:
    """The zone of a name that is `known`."""
    return UTC if name == NAME else zoneinfo.ZoneInfo(name)
