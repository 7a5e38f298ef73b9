"""Nobody gives more than they have: what a token may do to tokens and accounts."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from turnout.control.access.scopes import SCOPES, Role
from turnout.control.access.token import ALL_SITES, Token
from turnout.control.api.operation import missing_scope
from turnout.control.api.problems import Fault, Place, failure

_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Rights(NamedTuple):
    """What a token or an account may do, and where. `own_scopes` only with the role `custom`."""

    role: Role
    own_scopes: tuple[str, ...]
    sites: tuple[str, ...]


def changed(
    before: Rights,
    role: Role | UnsetType,
    scopes: Sequence[str] | UnsetType,
    sites: Sequence[str] | UnsetType,
    faults: list[Fault],
) -> Rights:
    """Rights with a change, as a body asks for it; what in it can't be is added to `faults`."""
    if scopes is not UNSET and role not in (UNSET, "custom"):
        faults.append(wrong("scopes", "scopes have no effect beside a role: leave one of them out"))
    for site in () if sites is UNSET else sites:
        if site != ALL_SITES and not _SITE.fullmatch(site):
            faults.append(wrong("sites", f"{site!r} is no name of a site"))
    unknown = [] if scopes is UNSET else [one for one in scopes if one not in SCOPES]
    faults += [wrong("scopes", f"{one!r} is no scope; known: {', '.join(SCOPES)}") for one in unknown]
    return Rights(
        role=("custom" if scopes is not UNSET else before.role) if role is UNSET else role,
        own_scopes=tuple(sorted(set(scopes))) if scopes is not UNSET else before.own_scopes if role is UNSET else (),
        sites=before.sites if sites is UNSET else tuple(dict.fromkeys(sites)),
    )


def wrong(name: str, detail: str, code: str = "INVALID_PROPERTY_FORMAT") -> Fault:
    """A fault at an attribute of the body."""
    return Fault(code, detail, Place(pointer=f"/data/attributes/{name}"))


def has_site(token: Token, site: str) -> bool:
    """Whether a token has a site, or (`*`) all of them."""
    return ALL_SITES in token.sites if site == ALL_SITES else token.opens(site)


def shown_sites(token: Token, sites: Iterable[str]) -> list[str]:
    """Those of some sites that a token may know of: for a token of all sites, all."""
    wanted = tuple(sites)
    if ALL_SITES in wanted and not has_site(token, ALL_SITES):
        return list(token.sites)
    return [site for site in wanted if has_site(token, site)]


def check_within(token: Token, sites: Iterable[str], scopes: frozenset[str], detail: str) -> None:
    """Raise `ApiError` 403 unless a token has all these sites (`detail` says what if not) and scopes."""
    if not all(has_site(token, site) for site in sites):
        raise failure(403, "SITE_ACCESS_FORBIDDEN", detail)
    for scope in sorted(scopes - token.scopes):
        raise missing_scope(scope)
