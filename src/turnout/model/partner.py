"""How a destination wants its events (`processing.md` §8), as configured: checked, formulas still text."""

from typing import Literal

import msgspec

from turnout.model.change import Change


class PartnerMapping(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to a destination's own copy of an event, in this order; other destinations never see it."""

    changes: tuple[Change, ...] = ()
    """Changes of properties."""
    events: dict[str, str] = {}
    """By our name of an event: the template of the partner's. Several may become one."""
    others: Literal["keep", "drop"] = "keep"
    """What is done with events that are not in `events`."""
    parameters: dict[str, str] | None = None
    """The properties that are sent instead of the event, each with the formula of its value; None sends the event."""
    custom: dict[str, str] = {}
    """Properties that are added to what is sent, each with the formula of its value."""
