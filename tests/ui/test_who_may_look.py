"""No page without a session, no form from elsewhere, no way out of the interface by its own addresses."""

import http.client
import re
from urllib.parse import urlencode

import pytest

from tests.support.server import Server
from tests.ui.conftest import Living
from turnout.control.access.sessions import COOKIE
from turnout.control.ui.page import Page
from turnout.control.ui.table import PAGES

CLOSED = [one for one in PAGES if not one.is_open]
FORMS = [one for one in PAGES if one.method == "POST"]


def ask(
    server: Server, method: str, path: str, headers: dict[str, str] | None = None, form: dict[str, str] | None = None
) -> tuple[int, str]:
    """An answer's status, and where it leads."""
    connection = http.client.HTTPConnection("127.0.0.1", server.control_port, timeout=10)
    sent = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
    connection.request(method, path, urlencode(form or {}), {**sent, **(headers or {})})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers.get("Location", "")


def address(page: Page) -> str:
    values = {"site": "29"}
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "1"), page.path)


def own(server: Server) -> dict[str, str]:
    return {"Origin": f"http://127.0.0.1:{server.control_port}"}


@pytest.mark.parametrize("page", CLOSED, ids=lambda one: f"{one.method} {one.path}")
@pytest.mark.parametrize("cookie", ["", f"{COOKIE}={'x' * 43}"])
def test_who_has_not_logged_in_is_sent_to_the_login(living: Living, page: Page, cookie: str) -> None:
    headers = own(living.server) | ({"Cookie": cookie} if cookie else {})
    status, to = ask(living.server, page.method, address(page), headers)
    assert (status, to.partition("?")[0]) == (303, "/ui/login")


@pytest.mark.parametrize("page", FORMS, ids=lambda one: one.path)
@pytest.mark.parametrize("origin", ["", "null", "https://elsewhere.example", "http://127.0.0.1:1"])
def test_a_form_from_elsewhere_is_refused(living: Living, page: Page, origin: str) -> None:
    headers = {"Cookie": f"{COOKIE}={living.session}"} | ({"Origin": origin} if origin else {})
    assert ask(living.server, "POST", address(page), headers, {"email": "a@b.c"})[0] == 403


@pytest.mark.parametrize(
    ("back", "leads_to"),
    [
        ("/ui/29/sources?a=b", "/ui/29/sources?a=b"),
        ("https://elsewhere.example/ui/", "/ui"),
        ("//elsewhere.example/ui/", "/ui"),
        ("/ui/\\elsewhere.example", "/ui"),
        ("/ui/\r\nSet-Cookie: a=b", "/ui"),
        ("/elsewhere", "/ui"),
        ("", "/ui"),
    ],
)
def test_a_form_leads_to_pages_of_the_interface_alone(living: Living, back: str, leads_to: str) -> None:
    status, to = ask(living.server, "POST", "/ui/preferences", own(living.server), {"theme": "dark", "back": back})
    assert (status, to) == (303, leads_to)


def test_nothing_is_a_page_too(living: Living) -> None:
    assert ask(living.server, "GET", "/ui/nowhere/at/all")[0] == 404
    assert ask(living.server, "GET", "/") == (302, "/ui")
