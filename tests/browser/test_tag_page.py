"""The how-to about the browser tag: its snippets, run in Chromium."""

from pathlib import Path

import pytest

from tests.browser.conftest import Visitor
from tests.docs.pages import blocks
from tests.support.pages import Site
from tests.support.server import until

TEXT = (Path(__file__).parents[2] / "docs/how-to/browser-tag.md").read_text()
HTML = [block.text for block in blocks(TEXT, "html")]
SCRIPTS = [block.text for block in blocks(TEXT, "javascript")]


@pytest.mark.parametrize("snippet", HTML, ids=["inline", "attributes"])
def test_the_page_of_the_how_to_sends_events(site: Site, visitor: Visitor, snippet: str) -> None:
    assert "https://collect.example.com/tag.js" in snippet
    snippet = snippet.replace("https://collect.example.com", site.origin)
    page = visitor.open(site.serve("/", f"<!doctype html><head>{snippet}</head>"))
    page.evaluate("cact('trigger', 'one_more')")
    until(lambda: site.events()[-1:] and site.events()[-1]["event_name"] == "one_more", "the events")
    assert {tuple(hit.query["tc_s"]) for hit in site.hits} == {("29",)}
    assert {tuple(hit.query["token"]) for hit in site.hits} == {("7183b9d4-1031-11ee-be56-0242ac120002",)}


def test_the_calls_of_the_how_to_work(site: Site, visitor: Visitor) -> None:
    config = "cact('config', {siteId: 29, sourceKey: 'K'}); window.myConsentTool = {granted: ['2']};"
    page = visitor.open(site.page("/calls", config))
    for script in SCRIPTS:
        page.add_script_tag(content=script)
    page.evaluate("cact('trigger', 'end')")
    until(lambda: len(site.events()) == 3, "the events")
    cart, login, end = site.events()
    assert (cart["event_name"], cart["value"]) == ("add_to_cart", 59.9)
    assert (login["event_name"], login["method"]) == ("login", "sso")
    assert login["context"]["event_id"] == "login-4711"  # type: ignore[index]
    assert end["page_type"] == "home"
    user = end["user"]
    assert isinstance(user, dict)
    assert user["consent_categories"] == ["2"]
    assert "id" not in user


def test_every_setting_is_explained() -> None:
    table = TEXT.partition("## Settings")[2].partition("\n## ")[0]
    source = (Path(__file__).parents[2] / "src/turnout/collect/tag.js").read_text()
    typed = source.partition("@typedef {object} Settings")[2].partition("*/")[0]
    names = [line.split("}")[-1].split()[0].strip("[]") for line in typed.splitlines() if "@property" in line]
    assert len(names) == 12
    assert [name for name in names if name != "eventId" and f"`{name}`" not in table] == []
