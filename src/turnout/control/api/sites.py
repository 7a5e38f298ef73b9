"""Sites: what a token opens, and new ones (`config-api.md` B2)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from turnout.control.access.token import ALL_SITES
from turnout.control.api import writing
from turnout.control.api.documents import Listing, Nothing, Resource, Single
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.problems import ApiError, Fault, Place, failure
from turnout.control.configuration.edit import Editor


class SiteAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A site, in figures."""

    sources: Annotated[int, Meta(description="How many there are, deleted ones not counted.")]
    destinations: int


class SiteIdentifier(msgspec.Struct, frozen=True, kw_only=True):
    """The new site."""

    type: Annotated[str, Meta(description="May be left out.")] = "sites"
    id: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9_-]{1,32}$",
            description="What clients send as `tc_s`: the vendor's are numbers.",
            examples=["29"],
        ),
    ]


class NewSite(msgspec.Struct, frozen=True, kw_only=True):
    """The document that a client sends."""

    data: SiteIdentifier


@operation("GET", "/v2/sites", scope=None, tag="Access")
def list_sites(call: Call[Nothing, Nothing]) -> Listing[SiteAttributes]:
    """The sites that the token opens."""
    return Listing(data=[_resource(call, one) for one in sorted(call.world.snapshot().sites) if call.token.opens(one)])


@operation("POST", "/v2/sites", scope="admin", tag="Access", status=201)
def create_site(call: Call[Nothing, NewSite]) -> Single[SiteAttributes]:
    """Make a site. Only for tokens that open all sites."""
    site = call.body.data.id
    if ALL_SITES not in call.token.sites:
        raise failure(403, "SITE_ACCESS_FORBIDDEN", "only a token for all sites may make another one")
    if site in call.world.snapshot().sites:
        raise ApiError(409, [Fault("ALREADY_EXISTS", f"there is a site {site}", Place(pointer="/data/id"))])

    def do(editor: Editor) -> None:
        editor.set(("sites", site), {"sources": {}})

    writing.change(call, "sites.create", site, do, base=("sites", site), pointers={"": "/data/id"})
    return Single(_resource(call, site))


def _resource(call: AnyCall, site: str) -> Resource[SiteAttributes]:
    snapshot = call.world.snapshot()
    return Resource(
        type="sites",
        id=site,
        attributes=SiteAttributes(
            sources=sum(one.site == site and one.status != "deleted" for one in snapshot.sources.values()),
            destinations=sum(one.site == site for one in snapshot.destinations.values()),
        ),
        links={"self": f"/v2/{site}/sources"},
    )
