"""The shapes of JSON:API that answers and bodies have (`config-api.md` B1, B3)."""

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

A = TypeVar("A")


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


class Single(msgspec.Struct, Generic[A], frozen=True):
    """A document with one resource."""

    data: Resource[A]


class Listing(msgspec.Struct, Generic[A], frozen=True, kw_only=True):
    """A document with many. `links` lead to the pages around it, where there are any."""

    data: list[Resource[A]]
    links: dict[str, str] = {}
    meta: ListMeta = ListMeta()


class NewResource(msgspec.Struct, Generic[A], frozen=True, kw_only=True):
    """What a client sends; the type is there for JSON:API's sake, the path says it too."""

    type: Annotated[str, Meta(description="May be left out.")] = ""
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
