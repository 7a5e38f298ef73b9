"""What a token is told about itself, and somebody who has logged in."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.access.account import PREFIX, Language
from turnout.control.access.scopes import Role
from turnout.control.api.documents import Nothing, Resource, Single, moment, moment_or_none
from turnout.control.api.operation import Call, operation


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without its secret, or an account."""

    name: Annotated[str, Meta(description="Of an account: its e-mail address.")]
    role: Role
    scopes: list[str]
    sites: Annotated[list[str], Meta(description="`*` stands for every site.")]
    created_at: str
    expires_at: str | None
    last_used_at: Annotated[
        str | None, Meta(description="Before this request, to the minute. Of an account: when its owner logged in.")
    ]
    first_name: Annotated[str | UnsetType, Meta(description="Only of an account.")] = UNSET
    last_name: Annotated[str | UnsetType, Meta(description="Only of an account.")] = UNSET
    language: Annotated[Language | UnsetType, Meta(description="Only of an account.")] = UNSET


@operation("GET", "/v2/me", scope=None, tag="Access")
def get_me(call: Call[Nothing, Nothing]) -> Single[Me]:
    """The token or account of this request: its sites, scopes and expiry."""
    token = call.token
    account = call.world.accounts.find(token.id) if token.id.startswith(PREFIX) else None
    attributes = Me(
        name=token.name,
        role=token.role,
        scopes=sorted(token.scopes),
        sites=list(token.sites),
        created_at=moment(token.created_ms),
        expires_at=moment_or_none(token.expires_ms),
        last_used_at=moment_or_none(token.last_used_ms),
        first_name=account.first_name if account is not None else UNSET,
        last_name=account.last_name if account is not None else UNSET,
        language=account.language if account is not None else UNSET,
    )
    return Single(Resource(type="users" if account is not None else "api-tokens", id=token.id, attributes=attributes))
