"""`/integrations`: the older name for sources and destinations together (`config-api.md` A2, B8).

A source is told from a destination by `type` (`sources`, `destinations`), else by its template; what there is, by its
number. For a source `sources:write` is needed too.
"""

import dataclasses
from typing import cast, get_args

import msgspec
from msgspec import UNSET

from turnout.control.access.integrations import Kind
from turnout.control.api import destinations, integrations, sources
from turnout.control.api.checking import find_faults
from turnout.control.api.destinations import DestinationChange, NewDestination
from turnout.control.api.documents import Nothing, Single
from turnout.control.api.integrations import Document, NewDocument
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.problems import ApiError
from turnout.control.api.sources import DeleteQuery, NewSource, SourceChange
from turnout.model.config import SourceType

Body = Document[dict[str, object]]


@operation("POST", "/v2/{site}/integrations", scope="destinations:write", tag="Integrations", status=201)
def create_integration(call: Call[Nothing, NewDocument[dict[str, object]]]) -> Single[object]:
    """Make a source or a destination, as the paths of each do. For a source `sources:write` is needed too."""
    sent = call.body.data
    template = sent.attributes.get("template", integrations.related_word(sent, "connector"))
    is_source = sent.type == "sources" or (sent.type != "destinations" and template in get_args(SourceType))
    if is_source:
        return cast("Single[object]", sources.create(_typed(call, "source", NewSource)))
    return cast("Single[object]", destinations.create(_typed(call, "destination", NewDestination)))


@operation("PATCH", "/v2/{site}/integrations/{id}", scope="destinations:write", tag="Integrations")
def change_integration(call: Call[Nothing, Body]) -> Single[object]:
    """Change a source or a destination, as the paths of each do. For a source `sources:write` is needed too."""
    return _changed(call)


@operation("PATCH", "/v2/{site}/integrations", scope="destinations:write", tag="Integrations")
def change_integration_in_body(call: Call[Nothing, Body]) -> Single[object]:
    """The same, for clients that put the id into the body alone."""
    return _changed(call)


@operation("DELETE", "/v2/{site}/integrations/{id}", scope="destinations:write", tag="Integrations")
def delete_integration(call: Call[DeleteQuery, Nothing]) -> None:
    """Delete a source or a destination, as the paths of each do. For a source `sources:write` is needed too."""
    if _kind(call) == "source":
        call.require("sources:write")
        sources.delete(call)
    else:
        destinations.delete(call)


def _changed(call: AnyCall) -> Single[object]:
    if _kind(call) == "source":
        return cast("Single[object]", sources.change(_typed(call, "source", SourceChange)))
    return cast("Single[object]", destinations.change(_typed(call, "destination", DestinationChange)))


def _kind(call: AnyCall) -> Kind:
    """What a number stands for; a destination where it stands for nothing."""
    wanted = call.path.get("id", call.body.data.id if "id" not in call.path else None)
    found = next((kind for (kind, _), one in integrations.numbers(call).items() if str(one.id) == str(wanted)), None)
    return found or "destination"


def _typed(call: AnyCall, kind: Kind, expected: type[msgspec.Struct]) -> AnyCall:
    """The call with its attributes read as those of a kind. Raises `ApiError`."""
    if kind == "source":
        call.require("sources:write")
    sent = call.body.data
    if sent.attributes is UNSET:
        return call
    if faults := list(find_faults("/data/attributes", sent.attributes, expected)):
        raise ApiError(422, faults)
    typed = msgspec.structs.replace(sent, attributes=msgspec.convert(sent.attributes, expected))
    return dataclasses.replace(call, body=msgspec.structs.replace(call.body, data=typed))
