"""The browser tag's outbox in Chromium, against a stand-in collector that fails as a test wants it to."""

from collections import Counter
from itertools import pairwise
from typing import Any

from playwright.sync_api import Page

from tests.browser.conftest import Visitor, loaded
from tests.support.pages import Site
from tests.support.server import free_port, until

CONFIG = "cact('config', {siteId: 29, sourceKey: 'K'});"
FAILED_REQUEST = ("Failed to load resource",)


def status(page: Page) -> dict[str, int]:
    """What the tag says of itself."""
    found: dict[str, int] = page.evaluate("new Promise(done => cact('status', done))")
    return found


def names(site: Site) -> list[Any]:
    return [event["event_name"] for event in site.events()]


def test_events_go_to_where_the_tag_came_from_unless_told_otherwise(site: Site, visitor: Visitor) -> None:
    url = site.page("/home", CONFIG + "cact('trigger', 'x');")
    page = visitor.open(url)
    until(lambda: site.hits, "the event")
    assert site.hits[0].query == {"tc_s": ["29"], "token": ["K"]}
    assert site.hits[0].content_type == "application/json"
    asked = page.evaluate("""async () => {
        const asked = [];
        window.fetch = async url => asked.push(url) && new Response('{}');
        for (const where of ['shop.example', 'shop.example/path/', 'https://shop.example/cdp', 'http://localhost:1//'])
            await new Promise(done => cact('trigger', 'x', {}, {collectionDomain: where, exemptMode: true}, done));
        return asked;
    }""")
    bases = ("https://shop.example", "https://shop.example/path", "https://shop.example/cdp", "http://localhost:1")
    assert asked == [f"{base}/events/batch?tc_s=29&token=K&tc_do_not_track=1" for base in bases]


def test_cookies_travel_with_requests_and_beacons(site: Site, visitor: Visitor) -> None:
    with Site() as collector:
        where = f"cact('config', {{collectionDomain: '{collector.origin}'}});"
        page = visitor.open(site.page("/cookies", CONFIG + where + "cact('trigger', 'x');"))
        until(lambda: collector.hits, "the request")
        page.evaluate("cact('trigger', 'y')")
        page.goto("about:blank")
        until(lambda: len(collector.hits) == 2, "the beacon")
        (cookie,) = visitor.context.cookies()
        assert {hit.cookie for hit in collector.hits} == {f"CAID={cookie['value']}"}


def test_a_failing_collector_is_asked_again_later(site: Site, visitor: Visitor) -> None:
    visitor.expected = FAILED_REQUEST
    site.answers = [503]
    site.gate.clear()
    page = visitor.open(site.page("/retry", CONFIG))
    with page.expect_request("**/events/batch?*"):
        page.evaluate("cact('trigger', 'a')")
    page.evaluate("cact('trigger', 'b')")
    site.gate.set()
    until(lambda: names(site) == ["a", "b"], "both events")
    assert [hit.status for hit in site.hits] == [503, 200]
    page.wait_for_function("() => new Promise(done => cact('status', s => done(!s.stored)))")


def test_a_collector_that_is_not_there_is_found_when_it_is(site: Site, visitor: Visitor) -> None:
    visitor.expected = FAILED_REQUEST
    port = free_port()
    call = f"cact('trigger', 'x', {{}}, {{collectionDomain: 'http://127.0.0.1:{port}'}});"
    page = visitor.open(site.page("/absent", CONFIG + call))
    page.wait_for_function("() => Object.values(localStorage).some(text => text.startsWith('0\\n'))")
    with Site(port) as collector:
        until(lambda: names(collector) == ["x"], "the event")
    page.wait_for_function("() => new Promise(done => cact('status', s => done(!s.stored)))")


def test_what_the_collector_refuses_is_counted_and_never_sent_again(site: Site, visitor: Visitor) -> None:
    visitor.expected = FAILED_REQUEST
    site.answers = [400]
    page = visitor.open(site.page("/refused", CONFIG))
    result = page.evaluate("new Promise(done => cact('trigger', 'bad', done))")
    assert result["error"] == "refused"
    assert status(page) == {"stored": 0, "sent": 0, "dropped": 1}
    page.evaluate("new Promise(done => cact('trigger', 'good', done))")
    page.reload()
    loaded(page)
    page.evaluate("new Promise(done => cact('trigger', 'last', done))")
    assert [hit.status for hit in site.hits] == [400, 200, 200]
    assert names(site) == ["good", "last"]
    assert site.events()[0]["context"]["tag"] == {"version": 1, "dropped": 1}  # type: ignore[index]


