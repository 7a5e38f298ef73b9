"""Chromium on one origin, the collector over TLS on another: every way in which a page sends, and the cookie."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.certificates import make_certificate
from tests.support.server import KEY, Server, until
from tests.support.web import Records, payload, records_of
from turnout.model.event import ACCEPTED, Received

CHROMIUM = Path("/usr/bin/chromium")
PICKY, ASKING = "k-picky", "k-asking"
CONFIG = f"""
sites:
  "29":
    first_party: [shop.test]
    sources:
      shop: {{type: web, key: {KEY}}}
      picky: {{type: web, key: {PICKY}, allowed_origins: ["https://elsewhere.test:${{PORT}}"]}}
      asking: {{type: web, key: {ASKING}, cookie_requires_consent: true}}
"""


class Pages:
    """A web server that has one page, under every name."""

    def __init__(self, certificate: Path, key: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>Shop</title>")

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the browser's own log tells more."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.port: int = self._server.server_address[1]

    @contextmanager
    def serving(self) -> Iterator["Pages"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


class Place(NamedTuple):
    server: Server
    pages: Pages

    @property
    def collector(self) -> str:
        return f"https://collect.shop.test:{self.server.port}"

    def url(self, host: str = "www.shop.test") -> str:
        return f"https://{host}:{self.pages.port}/"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("chromium")
    certificate, key = make_certificate(folder, "shop.test", "*.shop.test", "elsewhere.test")
    with Pages(certificate, key).serving() as pages:
        environment = {"TURNOUT_TLS_CERT": str(certificate), "TURNOUT_TLS_KEY": str(key), "PORT": str(pages.port)}
        with Server(folder / "data", CONFIG, **environment) as server:
            yield Place(server, pages)


@pytest.fixture(scope="module")
def records(place: Place) -> Iterator[Records]:
    with records_of(place.server) as found:
        yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    assert CHROMIUM.exists(), "these tests need Debian's package chromium: apt-get install chromium"
    names = "--host-resolver-rules=MAP *.test 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic", names]
        )
        yield browser
        browser.close()


class Visit(NamedTuple):
    context: BrowserContext
    page: Page

    def cookies(self) -> dict[str, dict[str, object]]:
        return {str(cookie["name"]): dict(cookie) for cookie in self.context.cookies()}


@contextmanager
def visiting(chromium: Browser, url: str) -> Iterator[Visit]:
    """A new visitor on a page; nothing may be seen in the console."""
    context = chromium.new_context(ignore_https_errors=True)
    context.set_default_timeout(60_000)
    problems: list[str] = []
    context.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page = context.new_page()
    page.goto(url)
    try:
        yield Visit(context, page)
    finally:
        context.close()
    assert problems == []


EVENT = "{event_name: 'x', context: {event_id: id}}"
WAYS = {
    "beacon": f"async ([url, id]) => navigator.sendBeacon(url, JSON.stringify({EVENT}))",
    "xhr": f"""([url, id]) => new Promise((done) => {{
        const request = new XMLHttpRequest();
        request.open('POST', url);
        request.withCredentials = true;
        request.setRequestHeader('Content-Type', 'application/json');
        request.onload = () => done(request.status + request.responseText);
        request.onerror = () => done('failed');
        request.send(JSON.stringify({EVENT}));
    }})""",
    "fetch": f"""async ([url, id]) => {{
        const headers = {{'Content-Type': 'application/json'}};
        const body = JSON.stringify({EVENT});
        const answer = await fetch(url, {{method: 'POST', credentials: 'include', keepalive: true, headers, body}});
        return answer.status + await answer.text();
    }}""",
    "pixel": """([url, id]) => new Promise((done) => {
        const image = new Image();
        image.onload = () => done(image.width + 'x' + image.height);
        image.onerror = () => done('failed');
        image.src = url + '&event_name=x&context[event_id]=' + id;
    })""",
}
ANSWERS = {"beacon": True, "xhr": "200{}", "fetch": "200{}", "pixel": "1x1"}


def one(records: Records, event_id: str) -> Received:
    """The record of an event, once it is there; there must be only one."""

    def found() -> list[Received]:
        return [record for record in records.since(0) if record.event_id == event_id]

    until(found, f"the event {event_id}")
    (record,) = found()
    return record


def known_as(record: Received) -> object:
    user = payload(record).get("user")
    return user.get("consistent_anonymous_id") if isinstance(user, dict) else None


def target(place: Place, key: str = KEY, more: str = "") -> str:
    return f"{place.collector}/events?tc_s=29&token={key}{more}"


@pytest.mark.parametrize("first", WAYS)
def test_the_cookie_is_kept_by_the_browser_and_comes_back_with_every_way_to_send(
    place: Place, records: Records, chromium: Browser, first: str
) -> None:
    with visiting(chromium, place.url()) as visit:
        seen = []
        for way in (first, *(way for way in WAYS if way != first)):
            event_id = f"{first}-{way}"
            assert visit.page.evaluate(WAYS[way], [target(place), event_id]) == ANSWERS[way]
            record = one(records, event_id)
            assert record.status == "valid"
            assert record.endpoint == ("pixel" if way == "pixel" else "events")
            context = payload(record)["context"]
            assert isinstance(context, dict)
            assert context["device"]["ip"] == "127.0.0.1"
            assert "Chrome" in context["device"]["user_agent"]
            seen.append(known_as(record))
            until(lambda: "CAID" in visit.cookies(), "the cookie")
        cookie = visit.cookies()["CAID"]
        assert set(seen) == {cookie["value"]}
        assert (cookie["domain"], cookie["path"], cookie["sameSite"]) == (".shop.test", "/", "Lax")
        assert (cookie["httpOnly"], cookie["secure"]) == (True, True)
        expires = cookie["expires"]
        assert isinstance(expires, float)
        assert abs(expires - time.time() - 365 * 86_400) < 600
        asked = visit.page.evaluate(
            "async (url) => (await (await fetch(url, {credentials: 'include'})).json())",
            f"{place.collector}/get-cookie?tc_s=29&name=CAID",
        )
        assert asked == {"CAID": cookie["value"]}
        assert "CAID" not in visit.page.evaluate("document.cookie")


def test_who_does_not_want_to_be_tracked_gets_no_cookie(place: Place, records: Records, chromium: Browser) -> None:
    with visiting(chromium, place.url()) as visit:
        for way, script in WAYS.items():
            visit.page.evaluate(script, [target(place, more="&tc_do_not_track=true"), f"dnt-{way}"])
            assert known_as(one(records, f"dnt-{way}")) is None
        visit.page.evaluate(WAYS["xhr"], [target(place, ASKING), "unasked"])
        assert known_as(one(records, "unasked")) is None
        assert visit.cookies() == {}


def test_pages_of_other_sites_may_send_and_learn_nothing(place: Place, records: Records, chromium: Browser) -> None:
    with visiting(chromium, place.url()) as visit:
        visit.page.evaluate(WAYS["xhr"], [target(place), "at-home"])
        mine = known_as(one(records, "at-home"))
        assert mine
        visit.page.goto(place.url("elsewhere.test"))
        for way, script in WAYS.items():
            assert visit.page.evaluate(script, [target(place), f"away-{way}"]) == ANSWERS[way]
            assert known_as(one(records, f"away-{way}")) != mine
        asked = visit.page.evaluate(
            "async (url) => (await (await fetch(url, {credentials: 'include'})).json())",
            f"{place.collector}/get-cookie?tc_s=29&name=CAID",
        )
        assert asked == {"CAID": ""}
        assert visit.cookies()["CAID"]["value"] == mine


def test_an_origin_that_is_not_allowed_is_answered_the_same_and_refused(
    place: Place, records: Records, chromium: Browser
) -> None:
    with visiting(chromium, place.url()) as visit:
        assert visit.page.evaluate(WAYS["xhr"], [target(place, PICKY), "refused"]) == "200{}"
        assert [reason.code for reason in one(records, "refused").reasons] == ["origin_forbidden"]
        assert visit.cookies() == {}
        visit.page.goto(place.url("elsewhere.test"))
        assert visit.page.evaluate(WAYS["xhr"], [target(place, PICKY), "allowed"]) == "200{}"
        assert one(records, "allowed").status == "valid"


@pytest.mark.parametrize("way", ["beacon", "fetch"])
def test_a_page_closed_in_mid_flight_has_sent_its_event(
    place: Place, records: Records, chromium: Browser, way: str
) -> None:
    with visiting(chromium, place.url()) as visit:
        # A page that is gone can't ask for permission any more; the browser remembers the one it has.
        visit.page.evaluate(WAYS["xhr"], [target(place), f"before-{way}"])
        visit.page.evaluate(f"(given) => {{ ({WAYS[way]})(given); }}", [target(place), f"closing-{way}"])
        visit.page.close()
        assert one(records, f"closing-{way}").status == "valid"


def test_the_tag_is_loaded_from_the_collector_and_leaves_the_visitors_name_to_it(
    place: Place, records: Records, chromium: Browser
) -> None:
    settings = json.dumps({"siteId": 29, "sourceKey": KEY, "caid": "server"})
    with visiting(chromium, place.url()) as visit:
        start = records.log.end(ACCEPTED)
        visit.page.evaluate(
            """([url, settings]) => {
                window.caReady = [];
                window.cact = function () { caReady.push(arguments); };
                cact('config', JSON.parse(settings));
                cact('trigger', 'page_view', {page_type: 'home'});
                document.head.appendChild(Object.assign(document.createElement('script'), {src: url}));
            }""",
            [f"{place.collector}/cdp/tag.js", settings],
        )
        until(lambda: records.since(start), "the event")
        (record,) = records.since(start)
        assert (record.name, record.endpoint, record.status) == ("page_view", "events/batch", "valid")
        until(lambda: "CAID" in visit.cookies(), "the cookie")
        assert known_as(record) == visit.cookies()["CAID"]["value"]


def test_a_browser_asks_once_before_it_sends_and_keeps_the_answer(place: Place, chromium: Browser) -> None:
    with visiting(chromium, place.url()) as visit:
        asked: list[str] = []
        session = visit.context.new_cdp_session(visit.page)
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", lambda sent: asked.append(str(sent["request"]["method"])))
        for number in range(3):
            visit.page.evaluate(WAYS["xhr"], [target(place), f"asked-{number}"])
        assert asked.count("POST") == 3
        assert asked.count("OPTIONS") == 1
