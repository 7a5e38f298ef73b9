"""Destinations, as they are configured (`config-api.md` A2, C2)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from turnout.control.api import integrations
from turnout.control.api.documents import Listing, Nothing, Relationship, Resource, Single, moment
from turnout.control.api.masking import masked_settings
from turnout.control.api.operation import Call, operation
from turnout.control.api.paging import numbered
from turnout.control.api.problems import not_found
from turnout.model.config import Delivery, Destination, Environment


class DryMode(msgspec.Struct, frozen=True, kw_only=True):
    """Whether events are only said to be sent."""

    enabled: bool
    use_real_authentication: bool = False


class DestinationAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A destination. Members that have no meaning here are those of the vendor's API, for its clients."""

    label: str
    template: Annotated[str, Meta(description="The `type` in `turnout.yaml`.")]
    status: Literal["active", "inactive"]
    environment: Environment
    settings: Annotated[
        dict[str, object], Meta(description='Those of its type. A secret one is only `{"set": true}`, for everybody.')
    ]
    event_names: Annotated[list[str], Meta(description="Allow-list; empty means every event.")]
    dry_mode: DryMode
    delivery: Delivery
    created: Annotated[str, Meta(description="When the server first saw it.")]
    occurence_type: str = "continuous"
    timezone: str = "UTC"
    parameters: dict[str, object] = {}


class DestinationsQuery(integrations.Filters, frozen=True, kw_only=True):
    """Which destinations."""

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
        _resource(one, numbers)
        for one in call.world.snapshot().destinations.values()
        if one.site == call.site
        and query.admit(one.name, one.status, one.environment, one.type)
        and (query.source is None or query.source in {numbers["source", ref].id for ref in one.sources})
        and query.dry_mode in (None, one.dry_mode)
    ]
    return numbered(sorted(found, key=integrations.number), query, call.url)


@operation("GET", "/v2/{site}/destinations/{id}", scope="destinations:read", tag="Destinations", etag=True)
def get_destination(call: Call[Nothing, Nothing]) -> Single[DestinationAttributes]:
    """One destination."""
    numbers = integrations.numbers(call)
    for one in call.world.snapshot().destinations.values():
        if one.site == call.site and str(numbers["destination", one.ref].id) == call.path["id"]:
            return Single(_resource(one, numbers))
    raise not_found("there is no destination with this id")


def _resource(destination: Destination, numbers: integrations.Numbers) -> Resource[DestinationAttributes]:
    known = numbers["destination", destination.ref]
    return Resource(
        type=integrations.TYPE,
        id=known.id,
        attributes=DestinationAttributes(
            label=destination.name,
            template=destination.type,
            status=destination.status,
            environment=destination.environment,
            settings=masked_settings(destination.settings),
            event_names=sorted(destination.event_names),
            dry_mode=DryMode(enabled=destination.dry_mode),
            delivery=destination.delivery,
            created=moment(known.created_ms),
        ),
        relationships={
            "sources": Relationship(integrations.identifiers(numbers["source", ref].id for ref in destination.sources))
        },
        links={"self": f"/v2/{destination.site}/destinations/{known.id}"},
    )
