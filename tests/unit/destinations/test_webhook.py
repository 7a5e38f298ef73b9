"""Event in, request out (`destinations.md` §7)."""

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from turnout.destinations.body import flatten
from turnout.destinations.interface import Context, Event, Request, Response
from turnout.destinations.registry import validate
from turnout.destinations.signing import message_id, sign, signing_key
from turnout.destinations.webhook import Config, Webhook
from turnout.testing.destination_suite import NOW_MS, answering

URL = "http://127.0.0.1:9000/in"
EVENT = {"id": "O1", "user": {"e-mail": "a@b", "tags": ["x", {"y": 1}]}, "order": {"id": "old", "kept": True}}


def webhook(
    settings: Mapping[str, object] | None = None, batch_size: int | None = None, timeout_ms: int | None = None
) -> Webhook:
    config, problems = validate("webhook", {"url": URL, **(settings or {})})
    assert isinstance(config, Config), [str(problem) for problem in problems]
    context = Context("29/orders", Path(), answering(200), batch_size, timeout_ms)
    return Webhook(config, context)


def event(data: object = EVENT, event_id: str = "evt-1") -> Event:
    return Event(event_id=event_id, name="purchase", payload=json.dumps(data, separators=(",", ":")).encode())


def made(translator: Webhook, events: Sequence[Event]) -> Request:
    request = translator.request(events, NOW_MS)
    assert isinstance(request, Request), request
    return request


ROWS = {"order.id": "O1", "order.total": 12.5, "tag-name": "web EUR"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, EVENT),
        ({"all_event_data": True}, EVENT),
        ({"body": ROWS}, {"order": {"id": "O1", "total": 12.5}, "tag-name": "web EUR"}),
        (
            {"body": ROWS, "flatten_keys": True},
            {"order_id": "O1", "order_total": 12.5, "tag_name": "web EUR"},
        ),
        (
            {"body": ROWS, "literal_dots": True},
            {"order.id": "O1", "order.total": 12.5, "tag-name": "web EUR"},
        ),
        (
            {"body": ROWS, "literal_dots": True, "flatten_keys": True},
            {"order.id": "O1", "order.total": 12.5, "tag_name": "web EUR"},
        ),
        (
            {"body": ROWS, "all_event_data": True},
            {**EVENT, "order": {"id": "O1", "kept": True, "total": 12.5}, "tag-name": "web EUR"},
        ),
        ({"body": {"a": None}}, {"a": None}),
        ({"body": {"a.0.b": 1, "a.2": 3}}, {"a": [{"b": 1}, None, 3]}),
        ({"body": {"0": 1}}, {"0": 1}),
        ({"body": {"a.01": 1}}, {"a": {"01": 1}}),
        ({"body": {"a": 1, "a.b": 2}}, {"a": {"b": 2}}),
        ({"body": {"a.b": 2, "a": 1}}, {"a": 1}),
        ({"body": {"a": {"x": 1}, "a.y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"body": {"a": {"x": 1}, "a.0": 2}}, {"a": {"x": 1, "0": 2}}),
        ({"body": {"a": [1], "a.b": 2}}, {"a": {"b": 2}}),
        ({"body": {"user.tags.1.y": 2}, "all_event_data": True, "flatten_keys": True},
         {"id": "O1", "user_e_mail": "a@b", "user_tags_0": "x", "user_tags_1_y": 2, "order_id": "old",
          "order_kept": True}),
        ({"body": {"a_b": 1, "a.b": 2}, "flatten_keys": True}, {"a_b": 2}),
        ({"body": {"a": [], "b": {}}, "flatten_keys": True}, {"a": [], "b": {}}),
    ],
)  # fmt: skip
def test_body(settings: dict[str, object], expected: object) -> None:
    before = copy.deepcopy(settings)
    translator = webhook(settings)
    for _ in range(2):
        assert json.loads(made(translator, [event()]).body) == expected
    assert settings == before


def test_the_whole_event_goes_out_byte_for_byte() -> None:
    odd = Event("evt-1", "e", b'{"n":1.0,"big":12345678901234567890123,"u":"\\u00e9"}')
    assert made(webhook(), [odd]).body == odd.payload


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_get_and_delete_have_a_body_only_with_rows(method: str) -> None:
    bare = webhook({"method": method}, batch_size=50)
    assert (made(bare, [event()]).body, bare.batch_size) == (b"", 1)
    assert "Content-Type" not in made(bare, [event()]).headers
    assert made(webhook({"method": method, "body": {"a": 1}}), [event()]).body == b'{"a":1}'


def test_a_batch_is_an_array_even_of_one() -> None:
    translator = webhook(batch_size=3)
    assert translator.batch_size == 3
    two = made(translator, [event(), event({"id": 2}, "evt-2")])
    assert json.loads(two.body) == [EVENT, {"id": 2}]
    assert json.loads(made(translator, [event()]).body) == [EVENT]


def test_events_of_a_batch_share_the_answer() -> None:
    results = webhook(batch_size=3).read([event()] * 3, Response(429, {"retry-after": "5"}))
    assert [(result.kind, result.retry_after_s) for result in results] == [("retry", 5.0)] * 3


def test_headers() -> None:
    request = made(webhook({"headers": {"X-Api-Key": "k", "content-type": "text/x"}}), [event()])
    assert request.headers == {
        "Idempotency-Key": "evt-1:29/orders",
        "X-Api-Key": "k",
        "content-type": "text/x",
    }
    assert made(webhook(), [event()]).headers["Content-Type"] == "application/json; charset=utf-8"


def test_the_time_limit_of_the_delivery_wins() -> None:
    assert webhook().timeout_ms == 3000
    assert webhook({"timeout_ms": 700}).timeout_ms == 700
    assert webhook(timeout_ms=9000).timeout_ms == 9000


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("s3cr3t", b"s3cr3t"),
        ("whsec_MDEyMzQ1Njc4OWFiY2RlZg==", b"0123456789abcdef"),
        ("whsec_MDEyMzQ1Njc4OWFiY2RlZg", b"0123456789abcdef"),
    ],
)
def test_signature(secret: str, key: bytes) -> None:
    request = made(webhook({"secret": secret}), [event(event_id="a.b")])
    assert request.headers["webhook-id"] == "a%2Eb:29/orders"
    assert request.headers["webhook-timestamp"] == "1764000000"
    signed = b"a%2Eb:29/orders.1764000000." + request.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"


