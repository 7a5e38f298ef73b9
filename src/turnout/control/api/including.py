"""`include`: what the relationships of sources and destinations lead to, whole (`config-api.md` A2)."""

from collections.abc import Mapping, Sequence

from msgspec import UNSET, UnsetType

from turnout.control.api import catalogs, integrations, shown
from turnout.control.api.documents import Identifier, Included, Relationship, Resource
from turnout.control.api.operation import AnyCall
from turnout.control.api.shown import DestinationAttributes, SourceAttributes

Shown = Sequence[Resource[SourceAttributes]] | Sequence[Resource[DestinationAttributes]]


def included(call: AnyCall, resources: Shown, wanted: Sequence[str]) -> list[Included] | UnsetType:
    """What the relationships with these names lead to, each once; only what the token may see."""
    if not wanted:
        return UNSET
    known = _known(call)
    found: dict[Identifier, Included] = {}
    for one in resources:
        relationships: Mapping[str, Relationship] = {} if one.relationships is UNSET else one.relationships
        for name in wanted:
            data = relationships[name].data if name in relationships else None
            for each in data if isinstance(data, list) else [] if data is None else [data]:
                if each in known:
                    found[each] = known[each]
    return list(found.values())


def _known(call: AnyCall) -> dict[Identifier, Included]:
    """Everything of the site that may be included."""
    snapshot = call.world.snapshot()
    found = catalogs.connectors()
    for word in shown.ENVIRONMENTS:
        found[Identifier(shown.ENVIRONMENT, word)] = Included(
            type=shown.ENVIRONMENT, id=word, attributes={"label": word}
        )
    for source in snapshot.sources.values() if "sources:read" in call.token.scopes else ():
        if source.site == call.site:
            one = shown.source_resource(call, source)
            found[Identifier(integrations.TYPE, str(one.id))] = _whole(one)
            for key in shown.source_keys(source):
                found[Identifier(shown.KEYS, shown.key_id(key))] = _whole(shown.key_resource(call, key))
    for destination in snapshot.destinations.values() if "destinations:read" in call.token.scopes else ():
        if destination.site == call.site:
            to = shown.destination_resource(call, destination)
            found[Identifier(integrations.TYPE, str(to.id))] = _whole(to)
    return found


def _whole(
    one: Resource[SourceAttributes] | Resource[DestinationAttributes] | Resource[shown.KeyAttributes],
) -> Included:
    return Included(type=one.type, id=one.id or 0, attributes=one.attributes)
