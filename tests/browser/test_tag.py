"""The browser tag in Chromium against a running collector on another site: what a page can say, and what arrives."""

import json
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Visitor, loaded
from tests.support.pages import STUB, Site
from tests.support.server import KEY, Server, until

OTHER = "k-other-shop"
CONFIG = f"""
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}
      outlet: {{type: web, key: {OTHER}}}
    destinations:
      archive: {{type: file, sources: [shop], settings: {{path: out/shop.ndjson}}}}
      outlet: {{type: file, sources: [outlet], settings: {{path: out/outlet.ndjson}}}}
"""
CAID = re.compile(r"20\d{22}")


class Collector:
    """The running server and what arrived at its file destinations."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def config(self, **settings: object) -> str:
        """A call of `config` that points a page here."""
        told = {"siteId": 29, "sourceKey": KEY, "collectionDomain": self.url, **settings}
        return f"cact('config', {json.dumps(told)});"

    def arrived(self, path: str, source: str = "shop") -> list[dict[str, Any]]:
        """The events that a page of the test's site caused, in order."""
        file = self.server.data / f"out/{source}.ndjson"
        whole = file.read_text().rpartition("\n")[0] if file.exists() else ""
        events = [json.loads(line) for line in whole.splitlines()]
        return [event for event in events if event["context"].get("page", event)["url"].endswith(path)]

    def wait(self, count: int, path: str, source: str = "shop") -> list[dict[str, Any]]:
        """Wait for so many events of a page, and no more."""
        until(lambda: len(self.arrived(path, source)) >= count, f"{count} events of {path}")
        events = self.arrived(path, source)
        assert len(events) == count
        return events


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with Server(tmp_path_factory.mktemp("tag") / "data", CONFIG) as running:
        yield Collector(running)


def test_an_event_arrives_with_the_context_of_its_page(site: Site, collector: Collector, visitor: Visitor) -> None:
    trigger = "document.cookie='_ga=GA1.1.5';cact('trigger', 'page_view', {page_type: 'home', price: 9.5});"
    url = site.page("/context?a=1&b=é", collector.config() + trigger, title="Été 🌞")
    start = site.serve("/context-start", f'<a href="{url}">go</a>')
    page = visitor.context.new_page()
    page.goto(start)
    page.click("a")
    loaded(page)
    (event,) = collector.wait(1, "/context?a=1&b=%C3%A9")
    context = event.pop("context")
    caid = event["user"]["consistent_anonymous_id"]
    assert CAID.fullmatch(caid)
    assert event == {
        "event_name": "page_view",
        "url": page.url,
        "title": "Été 🌞",
        "path": "/context",
        "referrer": start,
        "page_type": "home",
        "price": 9.5,
        "user": {"consistent_anonymous_id": caid},
    }
    assert re.fullmatch(r"\d{24}", context["event_id"])
    assert abs(context["event_timestamp"] - page.evaluate("Date.now()")) < 60_000
    assert context["page"] == {
        "title": "Été 🌞",
        "url": page.url,
        "lang": "fr",
        "referrer": start,
        "viewport": {"width": 900, "height": 700},
    }
    assert context["device"] == {
        "user_agent": page.evaluate("navigator.userAgent"),
        "lang": "fr-FR",
        "timezone": "Europe/Paris",
        "cookie": f"_ga=GA1.1.5; CAID={caid}",
        "ip": "127.0.0.1",
    }
    (record,) = collector.server.trace(context["event_id"])
    assert "rejected" not in json.dumps(record)


def test_calls_from_before_the_tag_are_made_in_order_and_old_references_work(
    site: Site, collector: Collector, visitor: Visitor
) -> None:
    early = "window.old = cact; cact('trigger','one'); cact('setProperty','n',2); cact('trigger','two');"
    page = visitor.open(site.page("/early", early + collector.config()))
    page.evaluate("old('trigger', 'three')")
    events = collector.wait(3, "/early")
    assert [(event["event_name"], event.get("n")) for event in events] == [("one", 2), ("two", 2), ("three", 2)]


