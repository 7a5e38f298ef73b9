"""Sources, as they are configured (`config-api.md` A2, C1)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from turnout.control.api import integrations
from turnout.control.api.documents import Listing, Nothing, Relationship, Resource, Single, moment
from turnout.control.api.operation import Call, operation
from turnout.control.api.paging import numbered
from turnout.control.api.problems import not_found
from turnout.model.config import Environment, Source, SourceType


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a source takes."""

    allowed_origins: list[str]
    max_events_per_second: int | None


class SourceAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A source. Members that have no meaning here are those of the vendor's API, for its clients."""

    label: str
    template: Annotated[SourceType, Meta(description="The `type` in `turnout.yaml`.")]
    status: str
    environment: Environment
    integration_key: Annotated[str | None, Meta(description="The source key; only with the scope `sources:keys`.")]
    settings: SourceSettings
    created: Annotated[str, Meta(description="When the server first saw it.")]
    occurence_type: str = "continuous"
    timezone: str = "UTC"
    parameters: dict[str, object] = {}


class SourcesQuery(integrations.Filters, frozen=True, kw_only=True):
    """Which sources."""

    destination: Annotated[int, Meta(description="Only those that this destination gets events of.")] | None = (
        msgspec.field(default=None, name="filter[destination]")
    )


@operation("GET", "/v2/{site}/sources", scope="sources:read", tag="Sources")
def list_sources(call: Call[SourcesQuery, Nothing]) -> Listing[SourceAttributes]:
    """The sources of a site.

    All filters must match. Without `page[…]` the whole list is given.
    """
    query = call.query
    numbers = integrations.numbers(call)
    linked = integrations.linked_to_destination(call, query.destination)
    found = [
        _resource(call, source, numbers)
        for source in call.world.snapshot().sources.values()
        if source.site == call.site
        and query.admit(source.name, source.status, source.environment, source.type)
        and (linked is None or source.ref in linked)
    ]
    return numbered(sorted(found, key=integrations.number), query, call.url)


@operation("GET", "/v2/{site}/sources/{id}", scope="sources:read", tag="Sources", etag=True)
def get_source(call: Call[Nothing, Nothing]) -> Single[SourceAttributes]:
    """One source."""
    numbers = integrations.numbers(call)
    for source in call.world.snapshot().sources.values():
        if source.site == call.site and str(numbers["source", source.ref].id) == call.path["id"]:
            return Single(_resource(call, source, numbers))
    raise not_found("there is no source with this id")


def _resource(
    call: Call[SourcesQuery, Nothing] | Call[Nothing, Nothing], source: Source, numbers: integrations.Numbers
) -> Resource[SourceAttributes]:
    known = numbers["source", source.ref]
    destinations = [
        numbers["destination", one.ref].id
        for one in call.world.snapshot().destinations.values()
        if source.ref in one.sources
    ]
    return Resource(
        type=integrations.TYPE,
        id=known.id,
        attributes=SourceAttributes(
            label=source.name,
            template=source.type,
            status=source.status,
            environment=source.environment,
            integration_key=source.key if "sources:keys" in call.token.scopes else None,
            settings=SourceSettings(
                allowed_origins=list(source.allowed_origins), max_events_per_second=source.max_events_per_second
            ),
            created=moment(known.created_ms),
        ),
        relationships={"destinations": Relationship(integrations.identifiers(destinations))},
        links={"self": f"/v2/{call.site}/sources/{known.id}"},
    )
