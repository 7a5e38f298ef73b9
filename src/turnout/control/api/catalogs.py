"""What sources and destinations there can be, and what they can be told (`config-api.md` A2, C1, C2)."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from turnout.control.api.documents import Identifier, Included, Listing, Nothing, Relationship, Resource
from turnout.control.api.operation import Call, operation
from turnout.control.api.paging import Numbered, numbered
from turnout.control.api.schemas import settings_schema
from turnout.destinations import registry
from turnout.model.config import IpMode, SourceType

_SOURCES: Mapping[SourceType, tuple[str, str, str]] = {
    "web": ("Website", "Browsers", "Pages, with the vendor's container or our own tag."),
    "mobile": ("App", "Apps", "Apps on phones and other devices."),
    "server": ("Server", "Own systems", "Programs of your own that send events."),
}
"""By type: label, category, description."""
CONNECTOR = "dms/connector"
"""What the vendor's API calls a type of source or destination."""


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a source takes."""

    allowed_origins: Annotated[
        list[str], Meta(description="Browsers may send from these alone.", examples=[["https://shop.example"]])
    ] = []
    max_events_per_second: Annotated[int, Meta(ge=1, description="What is above it is refused.")] | None = None
    trust_client_ip: Annotated[bool, Meta(description="Take the address that a client sends. Not of a server.")] = True
    ip: Annotated[IpMode, Meta(description="What is kept of a client's address.")] = "keep"
    ga4_bridge: Annotated[bool, Meta(description="Take hits of a Google tag as events.")] = True
    cookie_requires_consent: Annotated[bool, Meta(description="No CAID before a consent. Not of a server.")] = False
    lenient_content_type: Annotated[bool, Meta(description="Take JSON whatever its type is called.")] = False


class TypeAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A type of source or destination."""

    label: str
    template: Annotated[str, Meta(description="The `type` in `turnout.yaml`.")]
    description: str
    settings_schema: Annotated[
        dict[str, object],
        Meta(
            description="JSON Schema of `settings`. What is `writeOnly` is secret: it can be set, and is never shown."
        ),
    ]
    trigger_type: str = "event"
    icon: str | None = None
    guide_url: str | None = None


class CategoryAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Types that belong together."""

    label: str
    position: int
    types: Annotated[list[str], Meta(description="The templates in it.")]


class CatalogQuery(Numbered, frozen=True, kw_only=True):
    """What else."""

    include: Annotated[tuple[Literal["categories"], ...], Meta(description="Also give these, whole.")] = ()


class _Type(msgspec.Struct, frozen=True):
    name: str
    label: str
    category: str
    description: str
    config: type[msgspec.Struct]


@operation("GET", "/v2/{site}/source-catalog", scope="sources:read", tag="Sources")
def list_source_types(call: Call[CatalogQuery, Nothing]) -> Listing[TypeAttributes]:
    """The types that a source can have."""
    return _catalog(call, "source", _source_types())


@operation("GET", "/v2/{site}/source-categories", scope="sources:read", tag="Sources")
def list_source_categories(call: Call[Numbered, Nothing]) -> Listing[CategoryAttributes]:
    """The types of sources by where events come from."""
    return numbered(_categories("source", _source_types()), call.query, call.url)


@operation("GET", "/v2/{site}/destination-catalog", scope="destinations:read", tag="Destinations")
def list_destination_types(call: Call[CatalogQuery, Nothing]) -> Listing[TypeAttributes]:
    """The types that a destination can have, each with what its `settings` take."""
    return _catalog(call, "destination", _destination_types())


@operation("GET", "/v2/{site}/destination-categories", scope="destinations:read", tag="Destinations")
def list_destination_categories(call: Call[Numbered, Nothing]) -> Listing[CategoryAttributes]:
    """The types of destinations by what they are for."""
    return numbered(_categories("destination", _destination_types()), call.query, call.url)


def connectors() -> dict[Identifier, Included]:
    """Every type of source and destination."""
    return {
        Identifier(CONNECTOR, one.name): Included(type=CONNECTOR, id=one.name, attributes=_attributes(one))
        for one in (*_source_types(), *_destination_types())
    }


def _attributes(one: _Type) -> TypeAttributes:
    return TypeAttributes(
        label=one.label,
        template=one.name,
        description=one.description,
        settings_schema=settings_schema(one.config),
    )


def _catalog(call: Call[CatalogQuery, Nothing], kind: str, types: list[_Type]) -> Listing[TypeAttributes]:
    categories = _categories(kind, types)
    place = {one.attributes.label: str(one.id) for one in categories}
    found = [
        Resource(
            type=CONNECTOR,
            id=one.name,
            attributes=_attributes(one),
            relationships={"categories": Relationship([Identifier(f"{kind}-categories", place[one.category])])},
        )
        for one in types
    ]
    page = numbered(found, call.query, call.url)
    if "categories" not in call.query.include:
        return page
    included = [Included(type=one.type, id=str(one.id), attributes=one.attributes) for one in categories]
    return msgspec.structs.replace(page, included=included)


def _categories(kind: str, types: Iterable[_Type]) -> list[Resource[CategoryAttributes]]:
    members: dict[str, list[str]] = {}
    for one in types:
        members.setdefault(one.category, []).append(one.name)
    return [
        Resource(
            type=f"{kind}-categories",
            id=label.lower().replace(" ", "-"),
            attributes=CategoryAttributes(label=label, position=position, types=names),
        )
        for position, (label, names) in enumerate(sorted(members.items()))
    ]


def _source_types() -> list[_Type]:
    return [_Type(name, *_SOURCES[name], SourceSettings) for name in get_args(SourceType)]


def _destination_types() -> list[_Type]:
    return [
        _Type(kind.name, kind.name.replace("_", " ").capitalize(), kind.category, _said(kind.config), kind.config)
        for kind in registry.types().values()
    ]


def _said(config: type[msgspec.Struct]) -> str:
    return " ".join((config.__doc__ or "").partition("\n\n")[0].split())
