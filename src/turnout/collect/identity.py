"""The CAID cookie: who a visitor is from one request to the next (`collect.md` §8, §16). Pure.

What must stay true: no cookie but CAID (and TCID, for who asks for it by name) is ever read, whatever else the header
holds; an id is never taken from a request that says `tc_do_not_track`; a visitor who has an id keeps it.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

LIFETIME_S = 31_536_000
_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_COOKIES = {
    name: re.compile(rb"(?:^|;)\s*" + name.encode() + rb"\s*=\s*([A-Za-z0-9._-]{1,64})\s*(?=;|\Z)")
    for name in ("CAID", "TCID")
}
_NAME_CHARACTERS = 64


class Visit(NamedTuple):
    """What a request says about its visitor, apart from its events."""

    caid: str
    """The valid CAID that came with the request (`read_cookie`), or ""."""
    domain: str
    """The cookie domain of the first-party host that was asked, if CAID is managed here for it; else ""."""
    client_side: bool
    do_not_track: bool = False
    requires_consent: bool = False
    """The source's `cookie_requires_consent`: no new cookie before some category is granted."""


class Identity(NamedTuple):
    """What follows for one event."""

    fill: str | None
    """What to write into `user.consistent_anonymous_id`; None: leave it as it is."""
    cookie: str | None
    """The CAID to set; None: set none."""


def identify(visit: Visit, claimed: object, categories: object, new_caid: Callable[[], str]) -> Identity:
    """Apply the table of §8 to one event. Never raises.

    `claimed` is the event's `user.consistent_anonymous_id` and `categories` its `user.consent_categories`, None where
    absent. `new_caid` is called only for a visitor who has no id and may get one. When a request has several events,
    ask for each with what is set by then: `visit._replace(caid=identity.cookie)`.
    """
    if not visit.client_side or visit.do_not_track:
        return Identity(None, None)
    absent = claimed is None or claimed == ""
    if visit.caid:
        return Identity(visit.caid if absent else None, None)
    if not visit.domain or (visit.requires_consent and not grants(categories)):
        return Identity(None, None)
    if absent:
        created = new_caid()
        return Identity(created, created)
    text = str(claimed) if isinstance(claimed, str | int) and not isinstance(claimed, bool) else ""
    return Identity(None, text if _SAFE.fullmatch(text) else None)


class Visitor:
    """Who sends the events of one request, one after the other."""

    __slots__ = ("_new_caid", "_visit", "cookie")

    def __init__(self, visit: Visit, new_caid: Callable[[], str]) -> None:
        self._visit, self._new_caid = visit, new_caid
        self.cookie = ""
        """The `Set-Cookie` header that the answer needs; empty for none."""

    def is_known_as(self, claimed: object) -> bool:
        """Whether nothing is left to do for an event that claims this id."""
        return bool(self._visit.caid) and bool(claimed)

    def identify(self, claimed: object, categories: object) -> str | None:
        """What to write into `user.consistent_anonymous_id` of the next event that is taken; None: nothing."""
        fill, cookie = identify(self._visit, claimed, categories, self._new_caid)
        if cookie is not None:
            self.cookie = set_cookie(cookie, self._visit.domain)
            self._visit = self._visit._replace(caid=cookie)
        return fill


def first_party(host: str, domains: Iterable[str]) -> str:
    """The most particular of these domains that a host (`proxies.host_of`) belongs to; "" if it belongs to none."""
    return max((domain for domain in domains if host == domain or host.endswith(f".{domain}")), key=len, default="")


def grants(categories: object) -> bool:
    """Whether some consent category is granted: anything ill-typed grants nothing (§8)."""
    items = categories if isinstance(categories, list) else [categories]
    typed = all(isinstance(item, str | int) and not isinstance(item, bool) for item in items)
    return typed and any(str(item).strip() for item in items)


def read_cookie(header: bytes | None, name: str = "CAID") -> str:
    """The first value under this name, CAID or TCID, in a `Cookie` header that can be an id; "" if there is none.

    Up to 64 letters, digits, `.`, `_` and `-`: not all who make ids make 24 digits.
    """
    match = _COOKIES[name].search(header) if header else None
    return match[1].decode() if match else ""


def make_caid(year: int, below: Callable[[int], int]) -> str:
    """A new CAID: the year of its creation and 20 random digits. `below(n)` gives a random number in 0..n-1."""
    return f"{year:04d}{below(10**20):020d}"


def set_cookie(caid: str, domain: str) -> str:
    """The value of the `Set-Cookie` header. `domain` comes from the configuration, never from the request."""
    return f"CAID={caid}; Domain=.{domain.lstrip('.')}; Path=/; Max-Age={LIFETIME_S}; HttpOnly; Secure; SameSite=Lax"


def do_not_track(parameters: Iterable[tuple[str, str]]) -> bool:
    """Whether decoded query parameters say `tc_do_not_track`; if they say yes and no, it is yes."""
    return any(name == "tc_do_not_track" and value.strip().lower() not in ("0", "false") for name, value in parameters)


def get_cookie(parameters: Iterable[tuple[str, str]], header: bytes | None) -> bytes:
    """The JSON body that answers `GET /get-cookie` (§16), from its decoded query and its `Cookie` header.

    `{name: value}` for CAID and TCID, `{name: ""}` for every other name, `{}` when none is asked for.
    """
    listed = list(parameters)
    name = next((value for key, value in listed if key == "name"), None)
    if name is None:
        return b"{}"
    readable = name in _COOKIES and not do_not_track(listed)
    return msgspec.json.encode({name[:_NAME_CHARACTERS]: read_cookie(header, name) if readable else ""})
