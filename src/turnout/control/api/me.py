"""What a token is told about itself."""

from typing import Annotated

import msgspec
from msgspec import Meta

from turnout.control.access.scopes import Role
from turnout.control.api.documents import Nothing, Resource, Single, moment, moment_or_none
from turnout.control.api.operation import Call, operation


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without its secret."""

    name: str
    role: Role
    scopes: list[str]
    sites: Annotated[list[str], Meta(description="`*` stands for every site.")]
    created_at: str
    expires_at: str | None
    last_used_at: Annotated[str | None, Meta(description="Before this request, to the minute.")]


@operation("GET", "/v2/me", scope=None, tag="Access")
def get_me(call: Call[Nothing, Nothing]) -> Single[Me]:
    """The token of this request: its sites, scopes and expiry."""
    token = call.token
    attributes = Me(
        name=token.name,
        role=token.role,
        scopes=sorted(token.scopes),
        sites=list(token.sites),
        created_at=moment(token.created_ms),
        expires_at=moment_or_none(token.expires_ms),
        last_used_at=moment_or_none(token.last_used_ms),
    )
    return Single(Resource(type="api-tokens", id=token.id, attributes=attributes))
