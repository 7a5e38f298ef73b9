"""What sources and destinations have in common: numbers, filters, links, the documents that change them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.access.integrations import Integration, Kind
from turnout.control.api.documents import Identifier, Resource
from turnout.control.api.operation import AnyCall
from turnout.control.api.paging import Numbered
from turnout.control.api.problems import ApiError, Fault, Place, not_found
from turnout.model.config import Environment, Snapshot

TYPE = "integrations"

Numbers = Mapping[tuple[Kind, str], Integration]


A = TypeVar("A")
Type = Literal["integrations", "integration", "platform/integrations", "sources", "destinations"]


Label = Annotated[str, Meta(min_length=1, max_length=200, description="For people.", examples=["Shop back-end"])]
Description = Annotated[str, Meta(max_length=2_000, description="For people.")]
Status = Annotated[
    Literal["active", "inactive", "stopped"], Meta(description="`stopped` is an older word for `inactive`.")
]
EnvironmentWord = Literal["production", "staging", "development", "prod"]


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """Members of the vendor's API that change nothing here: taken, so that its clients work, and told of."""

    occurence_type: str | UnsetType | None = UNSET
    start_date: str | UnsetType | None = UNSET
    end_date: str | UnsetType | None = UNSET
    timezone: str | UnsetType | None = UNSET
    data_range_type: str | UnsetType | None = UNSET
    data_last: str | int | UnsetType | None = UNSET
    data_start_date: str | UnsetType | None = UNSET
    data_end_date: str | UnsetType | None = UNSET
    last_request_at: str | UnsetType | None = UNSET
    next_request_at: str | UnsetType | None = UNSET
    last_run_at: str | UnsetType | None = UNSET
    created: str | UnsetType | None = UNSET
    updated: str | UnsetType | None = UNSET
    deleted_at: str | UnsetType | None = UNSET
    cron: str | UnsetType | None = UNSET
    health: dict[str, object] | UnsetType | None = UNSET
    integration_key: Annotated[str | UnsetType | None, Meta(description="Made by the server.")] = UNSET


class Named(msgspec.Struct, frozen=True):
    """A resource in a relationship, its id as text or number."""

    type: str
    id: str | int


