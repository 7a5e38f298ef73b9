"""API tokens (`config-api.md` B11).

What must stay true: nobody gives more than they have. A token makes, changes, renews or revokes only such whose sites
and scopes are among its own, and of other sites it learns nothing.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.access.desk import Desk
from turnout.control.access.scopes import Role
from turnout.control.access.token import Token
from turnout.control.api.documents import Listing, New, Nothing, Resource, Single, moment, moment_or_none
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import Numbered, When, milliseconds, numbered
from turnout.control.api.problems import ApiError, Fault, failure, not_found
from turnout.control.api.rights import Rights, changed, check_within, shown_sites, wrong

Name = Annotated[str, Meta(max_length=200, description="What it is for, to tell it from others.")]
Scopes = Annotated[list[str], Meta(description="What it may do, with the role `custom`.", examples=[["audit:read"]])]
Sites = Annotated[list[str], Meta(min_length=1, description="Only such as the asking token has. `*`: every site.")]


class TokenAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """A token; its text is shown only when it is made or rotated."""

    name: str
    role: Role
    scopes: list[str]
    sites: Annotated[list[str], Meta(description="Those that the asking token has too.")]
    state: Literal["active", "expired", "revoked"]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: Annotated[str | None, Meta(description="To the minute.")]
    token: Annotated[str | UnsetType, Meta(description="For `Authorization: Bearer …`. It is stored as a hash.")] = (
        UNSET
    )


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token to be made: with a role, or with scopes of its own."""

    name: Name = ""
    role: Role | UnsetType = UNSET
    scopes: Scopes | UnsetType = UNSET
    sites: Sites | UnsetType = UNSET
    expires_at: Annotated[When, Meta(description="Without it, never.")] | None = None


class TokenChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change."""

    name: Name | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    scopes: Scopes | UnsetType = UNSET
    sites: Sites | UnsetType = UNSET
    expires_at: When | UnsetType | None = UNSET


class TokensQuery(Numbered, frozen=True, kw_only=True):
    """Which tokens."""

    state: Annotated[
        tuple[Literal["active", "expired", "revoked"], ...], Meta(description="In one of these states.")
    ] = msgspec.field(default=(), name="filter[state]")


@operation("GET", "/v2/{site}/api-tokens", scope="tokens:write", tag="Access")
def list_tokens(call: Call[TokensQuery, Nothing]) -> Listing[TokenAttributes]:
    """The tokens that open a site, the oldest first.

    Without `page[…]` the whole list is given.
    """
    found = [
        _resource(call, one)
        for one in call.world.tokens.all()
        if one.opens(call.site) and (not call.query.state or one.state(call.now_ms) in call.query.state)
    ]
    return numbered(found, call.query, call.url)


@operation("POST", "/v2/{site}/api-tokens", scope="tokens:write", tag="Access", status=201)
def create_token(call: Call[Nothing, New[NewToken]]) -> Single[TokenAttributes]:
    """Make a token.

    Its text is in this answer alone. It can be for no more sites and scopes than the token that asks.
    """
    wanted = call.body.data.attributes
    before = Token(id="", name="", role="custom", sites=(call.site,), created_ms=call.now_ms)
    change = TokenChange(**{name: getattr(wanted, name) for name in wanted.__struct_fields__})
    planned = _changed(call, before, change)
    made, credential = _desk(call).issue(
        name=planned.name,
        role=planned.role,
        scopes=planned.own_scopes,
        sites=planned.sites,
        expires_ms=planned.expires_ms,
        now_ms=call.now_ms,
    )
    return Single(_resource(call, made, credential.text))


@operation("GET", "/v2/{site}/api-tokens/{token_id}", scope="tokens:write", tag="Access", etag=True)
def get_token(call: Call[Nothing, Nothing]) -> Single[TokenAttributes]:
    """One token."""
    return Single(_resource(call, _found(call)))


@operation("PATCH", "/v2/{site}/api-tokens/{token_id}", scope="tokens:write", tag="Access")
def change_token(call: Call[Nothing, New[TokenChange]]) -> Single[TokenAttributes]:
    """Change a token's name, rights, sites or expiry; its text stays."""
    before = _within(call, _found(call))
    after = _changed(call, before, call.body.data.attributes)
    _desk(call).change(before, after, call.now_ms)
    return Single(_resource(call, after))


