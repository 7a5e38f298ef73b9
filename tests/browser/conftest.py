"""One Chromium per module; a context of its own, and nothing left of it, per visit."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.pages import Site

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    assert CHROMIUM.exists(), "these tests need Debian's package chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


class Visitor:
    """A browser profile. `problems` holds every warning and error of its consoles, and every uncaught exception."""

    def __init__(self, browser: Browser) -> None:
        self.context: BrowserContext = browser.new_context(
            locale="fr-FR", timezone_id="Europe/Paris", viewport={"width": 900, "height": 700}
        )
        self.context.set_default_timeout(60_000)
        self.problems: list[str] = []
        self.expected: tuple[str, ...] = ()
        """Parts of messages that the browser itself writes and no script can prevent."""
        self.context.on("console", lambda message: self._note(message.type, message.text))
        self.context.on("weberror", lambda error: self._note("error", str(error.error)))

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not any(part in text for part in self.expected):
            self.problems.append(text)

    def open(self, url: str) -> Page:
        """A new tab at this page, with the tag loaded."""
        page = self.context.new_page()
        page.goto(url)
        loaded(page)
        return page


def loaded(page: Page) -> None:
    """Wait until the tag has taken over."""
    page.wait_for_function("() => window.cact && window.cact.turnout")


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Visitor]:
    """A visitor in whose consoles nothing may be seen."""
    visiting = Visitor(chromium)
    yield visiting
    visiting.context.close()
    assert visiting.problems == []


@pytest.fixture
def visitors(chromium: Browser) -> Iterator[Callable[[], Visitor]]:
    """As many visitors as a test asks for."""
    made: list[Visitor] = []

    def make() -> Visitor:
        made.append(Visitor(chromium))
        return made[-1]

    yield make
    for visiting in made:
        visiting.context.close()
    assert [problem for visiting in made for problem in visiting.problems] == []