def test_the_signature_is_the_one_the_convention_publishes() -> None:
    # The example that the libraries of Standard Webhooks test themselves with.
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(1, 3))
def test_the_message_id_is_a_safe_header_of_bounded_length(event_id: str, count: int) -> None:
    name = message_id([event_id] * count, "29/ö r")
    assert name.isascii()
    assert name.isprintable()
    assert " " not in name
    assert len(name) <= 300


def test_the_message_id_tells_events_and_destinations_apart() -> None:
    names = [
        message_id(ids, ref) for ids in (["a"], ["b"], ["a", "b"], ["b", "a"], ["x" * 500]) for ref in ("1/a", "1/b")
    ]
    assert len(set(names)) == len(names)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@limits(max_examples=40)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_flat_object_has_no_filled_container_and_no_dash(item: dict[str, object]) -> None:
    flat = flatten(item)
    assert not any(isinstance(value, dict | list) and value for value in flat.values())
    assert not any("-" in key for key in flat)
    assert flatten(flat) == flat


def test_details_mask_what_the_partner_repeats() -> None:
    translator = webhook(
        {
            "url": "http://u:passw0rd@127.0.0.1/in?token=t0k3n-9",
            "headers": {"Authorization": "Bearer abcdef", "X-Env": "prod"},
            "secret": "s1gning-key",
        }
    )
    answer = b"passw0rd t0k3n-9 Bearer abcdef s1gning-key prod"
    (result,) = translator.read([event()], Response(403, {}, answer))
    assert result.detail == "*** *** *** *** prod"


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ({"url": "ftp://a/b"}, "url", "must start with http"),
        ({"url": "http://"}, "url", "name a host"),
        ({"url": "/in"}, "url", "must start with http"),
        ({"url": "http://a:99999/"}, "url", "is not a URL"),
        ({"url": "http://[::1/"}, "url", "is not a URL"),
        ({"url": "http://a/ b"}, "url", "spaces or control"),
        ({"url": "http://a/\r\nb"}, "url", "spaces or control"),
        ({"headers": {"X Y": "1"}}, "headers.X Y", "not a header name"),
        ({"headers": {"": "1"}}, "headers.", "not a header name"),
        ({"headers": {"X-Y": "1\r\nX-Z: 2"}}, "headers.X-Y", "line break"),
        ({"headers": {"X-Y": "1\0"}}, "headers.X-Y", "line break"),
        ({"headers": {"Content-Length": "1"}}, "headers.Content-Length", "set by the connection"),
        ({"headers": {"X-Y": "1", "x-y": "2"}}, "headers.x-y", "twice"),
        ({"headers": {"Webhook-Id": "1"}, "secret": "x"}, "headers.Webhook-Id", "part of the signature"),
        ({"all_event_data": False}, "all_event_data", "nothing to send"),
        ({"body": {"a..b": 1}}, "body.a..b", "empty part"),
        ({"body": {"": 1}}, "body.", "empty part"),
        ({"body": {"a.1000": 1}}, "body.a.1000", "above 999"),
        ({"secret": ""}, "secret", "is empty"),
        ({"secret": "whsec_"}, "secret", "is empty"),
        ({"secret": "whsec_*!"}, "secret", "not base64"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work(settings: dict[str, object], path: str, message: str) -> None:
    config, (problem,) = validate("webhook", {"url": URL, **settings})
    assert config is None
    assert problem.path == path
    assert message in problem.message


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "https://user:pw@hooks.example.org:8443/a%20b?c=d#e"},
        {"url": "http://[::1]:9000/"},
        {"headers": {"X-Empty": "", "X-Tab": "a\tb", "Webhook-Id": "mine"}},
        {"all_event_data": False, "method": "GET"},
        {"body": {"a.1000": 1, "a..b": 1}, "literal_dots": True},
        {"body": {"a.999": 1, "1000": 1}},
    ],
)
def test_settings_that_do_work(settings: dict[str, object]) -> None:
    assert validate("webhook", {"url": URL, **settings})[1] == []
