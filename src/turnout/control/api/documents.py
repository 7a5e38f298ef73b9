"""The shapes of JSON:API that answers and bodies have (`config-api.md` B1, B3)."""

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

A = TypeVar("A")

LARGEST_ID = 2**53 - 1
"""What every reader of JSON can hold."""


class Identifier(msgspec.Struct, frozen=True):
    """Names a resource in a relationship; ids are text here."""

    type: str
    id: str


class Relationship(msgspec.Struct, frozen=True):
    """Resources that belong to this one."""

    data: Identifier | list[Identifier] | None


class Resource(msgspec.Struct, Generic[A], frozen=True, kw_only=True):
    """One thing. Sources and destinations have numbers as ids, everything else has text."""

    type: str
    id: int | str | None
    attributes: A
    relationships: dict[str, Relationship] | UnsetType = UNSET
    links: dict[str, str] | UnsetType = UNSET


class Included(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that another leads to, whole."""

    type: str
    id: int | str
    attributes: object


class Pagination(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page of a numbered list is."""

    total: int
    count: int
    per_page: int
    current_page: int
    total_pages: int


class ListMeta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Beside the data of a list."""

    pagination: Pagination | UnsetType = UNSET
    retention_days: int | UnsetType = UNSET
    sampled: Annotated[bool | UnsetType, Meta(description="Whether some of what happened is not shown.")] = UNSET
    left_out: Annotated[int | UnsetType, Meta(description="How many that is, in the time asked for.")] = UNSET
    partial: Annotated[
        bool | UnsetType, Meta(description="The search has not come to its end: follow `links` to go on.")
    ] = UNSET
    total: Annotated[int | UnsetType, Meta(description="With `include=total`: how many there are on all pages.")] = (
        UNSET
    )
    total_partial: Annotated[bool | UnsetType, Meta(description="Counting took too long: there may be more.")] = UNSET
    unindexed_paths: Annotated[
        list[str] | UnsetType,
        Meta(description="Of records shown whole: properties that the index has not, so that searches take longer."),
    ] = UNSET


class Single(msgspec.Struct, Generic[A], frozen=True, omit_defaults=True):
    """A document with one resource."""

    data: Resource[A]
    included: Annotated[list[Included] | UnsetType, Meta(description="What `include` asked for.")] = UNSET
    meta: Annotated[dict[str, object] | UnsetType, Meta(description="Beside the data, such as `warnings`.")] = UNSET


class Listing(msgspec.Struct, Generic[A], frozen=True, kw_only=True):
    """A document with many. `links` lead to the pages around it, where there are any."""

    data: list[Resource[A]]
    included: Annotated[list[Included] | UnsetType, Meta(description="What `include` asked for.")] = UNSET
    links: dict[str, str] = {}
    meta: ListMeta = ListMeta()


class NewResource(msgspec.Struct, Generic[A], frozen=True, kw_only=True):
    """What a client sends; type and id are there for JSON:API's sake, the path says them too."""

    type: Annotated[str, Meta(description="May be left out.")] = ""
    id: Annotated[int | str | None, Meta(description="May be left out.")] = None
    attributes: A


class New(msgspec.Struct, Generic[A], frozen=True):
    """The document that a client sends."""

    data: NewResource[A]


class Nothing(msgspec.Struct, frozen=True):
    """No query parameters, or no body."""


def moment(ms: int) -> str:
    """A time as documents show it: ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment_or_none(ms: int | None) -> str | None:
    """The same for what may not have happened."""
    return None if ms is None else moment(ms)
