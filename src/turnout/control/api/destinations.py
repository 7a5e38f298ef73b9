"""Destinations: looking at them, making, changing and deleting them (`config-api.md` A2, C2)."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api import filters, integrations, links, parameters, stored, writing
from turnout.control.api.documents import Listing, Nothing, Single
from turnout.control.api.including import included
from turnout.control.api.integrations import Document, Ignored, NewDocument
from turnout.control.api.merging import merged
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import numbered
from turnout.control.api.problems import ApiError
from turnout.control.api.shown import ConsentAttribute, DestinationAttributes, DryMode, destination_resource
from turnout.control.configuration.edit import Editor, literal
from turnout.destinations import registry
from turnout.model.config import Destination

_ATTRIBUTES = "/data/attributes"
_POINTERS = {
    "type": f"{_ATTRIBUTES}/template",
    "filter": f"{_ATTRIBUTES}/event_filter",
    "mapping": f"{_ATTRIBUTES}/parameters",
    **{f"mapping.{ours}": f"{_ATTRIBUTES}/parameters/{theirs}" for ours, theirs in parameters.POINTERS.items()},
    "mapping.parameters": f"{_ATTRIBUTES}/parameters",
    "dry_mode": f"{_ATTRIBUTES}/dry_mode/enabled",
    "sources": "/data/relationships/sources/data",
    **{
        name: f"{_ATTRIBUTES}/{name}"
        for name in (
            *("label", "description", "status", "environment", "settings", "event_names", "consent", "delivery"),
        )
    },
}

Include = Literal["connector", "environment", "sources"]


class DeliveryChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of how hard it tries; null takes one back to what it is by itself."""

    timeout_ms: Annotated[int, Meta(ge=1, le=120_000)] | UnsetType | None = UNSET
    max_attempts: Annotated[int, Meta(ge=1, le=100)] | UnsetType | None = UNSET
    max_age_s: Annotated[int, Meta(ge=1, le=30 * 86_400)] | UnsetType | None = UNSET
    backoff_s: Annotated[float, Meta(ge=0, le=3_600)] | UnsetType | None = UNSET
    batch_size: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType | None = UNSET
    rate_per_second: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType | None = UNSET
    ordered: bool | UnsetType | None = UNSET


class DestinationChange(Ignored, frozen=True, kw_only=True):
    """What to change."""

    label: integrations.Label | UnsetType = UNSET
    description: integrations.Description | UnsetType | None = UNSET
    template: str | UnsetType = UNSET
    status: integrations.Status | UnsetType = UNSET
    environment: integrations.EnvironmentWord | UnsetType = UNSET
    settings: Annotated[
        dict[str, object] | UnsetType,
        Meta(description="Merged; null removes. What is sent back as it was shown stays, a secret too."),
    ] = UNSET
    event_names: list[str] | UnsetType | None = UNSET
    consent: ConsentAttribute | UnsetType | None = UNSET
    event_filter: dict[str, object] | UnsetType | None = UNSET
    event_filter_text: Annotated[
        str | UnsetType | None, Meta(description="The filter as a formula, instead of a tree.")
    ] = UNSET
    dry_mode: DryMode | UnsetType = UNSET
    delivery: DeliveryChange | UnsetType = UNSET
    parameters: dict[str, object] | UnsetType | None = UNSET
    name: Annotated[str | UnsetType, Meta(description="Stays as it is.")] = UNSET


class NewDestination(DestinationChange, frozen=True, kw_only=True):
    """A destination to be made. Without a `template` it needs the relationship `connector`."""

    label: integrations.Label


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be another in a copy."""

    label: integrations.Label | UnsetType = UNSET
    settings: Annotated[dict[str, object], Meta(description="Merged into those of the original.")] = {}


class DestinationQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What else."""

    include: Annotated[tuple[Include, ...], Meta(description="Also give these, whole.")] = ()


class DestinationsQuery(integrations.Filters, frozen=True, kw_only=True):
    """Which destinations."""

    include: Annotated[tuple[Include, ...], Meta(description="Also give these, whole.")] = ()
    source: Annotated[int, Meta(description="Only those that get events of this source.")] | None = msgspec.field(
        default=None, name="filter[source]"
    )
    dry_mode: Annotated[bool, Meta(description="Only those in dry mode, or not.")] | None = msgspec.field(
        default=None, name="filter[dry_mode]"
    )


@operation("GET", "/v2/{site}/destinations", scope="destinations:read", tag="Destinations")
def list_destinations(call: Call[DestinationsQuery, Nothing]) -> Listing[DestinationAttributes]:
    """The destinations of a site.

    All filters must match. Without `page[…]` the whole list is given.
    """
    query = call.query
    numbers = integrations.numbers(call)
    found = [
        destination_resource(call, one)
        for one in call.world.snapshot().destinations.values()
        if one.site == call.site
        and query.admit(one.label, one.status, one.environment, one.type)
        and (query.source is None or query.source in {numbers["source", ref].id for ref in one.sources})
        and query.dry_mode in (None, one.dry_mode)
    ]
    page = numbered(sorted(found, key=integrations.number), query, call.url)
    return msgspec.structs.replace(page, included=included(call, page.data, query.include))


