"""A webhook whose settings read the event: URL, headers, body (`destinations.md` §7)."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from turnout.destinations.interface import Context, Event, Request, Response
from turnout.destinations.registry import validate
from turnout.destinations.secrets import Secrets
from turnout.destinations.webhook import Config, Webhook
from turnout.formula.run import Warned
from turnout.model.attempt import Exchange, Sent
from turnout.model.outcome import Result
from turnout.testing.destination_suite import NOW_MS, answering

ORDER = {"id": "O1", "value": "12.5", "currency": "EUR"}
EVENT: dict[str, object] = {
    **ORDER,
    "event_name": "purchase",
    "coupon": None,
    "page-count": 3,
    "n": 0,
    "user": {"id": "a b/c?d&e#f%g..é", "dots": "..", "host": "eu.shop", "empty": ""},
    "items": [{"id": "A"}, {"id": "B"}],
    "big": 1234,
    "bad": "x\r\nX-Evil: 1",
    "hook": "https://other.example/in?a=b",
}


def request(
    given: Mapping[str, object], event: Mapping[str, object] = EVENT, heard: Counter[str] | None = None
) -> Request | Result:
    config, problems = validate("webhook", {"url": "http://partner.example/in", **given})
    assert isinstance(config, Config), [str(problem) for problem in problems]

    def hear(warned: Mapping[str, Warned]) -> None:
        if heard is not None:
            heard.update(warned.keys())

    translator = Webhook(config, Context("29/orders", Path(), answering(200), warned=hear))
    return translator.request([Event("e-1", "purchase", json.dumps(event).encode(), NOW_MS)], NOW_MS)


def body(given: Mapping[str, object], event: Mapping[str, object] = EVENT) -> object:
    made = request(given, event)
    assert isinstance(made, Request), made
    return json.loads(made.body)


PUBLISHED = {"order.id": "{{id}}", "order.total": "{{NUMBER(value)}}", "tag-name": "web {{currency}}"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"order": {"id": "O1", "total": 12.5}, "tag-name": "web EUR"}),
        ({"flatten_keys": True}, {"order_id": "O1", "order_total": 12.5, "tag_name": "web EUR"}),
        ({"literal_dots": True}, {"order.id": "O1", "order.total": 12.5, "tag-name": "web EUR"}),
        ({"all_event_data": True}, {**ORDER, "order": {"id": "O1", "total": 12.5}, "tag-name": "web EUR"}),
    ],
)
def test_the_published_example(given: dict[str, object], expected: object) -> None:
    assert body({"body": PUBLISHED, **given}, ORDER) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"a": "price"}, {"a": "price"}),
        ({"a": "{{big}}"}, {"a": 1234}),
        ({"a": "{{big}} EUR"}, {"a": "1234 EUR"}),
        ({"a": "{{items}}"}, {"a": [{"id": "A"}, {"id": "B"}]}),
        ({"a": "{{items.id}}", "a.1": "C"}, {"a": ["A", "C"]}),
        ({"a": r"\{{big}}"}, {"a": "{{big}}"}),
        # what is missing is not sent, the null of a computation is
        ({"a": "{{nothing}}", "b": 1}, {"b": 1}),
        ({"a": "{{coupon}}", "b": 1}, {"b": 1}),
        ({"a": '{{GET("no-such")}}', "b": 1}, {"b": 1}),
        ({"a": "{{IF(big > 1, null, 2)}}"}, {"a": None}),
        ({"a": "{{coupon}}!"}, {"a": "!"}),
        ({"a": None}, {"a": None}),
        # texts inside of values too
        ({"a": {"b": ["{{id}}", 1, "{{nothing}}"], "c": "{{nothing}}"}}, {"a": {"b": ["O1", 1, None]}}),
        # keys
        ({"{{event_name}}.id": 1}, {"purchase": {"id": 1}}),
        ({"x.{{hook}}": 1}, {"x": {"https://other.example/in?a=b": 1}}),
        ({"x.{{n}}": 1}, {"x": [1]}),
        ({"{{nothing}}": 1, "b": 2}, {"b": 2}),
        ({"x.{{big}}": 1, "b": 2}, {"b": 2}),
        ({'{{GET("page-count")}}': 1}, {"3": 1}),
    ],
)
def test_rows(rows: dict[str, object], expected: object) -> None:
    assert body({"body": rows}) == expected


def test_rows_win_over_event_data_and_read_the_event_as_it_was() -> None:
    rows = {"id": "X", "copy": "{{id}}", "items.0.id": "Z", "first": "{{items.0.id}}"}
    assert body({"body": rows, "all_event_data": True}) == {
        **EVENT,
        "id": "X",
        "copy": "O1",
        "items": [{"id": "Z"}, {"id": "B"}],
        "first": "A",
    }


HOST = "http://partner.example"


@pytest.mark.parametrize(
    ("url", "made"),
    [
        (f"{HOST}/{{{{id}}}}", f"{HOST}/O1"),
        (f"{HOST}/u/{{{{user.id}}}}/x", f"{HOST}/u/a%20b%2Fc%3Fd%26e%23f%25g..%C3%A9/x"),
        (f"{HOST}/?u={{{{user.id}}}}&c={{{{currency}}}}", f"{HOST}/?u=a%20b%2Fc%3Fd%26e%23f%25g..%C3%A9&c=EUR"),
        (f"{HOST}/?{{{{currency}}}}={{{{big}}}}", f"{HOST}/?EUR=1234"),
        (f"{HOST}?c={{{{coupon}}}}", f"{HOST}?c="),
        (f"{HOST}/x#{{{{id}}}}", f"{HOST}/x#O1"),
        (f"{HOST}/{{{{user.empty}}}}", f"{HOST}/"),
        ("https://{{user.host}}.example.org/in", "https://eu.shop.example.org/in"),
        ("https://partner.example:{{big}}/in", "https://partner.example:1234/in"),
        ("https://{{event_name}}", "https://purchase"),
        ("{{hook}}", "https://other.example/in?a=b"),
        ("{{IF(big > 1, 'https://a.example/x', 'https://b.example/')}}/{{id}}", "https://a.example/x/O1"),
        (f"{HOST}/{{{{UPPER(event_name)}}}}", f"{HOST}/PURCHASE"),
        (f"{HOST}/\\{{{{id}}}}", f"{HOST}/{{{{id}}}}"),
    ],
)
def test_url(url: str, made: str) -> None:
    found = request({"url": url})
    assert isinstance(found, Request), found
    assert found.url == made


@pytest.mark.parametrize(
    ("given", "reason", "detail"),
    [
        ({"url": f"{HOST}/{{{{nothing}}}}"}, "incomplete", "nothing in the url is null"),
        ({"url": "https://{{coupon}}.example.org/"}, "incomplete", "coupon in the url is null"),
        ({"url": "{{nothing}}"}, "incomplete", "nothing in the url is null"),
        ({"url": "https://{{user.id}}.example.org/"}, "invalid_parameter", "cannot be part of the url's host"),
        ({"url": "https://{{user.empty}}.example.org/"}, "invalid_parameter", "'' cannot be part of the url's host"),
        ({"url": "https://x.{{hook}}/"}, "invalid_parameter", "cannot be part of the url's host"),
        ({"url": "{{id}}"}, "invalid_parameter", "must start with http:// or https://"),
        ({"url": "{{bad}}/x"}, "invalid_parameter", "has spaces or control characters"),
        ({"url": f"{HOST}/u/{{{{user.dots}}}}/delete"}, "invalid_parameter", "leads to another path"),
        ({"headers": {"X-Y": "{{bad}}"}}, "invalid_parameter", "the header X-Y gets a line break"),
        ({"headers": {"X {{id}}": "1"}}, "invalid_parameter", "the header 'X O1' is not a header name"),
        ({"headers": {"{{IF(true, 'Content-Length', '')}}": "1"}}, "invalid_parameter", "set by the connection"),
        ({"headers": {"webhook-{{IF(true, 'id', '')}}": "1"}, "secret": "s"}, "invalid_parameter", "the signature"),
    ],
)
def test_what_cannot_be_sent_is_rejected_and_says_why(given: dict[str, object], reason: str, detail: str) -> None:
    result = request(given)
    assert isinstance(result, Result)
    assert (result.kind, result.reason, result.asked) == ("rejected", reason, False)
    assert detail in result.detail


def test_headers_read_the_event_and_absent_ones_are_not_sent() -> None:
    made = request(
        {
            "headers": {
                "X-Event": "{{event_name}}",
                "X-{{currency}}": "{{big}}",
                "X-Coupon": "{{coupon}}",
                "{{nothing}}": "x",
                "Authorization": "Bearer abcdef",
                "content-type": "text/{{LOWER(currency)}}",
            }
        }
    )
    assert isinstance(made, Request)
    assert made.headers == {
        "Idempotency-Key": "e-1:29/orders",
        "X-Event": "purchase",
        "X-EUR": "1234",
        "Authorization": "Bearer abcdef",
        "content-type": "text/eur",
    }


def test_every_attempt_is_the_same_request_whenever_it_is_made() -> None:
    config, _ = validate("webhook", {"url": f"{HOST}/{{{{TIMESTAMP()}}}}", "body": {"at": "{{TODAY()}}"}})
    assert isinstance(config, Config)
    translator = Webhook(config, Context("29/orders", Path(), answering(200)))
    event = Event("e-1", "purchase", b"{}", NOW_MS)
    assert translator.request([event], NOW_MS) == translator.request([event], NOW_MS + 86_400_000)


def test_events_whose_requests_differ_do_not_share_one() -> None:
    for written, size in (
        ({"url": f"{HOST}/{{{{id}}}}"}, 1),
        ({"url": f"{HOST}/", "headers": {"X-Id": "{{id}}"}}, 1),
        ({"url": f"{HOST}/", "body": {"{{id}}": "{{id}}"}}, 50),
    ):
        config, _ = validate("webhook", written)
        assert isinstance(config, Config)
        translator = Webhook(config, Context("29/orders", Path(), answering(200), 50))
        assert translator.batch_size == size
    events = [Event(f"e-{n}", "p", json.dumps({"id": f"O{n}"}).encode()) for n in range(2)]
    made = translator.request(events, NOW_MS)
    assert isinstance(made, Request)
    assert json.loads(made.body) == [{"O0": "O0"}, {"O1": "O1"}]


def test_what_could_not_be_computed_is_heard() -> None:
    heard: Counter[str] = Counter()
    request({"body": {"a": "{{currency * 2}}", "b": "{{currency * 3}}", "x.{{big}}": 1}}, heard=heard)
    assert heard == {"not_a_number": 1, "key": 1}


def test_what_is_written_beside_an_island_stays_secret() -> None:
    config, _ = validate(
        "webhook",
        {"url": f"{HOST}/?key=t0k3n-9{{{{id}}}}--end-", "headers": {"Authorization": "Bearer abcdef {{user.id}}"}},
    )
    assert isinstance(config, Config)
    sent = Sent("POST", f"{HOST}/?key=t0k3n-9O1--end-", {"Authorization": "Bearer abcdef U1"}, b"Bearer abcdef")
    masked = Secrets(config).masked(Exchange(sent)).request
    assert (masked.url, masked.headers, masked.body) == (f"{HOST}/?key=***O1***", {"Authorization": "***"}, b"***")
    translator = Webhook(config, Context("29/orders", Path(), answering(200)))
    (result,) = translator.read([Event("e", "p", b"{}")], Response(403, {}, b"no Bearer abcdef, no t0k3n-9"))
    assert result.detail == "no ***, no ***"


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ({"url": f"{HOST}/{{{{id}}"}, "url", "line 1, column 24: this `{{` is not closed"),
        ({"url": f"{HOST}/{{{{LOWR(id)}}}}"}, "url", "line 1, column 26: there is no function LOWR"),
        ({"url": "ftp://a/{{id}}"}, "url", "must start with http:// or https:// and name a host"),
        ({"url": "/in/{{id}}"}, "url", "must start with http:// or https:// and name a host"),
        ({"url": f"{HOST}/ {{{{id}}}}"}, "url", "has spaces or control characters"),
        ({"headers": {"X-Y": "{{1 +}}"}}, "headers.X-Y", "line 1, column 6: a value is missing at the end"),
        ({"headers": {"X Y {{id}}": "1\r\n"}}, "headers.X Y {{id}}",
         "has a line break or control character in its value"),
        ({"headers": {"{{": "1"}}, "headers.{{", "line 1, column 1: this `{{` is not closed"),
        ({"body": {"a": {"b": ["{{("]}}}, "body.a.b.0", "line 1, column 1: this `{{` is not closed"),
        ({"body": {"{{1 +}}": 1}}, "body.{{1 +}}", "line 1, column 6: a value is missing at the end"),
        ({"body": {"{{id}}..x": 1}}, "body.{{id}}..x", "has an empty part in its key"),
        ({"body": {"{{id}}.1000": 1}}, "body.{{id}}.1000", "has a list place above 999"),
    ],
)  # fmt: skip
def test_templates_that_cannot_work(given: dict[str, object], path: str, message: str) -> None:
    config, (problem,) = validate("webhook", {"url": f"{HOST}/", **given})
    assert config is None
    assert (problem.path, problem.message) == (path, message)


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_an_event_never_leaves_the_place_it_is_given(one: str, other: str) -> None:
    made = request({"url": f"{HOST}/a/{{{{one}}}}/b?x={{{{other}}}}&y=1"}, {"one": one, "other": other})
    if isinstance(made, Result):
        assert (made.reason, one in (".", "..")) == ("invalid_parameter", True)
        return
    sent = URL(made.url)
    assert (sent.host, sent.raw_path.count("/"), sent.path.startswith("/a/")) == ("partner.example", 3, True)
    assert dict(sent.query) == {"x": other, "y": "1"}
    assert sent.raw_fragment == ""
