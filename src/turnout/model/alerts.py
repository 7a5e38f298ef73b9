"""Alert rules as the configuration says them (`config-api.md` C7): checked, with names in place of numbers."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from turnout.model.duration import Duration

Category = Literal[
    "destination/delivery",
    "destination/issue",
    "destination/backlog",
    "destination/drift",
    "source/data-quality",
    "source/volume",
    "source/silence",
    "processing/lag",
]
Channel = Literal["EMAIL", "SLACK", "TEAMS", "WEBHOOK"]
Frequency = Literal["15m", "30m", "1h", "1d", "1w", "never"]

FREQUENCY_MS: Mapping[Frequency, int | None] = {
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "1d": 86_400_000,
    "1w": 604_800_000,
    "never": None,
}
"""After how long an alert that lasts is told again."""

Percent = Annotated[float, Meta(ge=0, le=100, examples=[90])]
Events = Annotated[int, Meta(ge=1, le=1_000_000_000, examples=[20])]
Window = Annotated[Duration, Meta(description="How far back is looked: from a minute to 31 days.", examples=["PT1H"])]


class DeliveryRatio(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fires when less than `threshold` percent of the events sent in the window were delivered."""

    threshold: Percent = 90
    window: Window = "PT1H"
    min_events: Annotated[Events, Meta(description="With fewer events nothing is said.")] = 20


class Issue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fires when events fail for one of these reasons; without any, for one that the day before did not have."""

    reasons: Annotated[tuple[str, ...], Meta(examples=[["401_unauthorized"]])] = ()
    min_events: Events = 1
    window: Window = "PT1H"


class Backlog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fires when an event waits for longer than `max_age`, or more than `max_count` wait."""

    max_age: Duration = "PT10M"
    max_count: Events | None = None


class Drift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fires when the sums of a destination do not close: an event would have no recorded fate."""


class DataQuality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fires when less than `threshold` percent of the events that came in the window were valid."""

    threshold: Percent = 75
    window: Window = "PT1H"
    event_names: Annotated[tuple[str, ...], Meta(description="Only these; empty: all.", examples=[["purchase"]])] = ()
    min_events: Annotated[Events, Meta(description="With fewer events nothing is said.")] = 20


class Volume(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fires when the events in the window are `drop` percent fewer, or `rise` percent more, than before."""

    drop: Percent | None = 50
    rise: Annotated[float, Meta(gt=0, le=1_000_000, examples=[200])] | None = None
    window: Window = "PT1H"
    compare: Literal["previous_week", "previous_period"] = "previous_week"
    min_events: Annotated[Events, Meta(description="With fewer before, nothing is said.")] = 20


class Silence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fires when a source that has sent before has sent nothing for `max_age`."""

    max_age: Duration = "PT1H"


class Lag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fires when more than `max_count` accepted events wait to be processed. Concerns the whole server."""

    max_count: Events = 10_000


Parameters = DeliveryRatio | Issue | Backlog | Drift | DataQuality | Volume | Silence | Lag

PARAMETERS: Mapping[Category, type[Parameters]] = {
    "destination/delivery": DeliveryRatio,
    "destination/issue": Issue,
    "destination/backlog": Backlog,
    "destination/drift": Drift,
    "source/data-quality": DataQuality,
    "source/volume": Volume,
    "source/silence": Silence,
    "processing/lag": Lag,
}
OF_ALL: frozenset[Category] = frozenset(("destination/issue", "destination/drift"))
"""Categories that concern every destination of the site when none is named."""


SECRET_SETTINGS = ("url", "secret")
"""Of a notification: whoever knows them can write there, or write as if they were us."""


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told, and how often again while it lasts. Which of the settings it has depends on the channel."""

    name: str
    channel: Channel
    frequency: Frequency = "1h"
    emails: tuple[str, ...] = ()
    url: str = ""
    secret: str = ""
    """What a webhook is signed with; "" signs nothing."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule. `subject` is the reference of the source or destination it is about; "" for all, or for the server."""

    site: str
    name: str
    category: Category
    subject: str = ""
    parameters: Parameters
    status: Literal["active", "inactive"] = "active"
    notify: tuple[Notification, ...] = ()

    @property
    def ref(self) -> str:
        return f"{self.site}/{self.name}"
