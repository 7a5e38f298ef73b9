"""What sources and destinations have in common: numbers, filters, links between them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from turnout.control.access.integrations import Integration, Kind
from turnout.control.api.documents import Identifier, Resource
from turnout.control.api.operation import AnyCall
from turnout.control.api.paging import Numbered
from turnout.model.config import Environment

TYPE = "integrations"

Numbers = Mapping[tuple[Kind, str], Integration]


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