@operation("POST", "/v2/{site}/destinations", scope="destinations:write", tag="Destinations", status=201)
def create_destination(call: Call[Nothing, NewDocument[NewDestination]]) -> Single[DestinationAttributes]:
    """Make a destination.

    It needs a `label`, a `template` (or the relationship `connector`) and the `settings` of that; the
    catalogue has them. It is inactive unless `status` says otherwise. `relationships.sources` links it.
    """
    return create(call)


@operation("GET", "/v2/{site}/destinations/{id}", scope="destinations:read", tag="Destinations", etag=True)
def get_destination(call: Call[DestinationQuery, Nothing]) -> Single[DestinationAttributes]:
    """One destination."""
    found = destination_resource(call, _destination(call))
    return Single(found, included=included(call, [found], call.query.include))


@operation("PATCH", "/v2/{site}/destinations/{id}", scope="destinations:write", tag="Destinations")
def change_destination(call: Call[Nothing, Document[DestinationChange]]) -> Single[DestinationAttributes]:
    """Change what is named; everything else stays, secrets too."""
    return change(call)


@operation("PATCH", "/v2/{site}/destinations", scope="destinations:write", tag="Destinations")
def change_destination_in_body(call: Call[Nothing, Document[DestinationChange]]) -> Single[DestinationAttributes]:
    """The same, for clients that put the id into the body alone."""
    return change(call)


@operation("DELETE", "/v2/{site}/destinations/{id}", scope="destinations:write", tag="Destinations")
def delete_destination(call: Call[Nothing, Nothing]) -> None:
    """Delete a destination. What it has not got yet, it will not get."""
    delete(call)


@operation("POST", "/v2/{site}/destinations/{id}/duplicate", scope="destinations:write", tag="Destinations", status=201)
def duplicate_destination(call: Call[Nothing, Copy]) -> Single[DestinationAttributes]:
    """Make a copy, with its secrets and links, inactive.

    The body may be left out. Two destinations can't write one file: then `settings` have to say another.
    """
    found = _destination(call)
    label = call.body.label if call.body.label is not UNSET else f"{found.label} (copy)"
    name = writing.name_for(label, integrations.names(call, "destination"))
    base = writing.path_of(call.site, "destination", name)

    def do(editor: Editor) -> None:
        fields = editor.get(writing.path_of(call.site, "destination", found.name))
        assert isinstance(fields, dict)
        settings = merged(fields.get("settings", {}), literal(call.body.settings))
        editor.put(base, {**fields, "label": literal(label), "status": "inactive", "settings": settings})

    pointers = {**dict.fromkeys(_POINTERS, ""), "settings": "/settings", "label": "/label"}
    writing.change(call, "destinations.create", name, do, base=base, pointers=pointers)
    return _shown(call, f"{call.site}/{name}", DestinationChange())


def create(call: AnyCall) -> Single[DestinationAttributes]:
    """Make the destination that the body describes. Raises `ApiError`."""
    given: NewDestination = call.body.data.attributes
    template = given.template if given.template is not UNSET else integrations.related_word(call.body.data, "connector")
    if template is UNSET:
        raise integrations.missing_template()
    name = writing.name_for(given.label, integrations.names(call, "destination"))
    base = writing.path_of(call.site, "destination", name)
    status = "inactive" if given.status is UNSET else integrations.word(given.status)
    planned = _planned(given, None)

    def do(editor: Editor) -> None:
        editor.set(base, {"type": template, "label": given.label, "status": status, "sources": []})
        _write(editor, base, given, planned, None)
        links.write(editor, call.site, "destination", name, links.wanted(call, "destination") or [])

    writing.change(call, "destinations.create", name, do, base=base, pointers=_pointers(given))
    return _shown(call, f"{call.site}/{name}", given)


def change(call: AnyCall) -> Single[DestinationAttributes]:
    """Change the destination that path or body mean. Raises `ApiError`."""
    ref = integrations.sent_to(call, "destination")
    before = call.world.snapshot().destinations[ref]
    given = _attributes(call)
    base = writing.path_of(call.site, "destination", before.name)
    wanted = links.wanted(call, "destination")
    shown = destination_resource(call, before).attributes
    planned = _planned(given, shown)

    def do(editor: Editor) -> None:
        for field, value in (
            ("type", given.template),
            ("label", given.label),
            ("status", integrations.word(given.status)),
        ):
            if value is not UNSET:
                editor.set((*base, field), value)
        _write(editor, base, given, planned, shown)
        if wanted is not None:
            links.write(editor, call.site, "destination", before.name, wanted)

    number = str(integrations.numbers(call)["destination", ref].id)
    writing.change(call, "destinations.update", number, do, base=base, pointers=_pointers(given))
    return _shown(call, ref, given)