class Related(msgspec.Struct, frozen=True):
    """What is sent as a relationship."""

    data: Named | list[Named] | None


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A source or destination as a client sends it, but for its attributes."""

    type: Type = "integrations"
    id: Annotated[int | str | None, Meta(description="Needed where the path has none.")] = None
    relationships: Annotated[
        dict[str, Related],
        Meta(
            description="`sources` or `destinations` replaces the links; `connector` and `environment` are taken too."
        ),
    ] = {}


class Sent(Head, Generic[A], frozen=True, kw_only=True):
    """What is to be changed of a source or destination."""

    attributes: A | UnsetType = UNSET


class Made(Head, Generic[A], frozen=True, kw_only=True):
    """A source or destination to be made."""

    attributes: A


class Document(msgspec.Struct, Generic[A], frozen=True):
    """The body of a request that changes a source or destination."""

    data: Sent[A]


class NewDocument(msgspec.Struct, Generic[A], frozen=True):
    """The body of a request that makes one."""

    data: Made[A]


class Filters(Numbered, frozen=True, kw_only=True):
    """Filters of both lists."""

    status: Annotated[tuple[Literal["active", "inactive", "deleted"], ...], Meta(description="One of these.")] = (
        msgspec.field(default=(), name="filter[status]")
    )
    environment: Annotated[tuple[Environment, ...], Meta(description="One of these.")] = msgspec.field(
        default=(), name="filter[environment]"
    )
    template: Annotated[tuple[str, ...], Meta(description="One of these types.")] = msgspec.field(
        default=(), name="filter[template]"
    )
    search: Annotated[str, Meta(max_length=64, description="Part of the label, in any letter case.")] | None = (
        msgspec.field(default=None, name="filter[search]")
    )

    def admit(self, name: str, status: str, environment: str, template: str) -> bool:
        """Whether something with these properties is wanted."""
        return (
            (not self.status or status in self.status)
            and (not self.environment or environment in self.environment)
            and (not self.template or template in self.template)
            and (self.search is None or self.search.lower() in name.lower())
        )


def numbers(call: AnyCall) -> Numbers:
    """The numbers of everything that is configured."""
    return call.world.integrations.of(call.world.snapshot(), call.now_ms)


def sent_to(call: AnyCall, kind: Kind) -> str:
    """The reference of what a request means: by its path, or by `data.id` if that has no id. Raises `ApiError`."""
    wanted = call.path.get("id", call.body.data.id if "id" not in call.path else None)
    if wanted is None:
        missing = Fault("MISSING_REQUIRED_PROPERTY", "id is required, as the path has none", Place(pointer="/data/id"))
        raise ApiError(422, [missing])
    return ref_of(call, kind, wanted)


def ref_of(call: AnyCall, kind: Kind, wanted: int | str) -> str:
    """The reference of what is configured at this site with a number. Raises `ApiError` 404."""
    snapshot = call.world.snapshot()
    configured: Iterable[str] = snapshot.sources if kind == "source" else snapshot.destinations
    known = numbers(call)
    for ref in configured:
        if ref.startswith(f"{call.site}/") and str(known[kind, ref].id) == str(wanted):
            return ref
    raise not_found(f"there is no {kind} with this id")


def linked(call: AnyCall, kind: Kind, related: Related, pointer: str) -> list[str]:
    """The names of sources or destinations in a relationship. Raises `ApiError` 422 for each that is none."""
    given = related.data if isinstance(related.data, list) else [] if related.data is None else [related.data]
    snapshot = call.world.snapshot()
    configured: Iterable[str] = snapshot.sources if kind == "source" else snapshot.destinations
    known = numbers(call)
    names = {str(known[kind, ref].id): ref.partition("/")[2] for ref in configured if ref.startswith(f"{call.site}/")}
    faults = [
        Fault(
            "INVALID_PROPERTY_FORMAT", f"there is no {kind} with the id {one.id}", Place(f"{pointer}/data/{place}/id")
        )
        for place, one in enumerate(given)
        if str(one.id) not in names
    ]
    if faults:
        raise ApiError(422, faults)
    return list(dict.fromkeys(names[str(one.id)] for one in given))


def without_effect(given: msgspec.Struct, shown: msgspec.Struct) -> list[str]:
    """A warning for each member that changes nothing, and is not as it is shown anyway."""
    known = msgspec.to_builtins(shown)
    return [
        f"{name} has no effect here"
        for name in Ignored.__struct_fields__
        if (value := getattr(given, name)) is not UNSET and value != known.get(name)
    ]


def word(given: str | UnsetType) -> str | UnsetType:
    """A status or environment in its usual word."""
    return {"stopped": "inactive", "prod": "production"}.get(given, given) if isinstance(given, str) else given


def told(warnings: list[str]) -> dict[str, object] | UnsetType:
    """The `meta` of an answer with warnings, if there are any."""
    return {"warnings": warnings} if warnings else UNSET


def names(call: AnyCall, kind: Kind) -> frozenset[str]:
    """The names of a site that sources or destinations have, or once had: a number is never given again."""
    return frozenset(
        ref.partition("/")[2] for (one, ref) in numbers(call) if one == kind and ref.startswith(f"{call.site}/")
    )


def mismatches(snapshot: Snapshot, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """A warning for each link, of a source's and a destination's references, whose ends are of two environments."""
    found = []
    for source_ref, destination_ref in pairs:
        source, destination = snapshot.sources[source_ref], snapshot.destinations[destination_ref]
        if source.environment != destination.environment:
            ends = f"{source.label} is of {source.environment}, {destination.label} of {destination.environment}"
            found.append(f"the environments of a link differ: {ends}")
    return found


def related_word(sent: Head, name: str) -> str | UnsetType:
    """The id in a relationship that stands for an attribute, such as `connector`."""
    related = sent.relationships.get(name)
    return str(related.data.id) if related is not None and isinstance(related.data, Named) else UNSET


def missing_template() -> ApiError:
    """The error for a new thing of which nobody knows the type."""
    place = Place(pointer="/data/attributes/template")
    return ApiError(422, [Fault("MISSING_REQUIRED_PROPERTY", "template is required: see the catalogue", place)])


def number(resource: Resource[Any]) -> int:
    """What lists are sorted by: the oldest first."""
    assert isinstance(resource.id, int)
    return resource.id


def identifiers(ids: Iterable[int]) -> list[Identifier]:
    """Links to integrations."""
    return [Identifier(TYPE, str(one)) for one in sorted(ids)]


def destination_ref(call: AnyCall, wanted: int) -> str | None:
    """The reference of a destination of this site, also of one that is not configured any more."""
    prefix = f"{call.site}/"
    known = numbers(call).items()
    return next(
        (ref for (kind, ref), one in known if one.id == wanted and kind == "destination" and ref.startswith(prefix)),
        None,
    )


def linked_to_destination(call: AnyCall, wanted: int | None) -> frozenset[str] | None:
    """References of the sources of a destination; None if no destination is asked for."""
    if wanted is None:
        return None
    destination = call.world.snapshot().destinations.get(destination_ref(call, wanted) or "")
    return destination.sources if destination is not None else frozenset()