def test_a_request_without_an_answer_is_given_up_and_made_again(site: Site, visitor: Visitor) -> None:
    visitor.context.add_init_script("const real = AbortSignal.timeout; AbortSignal.timeout = ms => real(ms / 50);")
    site.gate.clear()
    page = visitor.open(site.page("/silent", CONFIG + "cact('trigger', 'x');"))
    page.wait_for_function("() => Object.values(localStorage).some(text => text.startsWith('0\\n'))")
    site.gate.set()
    until(lambda: len(site.events()) >= 2, "the event, twice")
    first, second = site.events()
    assert first == second
    page.wait_for_function("() => new Promise(done => cact('status', s => done(!s.stored)))")


def test_while_the_collector_fails_a_page_asks_ever_more_seldom(site: Site, visitor: Visitor) -> None:
    visitor.expected = FAILED_REQUEST
    site.answers = [500, 503, 429, 502, 503, 500]
    failures = len(site.answers)
    page = visitor.context.new_page()
    page.clock.install()
    page.add_init_script("""
        window.asked = []; window.pending = 0;
        const real = fetch;
        window.fetch = (...call) => (asked.push(Date.now()), pending++, real(...call).finally(() => pending--));
    """)
    page.goto(site.page("/down", CONFIG + "cact('trigger', 'x');"))
    loaded(page)

    def later() -> bool:
        page.clock.run_for(1000)
        page.wait_for_function("() => !window.pending")
        return bool(site.events())

    until(later, "the event")
    times = page.evaluate("asked")
    assert len(times) == failures + 1
    for attempt, (early, late) in enumerate(pairwise(times), 1):
        assert 500 * 2**attempt <= late - early <= 1000 * 2**attempt + 1100, times