def test_loading_the_tag_twice_sends_once(site: Site, collector: Collector, visitor: Visitor) -> None:
    page = visitor.open(site.page("/twice", collector.config() + "cact('trigger', 'once');"))
    page.add_script_tag(url="/tag.js")
    page.evaluate("cact('trigger', 'again')")
    assert [event["event_name"] for event in collector.wait(2, "/twice")] == ["once", "again"]


def test_permanent_properties_are_part_of_every_event(site: Site, collector: Collector, visitor: Visitor) -> None:
    page = visitor.open(site.page("/permanent", collector.config(exemptMode=True)))
    page.evaluate("""() => {
        cact('setProperty', 'page_type', 'homepage');
        cact('setProperty', 'user.email', 'mymail@example.com');
        cact('setProperty', 'user.firstname', 'Jim');
        cact('trigger', 'first', {url: 'https://example.com/a', user: {phone: '0123456'}, event_name: 'no'});
        cact('setProperty', 'page_type', 'product');
        cact('setProperty', 'user.firstname', undefined);
        cact('setProperty', '__proto__.polluted', 'yes');
        cact('setProperty', 'constructor.prototype.polluted', 'yes');
        cact('trigger', 'second', {user: {email: 'other@example.com'}, items: [{id: 1}]});
    }""")
    first, second = collector.wait(2, "/permanent")
    del first["context"], second["context"]
    assert first == {
        "event_name": "first",
        "page_type": "homepage",
        "url": "https://example.com/a",
        "user": {"email": "mymail@example.com", "firstname": "Jim", "phone": "0123456"},
    }
    assert second.pop("constructor") == {"prototype": {"polluted": "yes"}}
    assert second == {
        "event_name": "second",
        "page_type": "product",
        "url": page.url,
        "user": {"email": "other@example.com"},
        "items": [{"id": 1}],
    }
    assert page.evaluate("({}).polluted") is None


def test_a_trigger_may_have_its_own_config_and_a_callback(site: Site, collector: Collector, visitor: Visitor) -> None:
    page = visitor.open(site.page("/own", collector.config(testCode="T1")))
    own = {"sourceKey": OTHER, "eventId": "my-own-id", "testCode": "T2"}
    results = page.evaluate(
        """own => Promise.all([
            new Promise(done => cact('trigger', 'a', {x: 1}, own, done)),
            new Promise(done => cact('trigger', 'b', done)),
        ])""",
        own,
    )
    (a,), (b,) = collector.wait(1, "/own", "outlet"), collector.wait(1, "/own")
    assert (a["event_name"], a["x"], a["context"]["event_id"], a["test_code"]) == ("a", 1, "my-own-id", "T2")
    assert (b["event_name"], b["test_code"]) == ("b", "T1")
    assert results == [{"event_id": id, "error": None} for id in ("my-own-id", b["context"]["event_id"])]


def test_events_wait_until_the_page_says_where_they_go(site: Site, collector: Collector, visitor: Visitor) -> None:
    page = visitor.open(site.page("/late", "cact('trigger', 'early', {}, {exemptMode: true});"))
    before = page.evaluate("Date.now()")
    page.wait_for_function("before => Date.now() > before + 5", arg=before)
    page.evaluate(collector.config())
    (event,) = collector.wait(1, "/late")
    assert event["context"]["event_timestamp"] <= before
    assert "user" not in event or event["user"] == {}
    assert visitor.context.cookies() == []


def test_a_strict_security_policy_and_no_inline_script_are_enough(
    site: Site, collector: Collector, visitor: Visitor
) -> None:
    site.serve("/shop.js", STUB + "cact('trigger', 'strict');")
    url = site.serve(
        "/strict",
        f'<!doctype html><script src="/shop.js"></script><script async src="/tag.js" data-site-id="29"'
        f' data-source-key="{KEY}" data-collection-domain="{collector.url}" data-test-code="CSP"></script>',
        {
            "Content-Security-Policy": f"default-src 'none'; script-src 'self'; connect-src {collector.url};"
            " require-trusted-types-for 'script'"
        },
    )
    page = visitor.open(url)
    (event,) = collector.wait(1, "/strict")
    assert event["test_code"] == "CSP"
    page.evaluate("cact('trigger', 'parting')")
    page.goto("about:blank")
    collector.wait(2, "/strict")


