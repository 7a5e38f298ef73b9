"""Accounts of people (`config-api.md` A4, B11): the documented bodies of POST and DELETE, list and change besides.

What must stay true: nobody gives more than they have, nor learns of accounts that share no site with them. Nobody
learns a password or gives one: the owner does, at a link that is shown once.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.control.access.account import LONGEST_EMAIL, LONGEST_NAME, Account, Language, address
from turnout.control.access.account_desk import AccountDesk
from turnout.control.access.links import KEPT_MS
from turnout.control.access.scopes import Role
from turnout.control.api.documents import Listing, New, Nothing, Resource, Single, moment, moment_or_none
from turnout.control.api.operation import AnyCall, Call, operation
from turnout.control.api.paging import Numbered, numbered
from turnout.control.api.problems import ApiError, Fault, failure, not_found
from turnout.control.api.rights import Rights, changed, check_within, shown_sites, wrong
from turnout.model.errors import EmailTakenError, LastAdministratorError

_MORE = "the account is for a site that you are not for"

Email = Annotated[str, Meta(max_length=LONGEST_EMAIL, description="To log in with.", examples=["ana@example.org"])]
Name = Annotated[str, Meta(max_length=LONGEST_NAME)]
Scopes = Annotated[list[str], Meta(description="What it may do, with the role `custom`.", examples=[["audit:read"]])]
Sites = Annotated[list[str], Meta(min_length=1, description="Only such as you have. `*`: every site.")]
Kind = Annotated[
    Literal["end_user", "technology_partner", "service_provider"],
    Meta(description="Taken from older clients; means nothing here."),
]


class UserAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """An account."""

    email: str
    first_name: str
    last_name: str
    language: Language
    role: Role
    scopes: list[str]
    sites: Annotated[list[str], Meta(description="Those that you have too.")]
    state: Annotated[
        Literal["active", "invited", "disabled"], Meta(description="`invited`: its owner has not been here yet.")
    ]
    disabled: bool
    created_at: str
    last_login_at: str | None


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """An account to be made: with a role, or with scopes of its own."""

    email: Email
    first_name: Name = ""
    last_name: Name = ""
    language: Language = "en"
    role: Role | UnsetType = UNSET
    scopes: Scopes | UnsetType = UNSET
    sites: Sites | UnsetType = UNSET
    type: Kind | UnsetType = UNSET
    profile: Annotated[str, Meta(description="Older name of `role`.")] | UnsetType = UNSET
    workspaces: Annotated[list[str | int], Meta(description="Older name of `sites`.")] | UnsetType = UNSET


class UserChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change."""

    email: Email | UnsetType = UNSET
    first_name: Name | UnsetType = UNSET
    last_name: Name | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    scopes: Scopes | UnsetType = UNSET
    sites: Sites | UnsetType = UNSET
    disabled: Annotated[bool, Meta(description="Disabling ends its sessions and links.")] | UnsetType = UNSET


class UsersQuery(Numbered, frozen=True, kw_only=True):
    """Which accounts."""

    state: Annotated[
        tuple[Literal["active", "invited", "disabled"], ...], Meta(description="In one of these states.")
    ] = msgspec.field(default=(), name="filter[state]")


@operation("GET", "/v2/admin/users", scope="accounts:write", tag="Access")
def list_users(call: Call[UsersQuery, Nothing]) -> Listing[UserAttributes]:
    """The accounts that share a site with you, the oldest first.

    Without `page[…]` the whole list is given.
    """
    found = [
        _resource(call, one)
        for one in call.world.accounts.all()
        if shown_sites(call.token, one.sites) and (not call.query.state or one.state in call.query.state)
    ]
    return numbered(found, call.query, call.url)


@operation("POST", "/v2/admin/users", scope="accounts:write", tag="Access", status=201)
def create_user(call: Call[Nothing, New[NewUser]]) -> Single[UserAttributes]:
    """Make an account. `meta.link` is shown now alone: there its owner gives it a password, within 24 hours.

    Without `sites` it is for those that you have. It can be for no more sites and scopes than you have.
    """
    return _created(call, call.token.sites)


@operation("POST", "/v2/{site}/admin/users", scope="accounts:write", tag="Access", status=201)
def create_user_of_site(call: Call[Nothing, New[NewUser]]) -> Single[UserAttributes]:
    """The same, for this site unless `sites` says otherwise."""
    return _created(call, (call.site,))


@operation("GET", "/v2/admin/users/{account_id}", scope="accounts:write", tag="Access", etag=True)
def get_user(call: Call[Nothing, Nothing]) -> Single[UserAttributes]:
    """One account."""
    return Single(_resource(call, _found(call)))


@operation("PATCH", "/v2/admin/users/{account_id}", scope="accounts:write", tag="Access")
def change_user(call: Call[Nothing, New[UserChange]]) -> Single[UserAttributes]:
    """Change an account, or close it with `disabled`. The last administrator of a site stays one."""
    before = _within(call, _found(call))
    after = _changed(call, before, call.body.data.attributes)
    try:
        _desk(call).change(before, after, call.now_ms)
    except (EmailTakenError, LastAdministratorError) as error:
        raise _conflict(error) from error
    return Single(_resource(call, after))


@operation("DELETE", "/v2/admin/users/{account_id}", scope="accounts:write", tag="Access")
def remove_user(call: Call[Nothing, Nothing]) -> None:
    """Remove an account, its sessions and its links. The last administrator of a site stays."""
    _remove(call)


@operation("DELETE", "/v2/{site}/admin/users/{account_id}", scope="accounts:write", tag="Access")
def remove_user_of_site(call: Call[Nothing, Nothing]) -> None:
    """The same. It ends for all of its sites."""
    _remove(call)