def test_a_full_outbox_drops_the_oldest_and_tells_how_many(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/bound", "cact('config', {siteId: 29, sourceKey: 'K', maxStored: 5});"))
    visitor.context.set_offline(True)
    page.evaluate("const now = Date.now(); Date.now = () => now; for (let i = 0; i < 8; i++) cact('trigger', 'x', {i})")
    assert status(page) == {"stored": 5, "sent": 0, "dropped": 3}
    visitor.context.set_offline(False)
    until(lambda: len(site.events()) == 5, "what is left")
    assert [event["i"] for event in site.events()] == [3, 4, 5, 6, 7]
    page.evaluate("new Promise(done => cact('trigger', 'after', done))")
    assert site.events()[-1]["context"]["tag"] == {"version": 1, "dropped": 3}  # type: ignore[index]


def test_the_outbox_takes_no_more_than_a_million_characters(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/large", CONFIG))
    visitor.context.set_offline(True)
    page.evaluate("for (let i = 0; i < 60; i++) cact('trigger', 'x', {i, filling: 'x'.repeat(30000)})")
    size = page.evaluate("Object.values(localStorage).join('').length")
    assert 900_000 < size <= 1_000_000
    found = status(page)
    assert found["stored"] + found["dropped"] == 60


def test_tabs_share_what_is_stored_and_send_it_once(site: Site, visitor: Visitor) -> None:
    url = site.page("/tabs", CONFIG)
    tabs = [visitor.open(url) for _ in range(4)]
    visitor.context.set_offline(True)
    for number, tab in enumerate(tabs):
        tab.evaluate("tab => { for (let i = 0; i < 10; i++) cact('trigger', 'x', {tab, i}) }", number)
    tabs[0].wait_for_function("() => new Promise(done => cact('status', s => done(s.stored === 40)))")
    site.gate.clear()
    visitor.context.set_offline(False)
    for tab in tabs:
        tab.evaluate("cact('flush')")
        tab.evaluate("cact('trigger', 'fresh')")
    site.gate.set()
    until(lambda: len(site.events()) >= 44, "all events")
    tabs[0].wait_for_function("() => new Promise(done => cact('status', s => done(!s.stored)))")
    counts = Counter(event["context"]["event_id"] for event in site.events())  # type: ignore[index]
    assert len(counts) == 44
    assert set(counts.values()) == {1}


def test_a_tab_leaves_the_outbox_alone_while_another_is_at_it(site: Site, visitor: Visitor) -> None:
    url = site.page("/turns", CONFIG)
    busy = visitor.open(url)
    busy.evaluate("() => { navigator.locks.request('turnout:', () => new Promise(done => { window.release = done })) }")
    busy.wait_for_function("() => window.release")
    busy.evaluate("localStorage['turnout:7'] = '0\\n/events/batch?tc_s=29&token=K\\n{\"event_name\": \"stored\"}'")
    page = visitor.open(url)
    page.evaluate("new Promise(done => cact('trigger', 'own', done))")
    page.evaluate("new Promise(done => cact('trigger', 'own', done))")
    assert names(site) == ["own", "own"]
    busy.evaluate("release()")
    page.evaluate("cact('flush')")
    until(lambda: names(site) == ["own", "own", "stored"], "the stored event")


def test_events_of_a_crashed_tab_are_sent_by_another_after_its_lease(site: Site, visitor: Visitor) -> None:
    url = site.page("/crash", "cact('config', {siteId: 29, sourceKey: 'K', batchDelay: 600000});")
    page = visitor.open(url)
    page.evaluate("cact('trigger', 'left')")
    key = page.evaluate("Object.keys(localStorage).filter(key => key.startsWith('turnout:'))[0]")
    entry = page.evaluate("key => localStorage[key]", key)
    page.close()
    until(lambda: site.hits, "the parting beacon")
    site.hits.clear()

    other = visitor.context.new_page()
    other.clock.install()
    site.page("/crash", CONFIG)
    # As if the first tab had not come to its parting. Under a key of its own: that tab may still be removing the other.
    other.add_init_script(f"sessionStorage.seen = sessionStorage.seen || (localStorage[{key + 'x'!r}] = {entry!r})")
    other.goto(url)
    loaded(other)
    other.evaluate("new Promise(done => cact('trigger', 'own', done))")
    other.clock.run_for(30_000)
    other.evaluate("new Promise(done => cact('trigger', 'own', done))")
    assert names(site) == ["own", "own"]

    def later() -> bool:
        other.clock.run_for(10_000)
        return "left" in names(site)

    until(later, "the crashed tab's event")


def test_events_for_two_sources_are_never_in_one_request(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/two", CONFIG))
    page.evaluate("for (let i = 0; i < 6; i++) cact('trigger', 'x', {i}, {sourceKey: i < 3 ? 'A' : 'B'})")
    until(lambda: len(site.events()) == 6, "all events")
    assert [(hit.query["token"], [event["i"] for event in hit.events]) for hit in site.hits] == [
        (["A"], [0, 1, 2]),
        (["B"], [3, 4, 5]),
    ]


def test_a_hidden_page_hands_its_events_to_the_browser_at_once(site: Site, visitor: Visitor) -> None:
    page = visitor.open(site.page("/hidden", "cact('config', {siteId: 29, sourceKey: 'K', batchDelay: 600000});"))
    page.evaluate("cact('trigger', 'before')")
    page.evaluate("""() => {
        Object.defineProperty(document, 'visibilityState', {value: 'hidden'});
        document.dispatchEvent(new Event('visibilitychange'));
        cact('trigger', 'while');
    }""")
    until(lambda: len(site.events()) == 2, "both events")
    assert sorted(names(site)) == ["before", "while"]
    assert {hit.content_type for hit in site.hits} == {"text/plain;charset=UTF-8"}
    assert status(page) == {"stored": 0, "sent": 2, "dropped": 0}


def test_what_fails_after_a_page_was_left_is_sent_when_it_is_shown_again(site: Site, visitor: Visitor) -> None:
    visitor.expected = FAILED_REQUEST
    site.answers = [503]
    site.gate.clear()
    page = visitor.open(site.page("/back", CONFIG))
    with page.expect_request("**/events/batch?*"):
        page.evaluate("cact('trigger', 'x')")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    assert status(page)["stored"] == 0
    site.gate.set()
    page.wait_for_function("() => new Promise(done => cact('status', s => done(s.stored === 1)))")
    until(lambda: names(site) == ["x"], "the event")

    page.wait_for_function("() => new Promise(done => cact('status', s => done(!s.stored)))")
    page.evaluate("""() => {
        localStorage['turnout:7'] = '0\\n/events/batch?tc_s=29&token=K\\n{"event_name": "of another tab"}';
        dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}));
    }""")
    until(lambda: names(site) == ["x", "of another tab"], "the other event")


def test_a_page_loaded_ahead_says_nothing_until_it_is_visited(site: Site, visitor: Visitor) -> None:
    visitor.context.add_init_script("Object.defineProperty(document, 'prerendering', {value: true, writable: true})")
    page = visitor.context.new_page()
    page.goto(site.page("/ahead", CONFIG + "cact('trigger', 'seen');"))
    page.wait_for_load_state("load")
    assert page.evaluate("[window.cact.turnout, Object.keys(localStorage).length, document.cookie]") == [None, 0, ""]
    page.evaluate("document.prerendering = false; document.dispatchEvent(new Event('prerenderingchange'))")
    until(lambda: names(site) == ["seen"], "the event")