CONSENT = [
    ("undefined", "{}", None),
    ("null", "{}", None),
    ("'1'", "{}", None),
    ("[]", "{}", []),
    ("[1, '3']", "{}", ["1", "3"]),
    ("() => ['2']", "{}", ["2"]),
    ("() => undefined", "{}", None),
    ("() => { throw new Error('not ready') }", "{}", None),
    ("[1, 2, 3]", "{user: {consent_categories: [2]}}", ["2"]),
    ("[1, 2, 3]", "{user: {id: '7'}}", ["1", "2", "3"]),
]


def test_consent_is_passed_on_as_told_and_never_widened(site: Site, collector: Collector, visitor: Visitor) -> None:
    page = visitor.open(site.page("/consent", collector.config()))
    for given, properties, _ in CONSENT:
        page.evaluate(f"cact('config', {{consentCategories: {given}}}); cact('trigger', 'x', {properties})")
    events = collector.wait(len(CONSENT), "/consent")
    found = [event["user"].get("consent_categories") for event in events]
    assert found == [expected for _, _, expected in CONSENT]


def test_the_visitors_id_is_made_once_and_kept_where_the_page_says(
    site: Site, collector: Collector, visitor: Visitor
) -> None:
    def ids(path: str) -> list[str | None]:
        events = collector.wait(2, path)
        return [event.get("user", {}).get("consistent_anonymous_id") for event in events]

    def visit_twice(path: str, **settings: object) -> Page:
        url = site.page(path, collector.config(**settings) + "cact('trigger', 'x', {}, {}, () => window.done = 1);")
        page = visitor.open(url)
        page.wait_for_function("() => window.done")
        page = visitor.open(url)
        page.wait_for_function("() => window.done")
        return page

    page = visit_twice("/id-server", caid="server")
    assert ids("/id-server") == [None, None]
    page = visit_twice("/id-exempt", exemptMode=True)
    assert ids("/id-exempt") == [None, None]
    assert visitor.context.cookies() == []
    assert page.evaluate("Object.keys(localStorage)") == []

    page = visit_twice("/id-storage", caid="storage")
    first, second = ids("/id-storage")
    assert first == second == page.evaluate("localStorage.CAID")
    assert visitor.context.cookies() == []
    page.evaluate("localStorage.clear()")

    page = visit_twice("/id-cookie")
    made, again = ids("/id-cookie")
    assert made == again
    assert made != first
    (cookie,) = visitor.context.cookies()
    assert (cookie["name"], cookie["value"], cookie["sameSite"], cookie["path"]) == ("CAID", made, "Lax", "/")
    assert abs(cookie["expires"] - page.evaluate("Date.now() / 1000") - 31_536_000) < 60

    visitor.context.add_cookies([{"name": "CAID", "value": "our.own-id_7", "url": site.origin}])
    visit_twice("/id-readable", caid="server")
    assert ids("/id-readable") == ["our.own-id_7", "our.own-id_7"]
    visit_twice("/id-hidden", exemptMode=True)
    assert ids("/id-hidden") == [None, None]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [(True, "a=1; b=2; CAID=x"), (["b"], "b=2"), ([], None), (False, None)],
)
def test_the_page_decides_which_cookies_are_told(
    site: Site, collector: Collector, visitor: Visitor, setting: object, expected: str | None
) -> None:
    visitor.context.add_cookies([{"name": n, "value": v, "url": site.origin} for n, v in ("a1", "b2")])
    visitor.context.add_cookies([{"name": "CAID", "value": "x", "url": site.origin}])
    path = f"/cookies-{site.origin}"
    visitor.open(site.page("/cookies", collector.config(cookies=setting) + "cact('trigger', 'x');") + f"?{path}")
    (event,) = collector.wait(1, path)
    assert event["context"]["device"].get("cookie") == expected


