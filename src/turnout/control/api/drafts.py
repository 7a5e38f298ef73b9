"""A configuration that is not applied: a whole one, or the applied one with parts of a site replaced."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api.configurations import require_all_sites
from turnout.control.api.operation import AnyCall
from turnout.control.api.problems import ApiError, Fault, Place
from turnout.control.configuration.edit import Editor
from turnout.model.config import Snapshot
from turnout.model.errors import ConfigError

_AT = "/data/attributes"
_EMPTY = "sites: {}\n"


class DestinationDraft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a destination is replaced, as `turnout.yaml` has it; null takes it away."""

    event_names: object = UNSET
    consent: object = UNSET
    filter: object = UNSET
    mapping: object = UNSET


class SiteDraft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of the site is replaced, as `turnout.yaml` has it; null takes it away."""

    cleansing: Annotated[object, Meta(description="All rules.")] = UNSET
    specification: object = UNSET
    destinations: Annotated[
        dict[str, DestinationDraft], Meta(description="By name, of destinations that there are.")
    ] = {}


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """Which configuration: the applied one if nothing is given."""

    configuration: Annotated[
        str | UnsetType,
        Meta(description="A whole one, as `turnout.yaml` has it. For tokens with `admin` that open all sites."),
    ] = UNSET
    draft: Annotated[
        SiteDraft | UnsetType,
        Meta(
            description="Parts of the site in place of the applied ones; needs `destinations:write`.",
            examples=[{"cleansing": [], "destinations": {"crm": {"filter": "value > 10"}}}],
        ),
    ] = UNSET

    @property
    def is_draft(self) -> bool:
        """Whether it is another than the applied one."""
        return self.configuration is not UNSET or self.draft is not UNSET


def drafted(call: AnyCall, given: Draft) -> Snapshot:
    """The configuration that is asked for. Raises `ApiError`: 403, or 422 with all that is wrong in it."""
    if given.configuration is not UNSET and given.draft is not UNSET:
        raise ApiError(
            422, [Fault("INVALID_PROPERTY_FORMAT", "give either configuration or draft", Place(pointer=_AT))]
        )
    if given.configuration is not UNSET:
        # Variables of the environment are resolved in it, and shown in what would be sent.
        call.require("admin")
        require_all_sites(call)
        text = given.configuration
        return _checked(call, lambda: text, "configuration")
    if given.draft is not UNSET:
        call.require("destinations:write")
        draft = given.draft
        return _checked(call, lambda: _edited(call, draft), "draft")
    return call.world.snapshot()


def _edited(call: AnyCall, draft: SiteDraft) -> str:
    """The applied text with the draft's parts in their places."""
    current = call.world.configurations.current()
    editor = Editor(current.text if current is not None else _EMPTY)
    site = ("sites", call.site)
    faults = [
        Fault(
            "INVALID_PROPERTY_FORMAT", "there is no destination of this name", Place(f"{_AT}/draft/destinations/{one}")
        )
        for one in draft.destinations
        if editor.get((*site, "destinations", one)) is None
    ]
    if faults:
        raise ApiError(422, faults)
    for name in ("cleansing", "specification"):
        if (value := getattr(draft, name)) is not UNSET:
            editor.set((*site, name), value)
    for name, one in draft.destinations.items():
        for part in DestinationDraft.__struct_fields__:
            if (value := getattr(one, part)) is not UNSET:
                editor.set((*site, "destinations", name, part), value)
    return editor.text


def _checked(call: AnyCall, text: Callable[[], str], member: str) -> Snapshot:
    try:
        return call.world.configurations.check(text())
    except ConfigError as error:
        raise ApiError(
            422,
            [
                Fault(
                    "INVALID_PROPERTY_FORMAT",
                    str(one),
                    Place(pointer=f"{_AT}/{member}"),
                    {"path": one.path, "message": one.message, "fix": one.fix},
                )
                for one in error.problems
            ],
        ) from error
