"""Sources: looking at them, making, changing and deleting them (`config-api.md` A2, C1)."""

import uuid
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api import integrations, links, writing
from turnout.control.api.catalogs import SourceSettings
from turnout.control.api.documents import Listing, Nothing, Single
from turnout.control.api.including import included
from turnout.control.api.integrations import Document, Ignored, NewDocument
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import numbered
from turnout.control.api.problems import failure
from turnout.control.api.shown import SourceAttributes, deleted_ms, source_resource
from turnout.control.configuration.edit import Editor
from turnout.model.config import SourceType

_PURGED_AFTER_MS = 86_400_000
_SETTINGS = SourceSettings.__struct_fields__
_POINTERS = {
    "type": "/data/attributes/template",
    "key": "/data/attributes/integration_key",
    **{name: f"/data/attributes/{name}" for name in ("label", "description", "status", "environment")},
    **{name: f"/data/attributes/settings/{name}" for name in _SETTINGS},
}

Include = Literal["connector", "environment", "destinations", "keys"]


class SourceSettingsChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of the settings; null takes one back to what it is by itself."""

    allowed_origins: list[str] | UnsetType | None = UNSET
    max_events_per_second: Annotated[int, Meta(ge=1)] | UnsetType | None = UNSET
    trust_client_ip: bool | UnsetType | None = UNSET
    ip: Literal["keep", "truncate", "drop"] | UnsetType | None = UNSET
    ga4_bridge: bool | UnsetType | None = UNSET
    cookie_requires_consent: bool | UnsetType | None = UNSET
    lenient_content_type: bool | UnsetType | None = UNSET


class SourceChange(Ignored, frozen=True, kw_only=True):
    """What to change."""

    label: integrations.Label | UnsetType = UNSET
    description: integrations.Description | UnsetType | None = UNSET
    template: SourceType | UnsetType = UNSET
    status: integrations.Status | UnsetType = UNSET
    environment: integrations.EnvironmentWord | UnsetType = UNSET
    settings: SourceSettingsChange | UnsetType = UNSET
    parameters: dict[str, object] | UnsetType | None = UNSET
    name: Annotated[str | UnsetType, Meta(description="Stays as it is.")] = UNSET


class NewSource(SourceChange, frozen=True, kw_only=True):
    """A source to be made. Without a `template` it needs the relationship `connector`."""

    label: integrations.Label


class SourceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What else."""

    include: Annotated[tuple[Include, ...], Meta(description="Also give these, whole.")] = ()


class SourcesQuery(integrations.Filters, frozen=True, kw_only=True):
    """Which sources."""

    include: Annotated[tuple[Include, ...], Meta(description="Also give these, whole.")] = ()
    destination: Annotated[int, Meta(description="Only those that this destination gets events of.")] | None = (
        msgspec.field(default=None, name="filter[destination]")
    )


class DeleteQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How."""

    purge: Annotated[bool, Meta(description="Take away for good what was deleted a day ago or more.")] = False


@operation("GET", "/v2/{site}/sources", scope="sources:read", tag="Sources")
def list_sources(call: Call[SourcesQuery, Nothing]) -> Listing[SourceAttributes]:
    """The sources of a site.

    All filters must match. Without `page[…]` the whole list is given. Deleted ones are shown with
    `filter[status]=deleted` alone.
    """
    query = call.query
    wanted = integrations.linked_to_destination(call, query.destination)
    found = [
        source_resource(call, source)
        for source in call.world.snapshot().sources.values()
        if source.site == call.site
        and query.admit(source.label, source.status, source.environment, source.type)
        and (source.status != "deleted" or "deleted" in query.status)
        and (wanted is None or source.ref in wanted)
    ]
    page = numbered(sorted(found, key=integrations.number), query, call.url)
    return msgspec.structs.replace(page, included=included(call, page.data, query.include))


@operation("POST", "/v2/{site}/sources", scope="sources:write", tag="Sources", status=201)
def create_source(call: Call[Nothing, NewDocument[NewSource]]) -> Single[SourceAttributes]:
    """Make a source, with a key.

    It needs a `label` and a `template` (or the relationship `connector`). Its name in `turnout.yaml` is made from the
    label. `relationships.destinations` links it.
    """
    return create(call)


@operation("GET", "/v2/{site}/sources/{id}", scope="sources:read", tag="Sources", etag=True)
def get_source(call: Call[SourceQuery, Nothing]) -> Single[SourceAttributes]:
    """One source."""
    found = source_resource(call, call.world.snapshot().sources[integrations.sent_to(call, "source")])
    return Single(found, included=included(call, [found], call.query.include))


@operation("PATCH", "/v2/{site}/sources/{id}", scope="sources:write", tag="Sources")
def change_source(call: Call[Nothing, Document[SourceChange]]) -> Single[SourceAttributes]:
    """Change what is named; everything else stays. `status: inactive` refuses its events."""
    return change(call)


@operation("PATCH", "/v2/{site}/sources", scope="sources:write", tag="Sources")
def change_source_in_body(call: Call[Nothing, Document[SourceChange]]) -> Single[SourceAttributes]:
    """The same, for clients that put the id into the body alone."""
    return change(call)


@operation("DELETE", "/v2/{site}/sources/{id}", scope="sources:write", tag="Sources")
def delete_source(call: Call[DeleteQuery, Nothing]) -> None:
    """Delete a source: its events are refused as `source_deleted` from now on.

    It can be taken back with `status: active`. With `purge` it is taken out of the configuration, with its links.
    """
    delete(call)


def create(call: AnyCall) -> Single[SourceAttributes]:
    """Make the source that the body describes. Raises `ApiError`."""
    given: NewSource = call.body.data.attributes
    template = given.template if given.template is not UNSET else integrations.related_word(call.body.data, "connector")
    if template is UNSET:
        raise integrations.missing_template()
    name = writing.name_for(given.label, integrations.names(call, "source"))
    base = writing.path_of(call.site, "source", name)
    wanted = links.wanted(call, "source")

    def do(editor: Editor) -> None:
        editor.set(base, {"type": template, "label": given.label, "key": str(uuid.uuid4())})
        _write(editor, base, given)
        if wanted is not None:
            links.write(editor, call.site, "source", name, wanted)

    writing.change(call, "sources.create", name, do, base=base, pointers=_POINTERS)
    return _shown(call, f"{call.site}/{name}", given)


def change(call: AnyCall) -> Single[SourceAttributes]:
    """Change the source that path or body mean. Raises `ApiError`."""
    ref = integrations.sent_to(call, "source")
    given: SourceChange = _attributes(call)
    base = writing.path_of(call.site, "source", ref.partition("/")[2])
    wanted = links.wanted(call, "source")

    def do(editor: Editor) -> None:
        if given.template is not UNSET:
            editor.set((*base, "type"), given.template)
        if given.label is not UNSET:
            editor.set((*base, "label"), given.label)
        _write(editor, base, given)
        if wanted is not None:
            links.write(editor, call.site, "source", base[-1], wanted)

    number = str(integrations.numbers(call)["source", ref].id)
    writing.change(call, "sources.update", number, do, base=base, pointers=_POINTERS)
    return _shown(call, ref, given)


def delete(call: AnyCall) -> None:
    """Delete the source of the path, or purge it. Raises `ApiError`."""
    ref = integrations.sent_to(call, "source")
    base = writing.path_of(call.site, "source", ref.partition("/")[2])
    number = call.path["id"]
    is_deleted = call.world.snapshot().sources[ref].status == "deleted"
    if not getattr(call.query, "purge", False):
        if is_deleted:
            raise failure(409, "CONFLICT", "the source is deleted already; purge=true takes it away for good")
        writing.change(call, "sources.delete", number, lambda editor: editor.set((*base, "status"), "deleted"))
        return
    since_ms = deleted_ms(call, ref)
    if not is_deleted or (since_ms is not None and call.now_ms - since_ms < _PURGED_AFTER_MS):
        raise failure(409, "CONFLICT", "only what was deleted a day ago or more can be purged")

    def do(editor: Editor) -> None:
        links.write(editor, call.site, "source", base[-1], [])
        editor.remove(base)

    writing.change(call, "sources.purge", number, do)


def _attributes(call: AnyCall) -> SourceChange:
    sent = call.body.data.attributes
    return SourceChange() if sent is UNSET else sent


def _write(editor: Editor, base: tuple[str, ...], given: SourceChange) -> None:
    """Put what is given, apart from type and label, into its places."""
    fields: dict[str, object] = {
        "description": given.description,
        "status": integrations.word(given.status),
        "environment": integrations.word(given.environment),
    }
    if given.settings is not UNSET:
        fields |= {name: getattr(given.settings, name) for name in _SETTINGS}
    for name, value in fields.items():
        if value is None:
            editor.remove((*base, name))
        elif value is not UNSET:
            editor.set((*base, name), value)


def _shown(call: AnyCall, ref: str, given: SourceChange) -> Single[SourceAttributes]:
    """The answer to a change, with warnings."""
    snapshot = call.world.snapshot()
    found = source_resource(call, snapshot.sources[ref])
    pairs = [(ref, one.ref) for one in snapshot.destinations.values() if ref in one.sources]
    warnings = [*integrations.without_effect(given, found.attributes), *integrations.mismatches(snapshot, pairs)]
    if given.parameters:
        warnings.append("parameters has no effect here")
    return Single(found, meta=integrations.told(warnings))