def test_many_events_travel_in_few_requests(site: Site, collector: Collector, visitor: Visitor) -> None:
    page = visitor.open(site.page("/batch", collector.config()))
    sizes: list[int] = []
    page.on("request", lambda request: sizes.append(len(request.post_data_buffer or b"")))
    page.evaluate("for (let i = 0; i < 190; i++) cact('trigger', 'x', {i, filling: 'é'.repeat(2000)})")
    events = collector.wait(190, "/batch")
    assert [event["i"] for event in events] == list(range(190))
    page.wait_for_function("() => new Promise(done => cact('status', s => done(s.sent === 190 && !s.stored)))")
    posts = [size for size in sizes if size]
    assert len(posts) == 2
    assert max(posts) <= 500_000


def test_what_waits_when_the_page_ends_is_handed_to_the_browser(
    site: Site, collector: Collector, visitor: Visitor
) -> None:
    url = site.page("/parting", collector.config(batchDelay=600_000))
    page = visitor.open(url)
    page.evaluate("for (let i = 0; i < 20; i++) cact('trigger', 'left', {i, filling: 'x'.repeat(1000)})")
    page.goto("about:blank")
    events = collector.wait(20, "/parting")
    assert [event["i"] for event in events] == list(range(20))
    page = visitor.open(url)
    page.evaluate("cact('trigger', 'closed')")
    page.close()
    events = collector.wait(21, "/parting")
    assert visitor.open(url).evaluate("new Promise(done => cact('status', done))")["stored"] == 0


def test_what_the_browser_refuses_to_take_over_arrives_with_the_next_visit(
    site: Site, collector: Collector, visitor: Visitor
) -> None:
    url = site.page("/heavy", collector.config(batchDelay=600_000))
    page = visitor.open(url)
    page.evaluate("for (let i = 0; i < 30; i++) cact('trigger', 'heavy', {i, filling: 'x'.repeat(8000)})")
    page.goto("about:blank")
    site.page("/heavy", collector.config())
    visitor.open(url)
    events = collector.wait(30, "/heavy")
    assert sorted(event["i"] for event in events) == list(range(30))


@pytest.mark.parametrize("end", ["close", "leave"])
def test_a_page_closed_in_mid_flight_has_still_sent_its_events(
    site: Site, collector: Collector, visitor: Visitor, end: str
) -> None:
    path = f"/flight-{end}"
    page = visitor.open(site.page(path, collector.config()))
    pid = collector.server.pid("collector")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with page.expect_request("**/events/batch?*"):
            page.evaluate("for (let i = 0; i < 3; i++) cact('trigger', 'sent', {i})")
        page.evaluate("cact('trigger', 'waiting', {i: 3})")
        page.close() if end == "close" else page.goto("about:blank")
    finally:
        os.kill(pid, signal.SIGCONT)
    events = collector.wait(4, path)
    assert sorted(event["i"] for event in events) == [0, 1, 2, 3]
    assert visitor.open(site.page("/next")).evaluate("new Promise(done => cact('status', done))")["stored"] == 0


def test_offline_events_arrive_when_the_browser_is_online_again(
    site: Site, collector: Collector, visitor: Visitor
) -> None:
    page = visitor.open(site.page("/offline", collector.config()))
    page.evaluate("new Promise(done => cact('trigger', 'bright', {i: -1}, {}, done))")
    visitor.context.set_offline(True)
    page.evaluate("for (let i = 0; i < 5; i++) cact('trigger', 'dark', {i})")
    assert page.evaluate("new Promise(done => cact('status', done))")["stored"] == 5
    visitor.context.set_offline(False)
    events = collector.wait(6, "/offline")
    assert [event["i"] for event in events] == [-1, *range(5)]
    page.wait_for_function("() => new Promise(done => cact('status', s => done(!s.stored)))")


