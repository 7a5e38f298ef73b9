"""What the inspector keeps, and for how long (`config-api.md` C4)."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api.documents import New, Nothing, Resource, Single
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.writing import change
from turnout.control.configuration.edit import Editor
from turnout.model.config import Snapshot
from turnout.model.sampling import PER_HOUR, PER_MINUTE, Mode


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an event name at a source or destination where sampling limits it."""

    per_minute: int = PER_MINUTE
    per_hour: Annotated[int, Meta(description="Beyond those.")] = PER_HOUR


class SettingsAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Of the site, and of the whole server."""

    sampling: Annotated[Mode, Meta(description="Of the site. `auto`: all, until the quota is passed for a minute.")]
    quota: Quota = Quota()
    incoming_days: Annotated[int, Meta(description="A setting of the server, as all that follow.")]
    outgoing_hours: int
    bytes: int
    test_code_days: int = 1


class SettingsChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change."""

    sampling: Mode | UnsetType = UNSET


@operation("GET", "/v2/{site}/inspector/settings", scope="admin", tag="Inspector", etag=True)
def get_inspector_settings(call: Call[Nothing, Nothing]) -> Single[SettingsAttributes]:
    """What the inspector keeps, and for how long."""
    return _settings(call, call.world.snapshot())


@operation("PATCH", "/v2/{site}/inspector/settings", scope="admin", tag="Inspector")
def change_inspector_settings(call: Call[Nothing, New[SettingsChange]]) -> Single[SettingsAttributes]:
    """Change how a site's records are sampled. The rest are settings of the server, fixed when it starts."""
    wanted = call.body.data.attributes.sampling
    if wanted is not UNSET:
        place = ("sites", call.site, "inspector")
        pointers = {"sampling": "/data/attributes/sampling"}

        def do(text: Editor) -> None:
            text.set((*place, "sampling"), wanted)

        change(call, "inspector.update", "settings", do, base=place, pointers=pointers)
    return _settings(call, call.world.snapshot())


def _settings(call: AnyCall, snapshot: Snapshot) -> Single[SettingsAttributes]:
    settings = call.world.settings
    attributes = SettingsAttributes(
        sampling=snapshot.sampling.get(call.site, "auto"),
        incoming_days=settings.inspector_days,
        outgoing_hours=settings.inspector_outgoing_hours,
        bytes=settings.inspector_bytes,
    )
    return Single(Resource(type="inspector/settings", id=call.site, attributes=attributes))
