"""Links between sources and destinations, from both sides (`config-api.md` C3).

A link stands in one place: the `sources` of the destination.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from turnout.control.access.integrations import Kind
from turnout.control.api import integrations, writing
from turnout.control.api.documents import Identifier, Nothing
from turnout.control.api.integrations import Named, Related
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.configuration.edit import Editor


class Links(msgspec.Struct, frozen=True):
    """All links of one side."""

    data: list[Identifier]
    meta: dict[str, object] | UnsetType = UNSET


class Linkage(msgspec.Struct, frozen=True):
    """Sources or destinations to link."""

    data: list[Named]


How = Literal["add", "replace", "remove"]


@operation("GET", "/v2/{site}/sources/{id}/relationships/destinations", scope="sources:read", tag="Links")
def list_destinations_of_source(call: Call[Nothing, Nothing]) -> Links:
    """The destinations that get a source's events."""
    return _listed(call, "source")


@operation("POST", "/v2/{site}/sources/{id}/relationships/destinations", scope="sources:write", tag="Links")
def add_destinations_to_source(call: Call[Nothing, Linkage]) -> Links | None:
    """Add destinations. The answer has a body only if there is something to warn of."""
    return _changed(call, "source", "add")


@operation("PATCH", "/v2/{site}/sources/{id}/relationships/destinations", scope="sources:write", tag="Links")
def replace_destinations_of_source(call: Call[Nothing, Linkage]) -> Links | None:
    """These destinations, and no others."""
    return _changed(call, "source", "replace")


@operation("DELETE", "/v2/{site}/sources/{id}/relationships/destinations", scope="sources:write", tag="Links")
def remove_destinations_from_source(call: Call[Nothing, Linkage]) -> Links | None:
    """Take destinations away."""
    return _changed(call, "source", "remove")


@operation("GET", "/v2/{site}/destinations/{id}/relationships/sources", scope="destinations:read", tag="Links")
def list_sources_of_destination(call: Call[Nothing, Nothing]) -> Links:
    """The sources of which a destination gets events."""
    return _listed(call, "destination")


@operation("POST", "/v2/{site}/destinations/{id}/relationships/sources", scope="destinations:write", tag="Links")
def add_sources_to_destination(call: Call[Nothing, Linkage]) -> Links | None:
    """Add sources. The answer has a body only if there is something to warn of."""
    return _changed(call, "destination", "add")


@operation("PATCH", "/v2/{site}/destinations/{id}/relationships/sources", scope="destinations:write", tag="Links")
def replace_sources_of_destination(call: Call[Nothing, Linkage]) -> Links | None:
    """These sources, and no others."""
    return _changed(call, "destination", "replace")


@operation("DELETE", "/v2/{site}/destinations/{id}/relationships/sources", scope="destinations:write", tag="Links")
def remove_sources_from_destination(call: Call[Nothing, Linkage]) -> Links | None:
    """Take sources away."""
    return _changed(call, "destination", "remove")


def other(kind: Kind) -> Kind:
    """What a source or destination is linked to."""
    return "destination" if kind == "source" else "source"


def wanted(call: AnyCall, kind: Kind) -> list[str] | None:
    """The names to link in a body that describes a source or destination; None: it says nothing of links."""
    for name in (f"{other(kind)}s", "connected_integrations"):
        related = call.body.data.relationships.get(name)
        if related is not None:
            return integrations.linked(call, other(kind), related, f"/data/relationships/{name}")
    return None


def write(editor: Editor, site: str, kind: Kind, name: str, to: Sequence[str], how: How = "replace") -> None:
    """Make these links of a source or destination its only ones, or add or remove them."""
    if kind == "destination":
        path = (*writing.path_of(site, kind, name), "sources")
        editor.put(path, _after(_texts(editor.get(path)), to, how))
        return
    destinations = editor.get(("sites", site, "destinations"))
    for each in destinations if isinstance(destinations, dict) else ():
        if each in to or how == "replace":
            path = (*writing.path_of(site, "destination", each), "sources")
            before = _texts(editor.get(path))
            after = _after(before, [name], "add" if each in to and how != "remove" else "remove")
            if after != before:
                editor.put(path, after)


def _after(before: Sequence[str], given: Sequence[str], how: How) -> list[str]:
    if how == "replace":
        return list(given)
    if how == "remove":
        return [one for one in before if one not in given]
    return [*before, *(one for one in given if one not in before)]


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _listed(call: AnyCall, kind: Kind) -> Links:
    ref = integrations.sent_to(call, kind)
    numbers = integrations.numbers(call)
    return Links(integrations.identifiers(numbers[other(kind), one].id for one in _linked(call, kind, ref)))


def _changed(call: AnyCall, kind: Kind, how: How) -> Links | None:
    ref = integrations.ref_of(call, kind, call.path["id"])
    given = integrations.linked(call, other(kind), Related(call.body.data), "")
    name = ref.partition("/")[2]

    def do(editor: Editor) -> None:
        write(editor, call.site, kind, name, given, how)

    writing.change(call, f"{kind}s.link", call.path["id"], do)
    ends = [(ref, one) if kind == "source" else (one, ref) for one in _linked(call, kind, ref)]
    warnings = integrations.mismatches(call.world.snapshot(), ends) if how != "remove" else []
    return msgspec.structs.replace(_listed(call, kind), meta=integrations.told(warnings)) if warnings else None


def _linked(call: AnyCall, kind: Kind, ref: str) -> list[str]:
    """The references at the other ends of the links."""
    destinations = call.world.snapshot().destinations
    if kind == "destination":
        return sorted(destinations[ref].sources)
    return [one.ref for one in destinations.values() if ref in one.sources]