@operation("POST", "/v2/admin/users/{account_id}/link", scope="accounts:write", tag="Access")
def link_user(call: Call[Nothing, Nothing]) -> Single[UserAttributes]:
    """Make a link at which the owner of an account gives it another password, within 24 hours.

    `meta.link` is shown now alone; a link from before ends.
    """
    found = _within(call, _found(call))
    if found.disabled:
        raise failure(409, "CONFLICT", "the account is disabled: no link would open")
    return _with_link(call, found, _desk(call).link(found, call.now_ms))


def _created(call: AnyCall, sites: Sequence[str]) -> Single[UserAttributes]:
    wanted: NewUser = call.body.data.attributes
    faults = list(_of_other_names(wanted))
    change = UserChange(
        email=wanted.email,
        first_name=wanted.first_name,
        last_name=wanted.last_name,
        language=wanted.language,
        role=wanted.role if wanted.profile is UNSET else _role(wanted.profile) or UNSET,
        scopes=wanted.scopes,
        sites=wanted.sites if wanted.workspaces is UNSET else [str(one) for one in wanted.workspaces],
    )
    before = Account(id="", email="", role="custom", sites=tuple(sites), created_ms=call.now_ms)
    planned = _changed(call, before, change, faults)
    try:
        made, link = _desk(call).create(
            email=planned.email,
            first_name=planned.first_name,
            last_name=planned.last_name,
            language=planned.language,
            role=planned.role,
            scopes=planned.own_scopes,
            sites=planned.sites,
            now_ms=call.now_ms,
        )
    except EmailTakenError as error:
        raise _conflict(error) from error
    return _with_link(call, made, link)


def _remove(call: AnyCall) -> None:
    try:
        done = _desk(call).remove(_within(call, _found(call)), call.now_ms)
    except LastAdministratorError as error:
        raise _conflict(error) from error
    if not done:
        raise not_found("there is no account with this id")


def _of_other_names(wanted: NewUser) -> Iterator[Fault]:
    """What is wrong with the older names in a body."""
    if wanted.profile is not UNSET:
        if wanted.role is not UNSET:
            yield wrong("profile", "is another name of `role`: leave one of them out")
        elif _role(wanted.profile) is None:
            yield wrong("profile", f"{wanted.profile!r} is no role; known: viewer, editor, admin")
    if wanted.workspaces is not UNSET:
        if wanted.sites is not UNSET:
            yield wrong("workspaces", "is another name of `sites`: leave one of them out")
        elif not wanted.workspaces:
            yield wrong("workspaces", "give at least one")


def _role(profile: str) -> Role | None:
    known: dict[str, Role] = {"viewer": "viewer", "editor": "editor", "admin": "admin"}
    older: dict[str, Role] = {"read only": "viewer", "technical": "editor", "administrator": "admin"}
    return (known | older).get(profile.strip().lower())


def _changed(call: AnyCall, before: Account, change: UserChange, found: Sequence[Fault] = ()) -> Account:
    """An account with a change. Raises `ApiError` with everything in it that can't be, `found` before it."""
    faults = list(found)
    email = before.email if change.email is UNSET else address(change.email)
    if email is None:
        faults.append(wrong("email", f"{change.email!r} is no e-mail address"))
    now = Rights(before.role, before.own_scopes, before.sites)
    then = changed(now, change.role, change.scopes, change.sites, faults)
    if then.role == "custom" and not then.own_scopes and not faults:
        faults.append(wrong("role", "give a role, or the scopes that it is to have", "MISSING_REQUIRED_PROPERTY"))
    after = msgspec.structs.replace(
        before,
        email=email or "",
        first_name=before.first_name if change.first_name is UNSET else change.first_name.strip(),
        last_name=before.last_name if change.last_name is UNSET else change.last_name.strip(),
        language=before.language if change.language is UNSET else change.language,
        role=then.role,
        own_scopes=then.own_scopes,
        sites=then.sites,
        disabled=before.disabled if change.disabled is UNSET else change.disabled,
    )
    if faults:
        raise ApiError(422, faults)
    check_within(call.token, after.sites, after.scopes, _MORE)
    return after


def _desk(call: AnyCall) -> AccountDesk:
    return AccountDesk(call.world.database, "api", by=call.token.id, address=call.address)


def _found(call: AnyCall) -> Account:
    found = call.world.accounts.find(call.path["account_id"])
    if found is None or not shown_sites(call.token, found.sites):
        raise not_found("there is no account with this id")
    return found


def _within(call: AnyCall, account: Account) -> Account:
    """The account, if its rights are among the asker's. Raises `ApiError` 403."""
    check_within(call.token, account.sites, account.scopes, _MORE)
    return account


def _conflict(error: EmailTakenError | LastAdministratorError) -> ApiError:
    return failure(409, "ALREADY_EXISTS" if isinstance(error, EmailTakenError) else "CONFLICT", str(error))


def _with_link(call: AnyCall, account: Account, text: str) -> Single[UserAttributes]:
    url = f"{call.world.settings.control_url}/ui/welcome/{text}"
    meta: dict[str, object] = {"link": url, "link_expires_at": moment(call.now_ms + KEPT_MS)}
    return Single(_resource(call, account), meta=meta)


def _resource(call: AnyCall, account: Account) -> Resource[UserAttributes]:
    return Resource(
        type="users",
        id=account.id,
        attributes=UserAttributes(
            email=account.email,
            first_name=account.first_name,
            last_name=account.last_name,
            language=account.language,
            role=account.role,
            scopes=sorted(account.scopes),
            sites=shown_sites(call.token, account.sites),
            state=account.state,
            disabled=account.disabled,
            created_at=moment(account.created_ms),
            last_login_at=moment_or_none(account.last_login_ms),
        ),
        links={"self": f"/v2/admin/users/{account.id}"},
    )