@operation("DELETE", "/v2/{site}/api-tokens/{token_id}", scope="tokens:write", tag="Access")
def revoke_token(call: Call[Nothing, Nothing]) -> None:
    """End a token now, for good. It stays in the list."""
    if not _desk(call).revoke(_within(call, _found(call)).id, call.now_ms):
        raise failure(409, "CONFLICT", "the token is revoked already")


@operation("POST", "/v2/{site}/api-tokens/{token_id}/rotate", scope="tokens:write", tag="Access")
def rotate_token(call: Call[Nothing, Nothing]) -> Single[TokenAttributes]:
    """Give a token another text. The one from before ends now; all else stays."""
    found = _within(call, _found(call))
    if found.revoked_ms is not None:
        raise failure(409, "CONFLICT", "the token is revoked: make a new one")
    return Single(_resource(call, found, _desk(call).renew(found, call.now_ms).text))


def _desk(call: AnyCall) -> Desk:
    return Desk(call.world.database, "api", by=call.token.id, address=call.address)


def _found(call: AnyCall) -> Token:
    found = call.world.tokens.find(call.path["token_id"])
    if found is None or not found[0].opens(call.site):
        raise not_found("there is no token with this id")
    return found[0]


def _within(call: AnyCall, token: Token) -> Token:
    """The token, if its rights are among the asker's. Raises `ApiError` 403."""
    more = "the token is for other sites too: change it with one that has them"
    check_within(call.token, token.sites, token.scopes, more)
    return token


def _changed(call: AnyCall, before: Token, change: TokenChange) -> Token:
    """A token with a change. Raises `ApiError` with everything in the change that can't be."""
    faults: list[Fault] = []
    now = Rights(before.role, before.own_scopes, before.sites)
    then = changed(now, change.role, change.scopes, change.sites, faults)
    if then.role == "custom" and not then.own_scopes:
        faults.append(wrong("scopes", "give a role, or the scopes that it is to have", "MISSING_REQUIRED_PROPERTY"))
    after = msgspec.structs.replace(
        before,
        name=before.name if change.name is UNSET else change.name,
        role=then.role,
        own_scopes=then.own_scopes,
        sites=then.sites,
        expires_ms=before.expires_ms if change.expires_at is UNSET else _expiry_ms(change.expires_at),
    )
    if change.expires_at and after.expires_ms is not None and after.expires_ms <= call.now_ms:
        faults.append(wrong("expires_at", "this is over already"))
    if faults:
        raise ApiError(422, faults)
    more = "a token can't be for a site that the asking one is not for"
    check_within(call.token, after.sites, after.scopes, more)
    return after


def _expiry_ms(when: When | None) -> int | None:
    return None if when is None else milliseconds(when)


def _resource(call: AnyCall, token: Token, text: str | UnsetType = UNSET) -> Resource[TokenAttributes]:
    return Resource(
        type="api-tokens",
        id=token.id,
        attributes=TokenAttributes(
            name=token.name,
            role=token.role,
            scopes=sorted(token.scopes),
            sites=shown_sites(call.token, token.sites),
            state=token.state(call.now_ms),
            created_at=moment(token.created_ms),
            expires_at=moment_or_none(token.expires_ms),
            revoked_at=moment_or_none(token.revoked_ms),
            last_used_at=moment_or_none(token.last_used_ms),
            token=text,
        ),
        links={"self": f"/v2/{call.site}/api-tokens/{token.id}"},
    )