def delete(call: AnyCall) -> None:
    """Delete the destination of the path. Raises `ApiError`."""
    name = integrations.ref_of(call, "destination", call.path["id"]).partition("/")[2]
    base = writing.path_of(call.site, "destination", name)
    writing.change(call, "destinations.delete", call.path["id"], lambda editor: editor.remove(base))


def _destination(call: AnyCall) -> Destination:
    return call.world.snapshot().destinations[integrations.ref_of(call, "destination", call.path["id"])]


def _attributes(call: AnyCall) -> DestinationChange:
    sent = call.body.data.attributes
    return DestinationChange() if sent is UNSET else sent


def _pointers(given: DestinationChange) -> Mapping[str, str]:
    """Where this body has what fields of the file get."""
    written = given.event_filter_text is not UNSET and given.event_filter_text is not None
    return {**_POINTERS, "filter": f"{_ATTRIBUTES}/event_filter_text"} if written else _POINTERS


def _planned(given: DestinationChange, shown: DestinationAttributes | None) -> dict[str, object]:
    """Fields that are worked out from what is given and what there was; None removes. Raises `ApiError` 422."""
    fields: dict[str, object] = {}
    if given.event_filter is not UNSET and given.event_filter_text is not UNSET:
        # Both, sent back as they were shown: the one that is another now counts.
        if shown is None or given.event_filter != shown.event_filter:
            fields["filter"] = _filter(given.event_filter, shown)
        if shown is not None and given.event_filter_text != shown.event_filter_text:
            fields["filter"] = given.event_filter_text
    elif given.event_filter is not UNSET:
        fields["filter"] = _filter(given.event_filter, shown)
    elif given.event_filter_text is not UNSET:
        fields["filter"] = given.event_filter_text
    if given.parameters is not UNSET and (shown is None or given.parameters != shown.parameters):
        pointer = f"{_ATTRIBUTES}/parameters"
        wanted = {} if given.parameters is None else merged({} if shown is None else shown.parameters, given.parameters)
        assert isinstance(wanted, Mapping)
        wanted = stored.plain(wanted, pointer)
        if faults := list(parameters.faults(wanted, pointer)):
            raise ApiError(422, faults)
        fields["mapping"] = parameters.written(wanted) or None
    return fields


def _filter(tree: Mapping[str, object] | None, shown: DestinationAttributes | None) -> str | None:
    if tree is None:
        return None
    if stored.is_stored_filter(tree):
        return stored.filter_of(tree, f"{_ATTRIBUTES}/event_filter")
    return filters.formula_of(
        merged(shown.event_filter if shown is not None else None, tree), f"{_ATTRIBUTES}/event_filter"
    )


def _write(
    editor: Editor,
    base: tuple[str, ...],
    given: DestinationChange,
    planned: Mapping[str, object],
    shown: DestinationAttributes | None,
) -> None:
    """Put what is given into its places."""
    fields: dict[str, object] = {
        "description": given.description,
        "environment": integrations.word(given.environment),
        "event_names": given.event_names or None if given.event_names is not UNSET else UNSET,
        "consent": msgspec.to_builtins(given.consent) if given.consent is not UNSET else UNSET,
        "dry_mode": given.dry_mode.enabled if given.dry_mode is not UNSET else UNSET,
        **planned,
    }
    for name, value in fields.items():
        if value is None:
            editor.remove((*base, name))
        elif value is not UNSET:
            editor.set((*base, name), value)
    if given.settings is not UNSET:
        kind = str(editor.get((*base, "type")))
        patch = dict(_really_changed(kind, given.settings, shown))
        editor.put((*base, "settings"), merged(editor.get((*base, "settings")) or {}, literal(patch)))
    if given.delivery is not UNSET:
        patch = {name: value for name, value in msgspec.structs.asdict(given.delivery).items() if value is not UNSET}
        editor.put((*base, "delivery"), merged(editor.get((*base, "delivery")) or {}, patch))


def _really_changed(
    kind: str, settings: Mapping[str, object], shown: DestinationAttributes | None
) -> Iterable[tuple[str, object]]:
    """The settings that are not sent back as they were shown: masked, a secret is none that anybody wants to set."""
    secret = registry.secret_settings(kind)
    for name, value in settings.items():
        mark = name in secret and isinstance(value, Mapping) and isinstance(value.get("set"), bool)
        if not mark and (shown is None or name not in shown.settings or value != shown.settings[name]):
            yield name, value


def _shown(call: AnyCall, ref: str, given: DestinationChange) -> Single[DestinationAttributes]:
    """The answer to a change, with warnings."""
    snapshot = call.world.snapshot()
    destination = snapshot.destinations[ref]
    found = destination_resource(call, destination)
    pairs = [(source, ref) for source in sorted(destination.sources)]
    warnings = [*integrations.without_effect(given, found.attributes), *integrations.mismatches(snapshot, pairs)]
    return Single(found, meta=integrations.told(warnings))
