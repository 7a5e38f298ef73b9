"""Nobody gives more than they have: what a token may do to tokens and accounts."""

from collections.abc import Iterable

from turnout.control.access.token import ALL_SITES, Token
from turnout.control.api.operation import missing_scope
from turnout.control.api.problems import failure


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
