"""Requests that bring no event: health, the identifier cookie, the tag, preflights, and what is not here. Pure."""

from collections.abc import Mapping

from turnout.collect import tag
from turnout.collect.answers import Answer, Page
from turnout.collect.identity import get_cookie
from turnout.collect.limits import EVENT_BYTES
from turnout.collect.percent import pairs
from turnout.collect.routes import RouteName

_COOKIE_LINES = "X-Content-Type-Options: nosniff\r\n"


def page(method: bytes, route: RouteName | None, query: bytes, headers: Mapping[str, bytes]) -> Answer | Page:
    """The answer to a request that brings no event (`collect.md` §1, §16). Never raises."""
    if route is None or (route == "root" and not _asks_for_health(query)):
        return Answer.NOT_FOUND
    if method == b"OPTIONS":
        return Answer.PREFLIGHT
    reads = method in (b"GET", b"HEAD")
    if route == "events":
        if method != b"HEAD":
            return Answer.USE_GET_OR_POST
        return Answer.PIXEL if len(query) <= EVENT_BYTES else Answer.PIXEL_TOO_LARGE
    if route == "events/batch":
        return Answer.USE_POST
    if not reads:
        return Answer.USE_GET
    if route == "get-cookie":
        return _cookie(query, headers)
    if route == "tag":
        return _tag(headers)
    return Answer.HEALTHY


def _cookie(query: bytes, headers: Mapping[str, bytes]) -> Page:
    # A page of another site may ask, and with a cookie that its owner made `SameSite=None` it could even be told.
    cookie = None if headers.get("sec_fetch_site", b"").lower() == b"cross-site" else headers.get("cookie")
    found = pairs(query.decode("utf-8", "replace"))
    body = get_cookie(zip(found.keys, found.values, strict=True), cookie)
    return Page(200, "application/json", body, _COOKIE_LINES)


def _tag(headers: Mapping[str, bytes]) -> Page:
    answer = tag.answer(headers.get("accept_encoding"), headers.get("if_none_match"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
    return Page(answer.status, "", answer.body, lines, shared=True)


def _asks_for_health(query: bytes) -> bool:
    """`?validate_geo=healthy`, as the set-up of a tag gateway asks the bare path."""
    return b"healthy" in query and ("validate_geo", "healthy") in zip(
        *pairs(query.decode("utf-8", "replace"))[:2], strict=True
    )
