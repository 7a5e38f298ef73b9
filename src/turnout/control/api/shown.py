"""Sources and destinations as they are shown (`config-api.md` A2, C1, C2)."""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from turnout.control.access.activity import Sought
from turnout.control.api import integrations, parameters
from turnout.control.api.catalogs import CONNECTOR, SourceSettings
from turnout.control.api.documents import Identifier, Relationship, Resource, moment, moment_or_none
from turnout.control.api.filters import tree_of
from turnout.control.api.masking import masked_settings
from turnout.control.api.operation import AnyCall
from turnout.model.config import Delivery, Destination, Environment, Key, Source, SourceType

ENVIRONMENT, KEYS = "integration-environments", "source-keys"
ENVIRONMENTS = get_args(Environment)


class SourceAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A source. Members that have no meaning here are those of the vendor's API, for its clients."""

    label: str
    name: Annotated[str, Meta(description="Its name in `turnout.yaml`.")]
    description: str
    template: Annotated[SourceType, Meta(description="The `type` in `turnout.yaml`.")]
    status: Literal["active", "inactive", "deleted"]
    environment: Environment
    integration_key: Annotated[str | None, Meta(description="The source key; only with the scope `sources:keys`.")]
    settings: SourceSettings
    created: Annotated[str, Meta(description="When the server first saw it.")]
    deleted_at: Annotated[str | None, Meta(description="If it was deleted here.")]
    occurence_type: str = "continuous"
    timezone: str = "UTC"
    parameters: dict[str, object] = {}


class DryMode(msgspec.Struct, frozen=True, kw_only=True):
    """Whether events are only said to be sent."""

    enabled: bool
    use_real_authentication: Literal[False] = False


class ConsentAttribute(msgspec.Struct, frozen=True, kw_only=True):
    """Categories of which any or all must have been granted."""

    categories: Annotated[list[str], Meta(examples=[["3"]])]
    mode: Literal["all", "any"] = "all"


class DestinationAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A destination. Members that have no meaning here are those of the vendor's API, for its clients."""

    label: str
    name: Annotated[str, Meta(description="Its name in `turnout.yaml`.")]
    description: str
    template: Annotated[str, Meta(description="The `type` in `turnout.yaml`.")]
    status: Literal["active", "inactive"]
    environment: Environment
    settings: Annotated[
        dict[str, object], Meta(description='Those of its type. A secret one is only `{"set": true}`, for everybody.')
    ]
    event_names: Annotated[list[str], Meta(description="Allow-list; empty means every event.")]
    consent: Annotated[ConsentAttribute | None, Meta(description="What a user must have granted; null: nothing.")]
    event_filter: Annotated[
        dict[str, object] | None,
        Meta(description="What must hold for an event, as a tree; null too if the formula can't be shown as one."),
    ]
    event_filter_text: Annotated[str | None, Meta(description="The same as a formula.")]
    dry_mode: DryMode
    delivery: Delivery
    created: Annotated[str, Meta(description="When the server first saw it.")]
    occurence_type: str = "continuous"
    timezone: str = "UTC"
    parameters: Annotated[dict[str, object], Meta(description="How its own copy of an event is changed.")] = {}


class KeyAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a source."""

    key: Annotated[str | None, Meta(description="Only with the scope `sources:keys`.")]
    state: Annotated[Literal["active", "grace", "revoked"], Meta(description="`grace`: works until `expires_at`.")]
    expires_at: str | None


def source_resource(call: AnyCall, source: Source) -> Resource[SourceAttributes]:
    """A source as it is shown."""
    numbers = integrations.numbers(call)
    known = numbers["source", source.ref]
    destinations = [
        numbers["destination", one.ref].id
        for one in call.world.snapshot().destinations.values()
        if source.ref in one.sources
    ]
    settings = {name: getattr(source, name) for name in SourceSettings.__struct_fields__}
    return Resource(
        type=integrations.TYPE,
        id=known.id,
        attributes=SourceAttributes(
            label=source.label,
            name=source.name,
            description=source.description,
            template=source.type,
            status=source.status,
            environment=source.environment,
            integration_key=source.key if "sources:keys" in call.token.scopes else None,
            settings=msgspec.convert(settings, SourceSettings),
            created=moment(known.created_ms),
            deleted_at=moment_or_none(deleted_ms(call, source.ref)) if source.status == "deleted" else None,
        ),
        relationships={
            "keys": Relationship([Identifier(KEYS, key_id(key)) for key in source_keys(source)]),
            "destinations": Relationship(integrations.identifiers(destinations)),
            "connector": Relationship(Identifier(CONNECTOR, source.type)),
            "environment": Relationship(Identifier(ENVIRONMENT, source.environment)),
        },
        links={"self": f"/v2/{call.site}/sources/{known.id}"},
    )


def deleted_ms(call: AnyCall, ref: str) -> int | None:
    """When a source was deleted over the API; None if it was in the file."""
    number = str(integrations.numbers(call)["source", ref].id)
    found = call.world.activity.page(call.site, Sought(action="sources.delete", subject=number), 1)
    return found[0].at_ms if found else None


def destination_resource(call: AnyCall, destination: Destination) -> Resource[DestinationAttributes]:
    """A destination as it is shown."""
    numbers = integrations.numbers(call)
    known = numbers["destination", destination.ref]
    consent = destination.consent
    return Resource(
        type=integrations.TYPE,
        id=known.id,
        attributes=DestinationAttributes(
            label=destination.label,
            name=destination.name,
            description=destination.description,
            template=destination.type,
            status=destination.status,
            environment=destination.environment,
            settings=masked_settings(destination.settings),
            event_names=sorted(destination.event_names),
            consent=ConsentAttribute(categories=list(consent.categories), mode=consent.mode) if consent else None,
            event_filter=tree_of(destination.filter) if destination.filter else None,
            event_filter_text=destination.filter or None,
            dry_mode=DryMode(enabled=destination.dry_mode),
            delivery=destination.delivery,
            parameters=parameters.shown(destination.mapping),
            created=moment(known.created_ms),
        ),
        relationships={
            "sources": Relationship(integrations.identifiers(numbers["source", ref].id for ref in destination.sources)),
            "connector": Relationship(Identifier(CONNECTOR, destination.type)),
            "environment": Relationship(Identifier(ENVIRONMENT, destination.environment)),
        },
        links={"self": f"/v2/{destination.site}/destinations/{known.id}"},
    )


def source_keys(source: Source) -> Iterator[Key]:
    """The keys that are in the configuration and not revoked there, the newest first."""
    yield Key(key=source.key)
    yield from source.keys


def key_id(key: Key) -> str:
    """The id of a key, which tells nothing of it."""
    return f"key_{hashlib.sha256(key.key.encode()).hexdigest()[:16]}"


def key_resource(call: AnyCall, key: Key, *, revoked: bool = False) -> Resource[KeyAttributes]:
    """A key as it is shown; `revoked`: it is in the list of those."""
    ended = revoked or (key.until_ms is not None and key.until_ms <= call.now_ms)
    attributes = KeyAttributes(
        key=key.key if "sources:keys" in call.token.scopes else None,
        state="revoked" if ended else "active" if key.until_ms is None else "grace",
        expires_at=moment_or_none(key.until_ms),
    )
    return Resource(type=KEYS, id=key_id(key), attributes=attributes)
