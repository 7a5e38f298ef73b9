"""The interface in a real browser: an account, a session, and an eye on what must not happen on any page."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, sync_playwright

from tests.support.server import Server
from turnout.control.access.database import Database
from turnout.control.access.door import Door, Person
from turnout.control.access.links import Links
from turnout.control.access.logins import Logins
from turnout.control.access.sessions import COOKIE
from turnout.model.clock import now_ms

CHROMIUM = Path("/usr/bin/chromium")
EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
WIDTHS = (360, 820, 1440)
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, started."""
    with sync_playwright() as playwright, _launched(playwright) as browser:
        yield browser


@contextmanager
def _launched(playwright: Playwright) -> Iterator[Browser]:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
    try:
        yield browser
    finally:
        browser.close()


def administrator(data: Path) -> str:
    """Make the first account of a data directory; gives the secret of a session of it."""
    database = Database.of(data)
    try:
        link = Links(database).issue(None, now_ms())
        return Door(database, Logins()).welcome(link, Person(email=EMAIL), PASSWORD, "127.0.0.1", now_ms()).secret
    finally:
        database.close()


class Eyes:
    """A browser's pages of one server, as somebody who is logged in, and everything that went wrong on them."""

    def __init__(self, server: Server, context: BrowserContext) -> None:
        self.origin = f"http://127.0.0.1:{server.control_port}"
        self.context = context
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        # Violations of the content security policy are told here too.
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def go(self, path: str) -> Page:
        """Open a page of the interface."""
        self.page.goto(self.origin + path)
        return self.page

    def barriers(self) -> list[str]:
        """What axe finds on the open page."""
        found = Axe().run(self.page, options=_RULES).response["violations"]
        return [f"{one['id']}: {one['help']}: {json.dumps([node['html'] for node in one['nodes']])}" for one in found]

    def overflows(self) -> bool:
        """Whether the open page must be scrolled sideways."""
        wide: bool = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        return wide


@contextmanager
def eyes(
    browser: Browser,
    server: Server,
    session: str = "",
    *,
    width: int = 1440,
    theme: str = "light",
    language: str = "en",
) -> Iterator[Eyes]:
    """Look at a server's interface."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, locale=language, timezone_id="Europe/Paris", reduced_motion="reduce"
    )
    origin = f"http://127.0.0.1:{server.control_port}"
    context.add_cookies([{"name": "turnout_theme", "value": theme, "url": origin}])
    if session:
        context.add_cookies([{"name": COOKIE, "value": session, "url": origin}])
    try:
        yield Eyes(server, context)
    finally:
        context.close()
