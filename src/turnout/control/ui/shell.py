"""The interface on Litestar: who is looking, where forms come from, headers that keep pages harmless."""

import asyncio
import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import structlog
from litestar import MediaType, Response, get, route
from litestar import Request as HttpRequest
from litestar.datastructures import Cookie, State
from litestar.handlers import HTTPRouteHandler

from turnout.control.access import ids
from turnout.control.access.sessions import COOKIE, csrf
from turnout.control.api.answer import Api
from turnout.control.api.documents import Single
from turnout.control.api.me import Me, get_me
from turnout.control.api.shell import routed
from turnout.control.ui.page import Page, Redirect, Refused, Shown, View, Visit
from turnout.control.ui.words import LANGUAGES, Language, preferred, words
from turnout.model.clock import now_ms

NOTICE, LANGUAGE, THEME, SITE = "turnout_notice", "turnout_language", "turnout_theme", "turnout_site"
"""Cookies beside the session's: what to say on the next page, and what somebody chose; the site was looked at last."""
_THREADS = 4
_FIELDS = 5_000
_YEAR_S = 365 * 86_400
_HARMLESS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: browsers would say `Origin: null` with forms then.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

log = structlog.get_logger("ui")

Http = HttpRequest[Any, Any, State]
"""Any: Litestar's user and login, which are not used."""


def handlers(api: Api, pages: Sequence[Page]) -> list[HTTPRouteHandler]:
    """Litestar's handlers for all pages and what they load."""
    threads = ThreadPoolExecutor(_THREADS, "ui")

    @get("/ui/static/{version:str}/{name:str}", sync_to_thread=True)
    def static(request: Http) -> Response[bytes]:
        from turnout.control.ui import rendering  # noqa: PLC0415  (templates cost memory: not before somebody looks)

        body, kind = rendering.static_files().get(request.path_params["name"], (b"", ""))
        if not kind or request.path_params["version"] != rendering.static_version():
            return Response(b"", status_code=404, media_type=MediaType.TEXT)
        headers = {"Cache-Control": f"public, max-age={_YEAR_S}, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(body, media_type=kind, headers=headers)

    return [static, *(_handler(api, one, threads) for one in pages)]


def lost(api: Api, http: Http) -> Response[bytes]:
    """The page for a path of the interface where there is nothing."""
    visit = _visit(api, http, b"")
    return _response(http, visit, _error(visit, Refused.because(404, "there is no page at this address")))


def _handler(api: Api, page: Page, threads: ThreadPoolExecutor) -> HTTPRouteHandler:
    @route(routed(page.path), http_method=[page.method], status_code=200, name=f"ui {page.method} {page.path}")
    async def handle(request: Http) -> Response[bytes]:
        body = await request.body() if page.method == "POST" else b""
        return await asyncio.get_running_loop().run_in_executor(threads, _answer, api, page, request, body)

    return handle


def _answer(api: Api, page: Page, http: Http, body: bytes) -> Response[bytes]:
    visit = _visit(api, http, body)
    try:
        visit, shown = _shown(visit, page, http)
        return _response(http, visit, shown)
    except Exception:
        log.exception("page failed", path=http.url.path, request_id=visit.id)
        return _response(http, visit, _error(visit, Refused.because(500, "the server's log tells more")))


def _shown(visit: Visit, page: Page, http: Http) -> tuple[Visit, Shown]:
    if page.method == "POST" and not _same_origin(http):
        return visit, _error(visit, Refused.because(403, "the form was sent from another site"))
    try:
        if visit.session:
            visit = dataclasses.replace(visit, me=_me(visit))
        if visit.me is None and not page.is_open:
            return visit, _to_login(page, http)
        return visit, page.show(visit)
    except Refused as refused:
        return visit, _to_login(page, http) if refused.status == 401 else _error(visit, refused)


def _me(visit: Visit) -> Me | None:
    try:
        return visit.ask(get_me, Single[Me]).data.attributes
    except Refused as refused:
        if refused.status == 401:
            return None
        raise


def _to_login(page: Page, http: Http) -> Redirect:
    """To the login, and from there back to where somebody wanted to look."""
    back = f"{http.url.path}?{http.url.query}".rstrip("?") if page.method == "GET" else ""
    return Redirect(f"/ui/login?next={quote(back, safe='')}" if back.startswith("/ui/") else "/ui/login")


def _same_origin(http: Http) -> bool:
    """Whether a form was sent by a page of ours: browsers say so with every POST."""
    origin = http.headers.get("origin", "")
    return urlsplit(origin).netloc == http.headers.get("host") if origin else False


def _visit(api: Api, http: Http, body: bytes) -> Visit:
    query = http.scope["query_string"].decode("ascii", "replace")
    form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS))
    return Visit(
        api=api,
        path={name: str(value) for name, value in http.path_params.items()},
        query=dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_FIELDS)),
        form=form,
        url=http.url.path + (f"?{query}" if query else ""),
        session=http.cookies.get(COOKIE, ""),
        csrf=form.get("csrf", ""),
        address=http.client.host if http.client else "",
        id=ids.fresh("req_", now_ms()),
        words=words(_language(http.cookies.get(LANGUAGE, ""), http.headers.get("accept-language", ""))),
    )


def _language(chosen: str, accepted: str) -> Language:
    return next((one for one in LANGUAGES if one == chosen), None) or preferred(accepted)


def _error(visit: Visit, refused: Refused) -> View:
    return View("error.html", refused.status, problem=refused.problem)


def _response(http: Http, visit: Visit, shown: Shown) -> Response[bytes]:
    if isinstance(shown, Redirect):
        told = {NOTICE: quote(shown.notice)} if shown.notice else {}
        cookies = [_cookie(http, name, value) for name, value in {**shown.cookies, **told}.items()]
        return Response(b"", status_code=303, headers={**_HARMLESS, "Location": shown.to}, cookies=cookies)
    from turnout.control.ui import rendering  # noqa: PLC0415  (templates cost memory: not before somebody looks)

    notice = http.cookies.get(NOTICE, "")
    theme = http.cookies.get(THEME, "")
    around = {
        "visit": visit,
        "me": visit.me,
        "site": visit.site or (http.cookies.get(SITE, "") if visit.me else ""),
        "theme": theme if theme in ("light", "dark") else "auto",
        "notice": unquote(notice)[:500],
        "csrf": csrf(visit.session) if visit.session else "",
    }
    remembered = {NOTICE: ""} if notice else {}
    if visit.site and shown.status == 200:
        remembered[SITE] = visit.site
    body = rendering.render(shown.template, visit.words.language, around | shown.data)
    return Response(
        body,
        status_code=shown.status,
        media_type=MediaType.HTML,
        headers=_HARMLESS,
        cookies=[_cookie(http, name, value) for name, value in remembered.items()],
    )


def _cookie(http: Http, name: str, value: str) -> Cookie:
    """A cookie; an empty one is removed. The session's ends with the browser, what people chose stays."""
    lasting = None if name in (COOKIE, NOTICE) else _YEAR_S
    return Cookie(
        key=name,
        value=value,
        max_age=0 if not value else lasting,
        path="/",
        httponly=True,
        samesite="strict",
        secure=http.url.scheme == "https",
    )