def test_offline_events_of_a_closed_page_arrive_with_the_next_visit(
    site: Site, collector: Collector, visitor: Visitor
) -> None:
    page = visitor.open(site.page("/tunnel", collector.config(batchDelay=600_000)))
    page.evaluate("cact('trigger', 'waits', {i: 0})")
    visitor.context.set_offline(True)
    page.evaluate("cact('trigger', 'dark', {i: 1})")
    page.close()
    visitor.context.set_offline(False)
    visitor.open(site.page("/tunnel", collector.config()))
    events = collector.wait(2, "/tunnel")
    assert sorted(event["i"] for event in events) == [0, 1]


HOSTILE = {
    "a cycle": ("const o = {}; o.o = o;", "{o}", "not_json"),
    "a getter that throws": ("", "{get x() { throw new Error('no') }}", "not_json"),
    "a toJSON that throws": ("", "{x: {toJSON() { throw new Error('no') }}}", "not_json"),
    "too large": ("", "{x: 'é'.repeat(17000)}", "too_large"),
    "a page element": ("", "{from: document.body, list: [document]}", None),
    "a bigint and a function": ("", "{big: 12345678901234567890n, f() {}}", None),
    "no object": ("", "'text'", None),
    "a context that is none": ("", "{context: 'x', user: null}", None),
}


def test_nothing_a_page_does_makes_the_tag_throw(site: Site, collector: Collector, visitor: Visitor) -> None:
    page = visitor.open(site.page("/hostile", collector.config()))
    for name, (before, properties, expected) in HOSTILE.items():
        call = f"cact('trigger', {json.dumps(name)}, {properties}, {{}}, done)"
        result = page.evaluate(f"() => {{ {before} return new Promise(done => {call}) }}")
        assert result.get("error") == expected, name
    page.evaluate("""() => {
        cact(); cact('no such command'); cact('trigger'); cact('config'); cact('config', null); cact('setProperty');
        cact('setProperty', null, 1); cact('status'); cact('trigger', 'x', {}, null, 'no function');
        cact('trigger', 'x', () => { throw new Error('in the callback') }); cact('constructor'); cact('flush', 1);
    }""")
    dropped = [name for name, (_, _, error) in HOSTILE.items() if error]
    assert page.evaluate("new Promise(done => cact('status', done))")["dropped"] == len(dropped)
    page.evaluate("cact('trigger', 'after')")
    until(lambda: collector.arrived("/hostile")[-1:][0]["event_name"] == "after", "the last event")
    after = collector.arrived("/hostile")[-1]
    assert after["context"]["tag"] == {"version": 1, "dropped": len(dropped)}


BROKEN = {
    "no localStorage": "Object.defineProperty(window, 'localStorage', {get() { throw new Error('blocked') }})",
    "null for localStorage": "Object.defineProperty(window, 'localStorage', {value: null})",
    "a full localStorage": "for (const n of [9e5, 9e3, 90, 0]) try { while (true)"
    " localStorage['x' + Math.random()] = 'x'.repeat(n) } catch { continue }",
    "no locks": "Object.defineProperty(navigator, 'locks', {value: undefined})",
    "locks that fail": "if (navigator.locks) navigator.locks.request = () => Promise.reject(new Error('no'))",
    "no time-out signals": "AbortSignal.timeout = undefined",
}


@pytest.mark.parametrize("name", BROKEN)
def test_events_arrive_from_browsers_that_lack_a_part(
    site: Site, collector: Collector, visitor: Visitor, name: str
) -> None:
    path = "/" + name.replace(" ", "-")
    visitor.context.add_init_script(BROKEN[name])
    page = visitor.open(site.page(path, collector.config() + "cact('trigger', 'x', {i: 0});"))
    collector.wait(1, path)
    visitor.context.set_offline(True)
    page.evaluate("cact('trigger', 'x', {i: 1})")
    visitor.context.set_offline(False)
    collector.wait(2, path)
    page.evaluate("cact('trigger', 'x', {i: 2})")
    page.goto("about:blank")
    assert [event["i"] for event in collector.wait(3, path)] == [0, 1, 2]
