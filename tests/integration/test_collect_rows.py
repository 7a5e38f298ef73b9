"""Every POST row of the protocol's table of wrong inputs, and its limits, against a running server."""

import gzip
import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from tests.support.server import BACKEND, KEY, Server, until
from turnout.app import open_log
from turnout.log.interface import Log
from turnout.model.event import ACCEPTED, PROCESSED, Received, decode_processed, decode_received
from turnout.settings import Settings

OTHER, REVOKED, INACTIVE, DELETED, LIMITED, PICKY = (
    "k-other",
    "k-revoked",
    "k-inactive",
    "k-deleted",
    "k-limited",
    "k-picky",
)
CONFIG = f"""
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}
      backend: {{type: server, key: {BACKEND}, revoked_keys: [{REVOKED}], ga4_bridge: false}}
      idle: {{type: server, key: {INACTIVE}, status: inactive}}
      gone: {{type: server, key: {DELETED}, status: deleted}}
      slow: {{type: server, key: {LIMITED}, max_events_per_second: 1}}
      picky: {{type: web, key: {PICKY}, allowed_origins: ["https://shop.example"]}}
  "30":
    sources:
      backend: {{type: server, key: {OTHER}}}
"""
JSON = {"Content-Type": "application/json"}
GOOD = {"event_name": "search", "user": {"id": "1", "consistent_anonymous_id": "a", "consent_categories": ["1"]}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("collect") / "data", CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def log(server: Server) -> Iterator[Log]:
    opened = open_log(Settings(data=str(server.data)))
    yield opened
    opened.close()


def event(**context: object) -> dict[str, object]:
    return {**GOOD, "context": {"event_id": "e", "event_timestamp": 1_700_000_000_000, **context}}


def exchange(
    server: Server, log: Log, body: bytes | object, query: str, headers: dict[str, str], path: str = "/events"
) -> tuple[int, bytes, list[Received]]:
    """Post, and give the answer with the records it left."""
    start = log.end(ACCEPTED)
    status, answer = server.post(body, path, query, headers)
    return status, answer, records_from(log, start)


def records_from(log: Log, start: int) -> list[Received]:
    """What was accepted or refused since."""
    visitor = log.subscribe(ACCEPTED, None, start)
    found: list[Received] = []
    while batches := visitor.fetch(100):
        found += [decode_received(record) for batch in batches for record in batch.records]
    visitor.close()
    return found


class Row(NamedTuple):
    name: str
    body: object
    http: int
    status: str
    code: str
    query: str = f"tc_s=29&token={BACKEND}"
    headers: dict[str, str] = JSON
    path: str = "/events"
    source: str = "29/backend"


def nested(levels: int) -> object:
    """An event of that many levels, itself included."""
    return {**event(), "deep": json.loads("[" * (levels - 1) + "]" * (levels - 1))}


NOBODY = "tc_s=77&token=no"
BATCH = "/events/batch"
ROWS = [
    Row("too large", {"event_name": "x" * 40_000}, 400, "rejected", "payload_too_large"),
    Row("too large, not JSON either", b"{" * 40_000, 400, "rejected", "payload_too_large"),
    Row("batch too large", {"batch": [event()] * 5_000}, 400, "rejected", "payload_too_large", path=BATCH),
    Row("too large from a stranger", b"{" * 40_000, 400, "rejected", "payload_too_large", query=NOBODY, source=""),
    Row("too large without a key", b"{" * 40_000, 400, "rejected", "payload_too_large", query="tc_s=29", source="29/"),
    Row("truncated", b'{"event_name": "x"', 400, "rejected", "invalid_json"),
    Row("missing comma", b'{"a": 1 "b": 2}', 400, "rejected", "invalid_json"),
    Row("single quotes", b"{'event_name': 'x'}", 400, "rejected", "invalid_json"),
    Row("trailing comma", b'{"event_name": "x",}', 400, "rejected", "invalid_json"),
    Row("NaN", b'{"event_name": NaN}', 400, "rejected", "invalid_json"),
    Row("Infinity", b'{"event_name": "x", "value": -Infinity}', 400, "rejected", "invalid_json"),
    Row("comment", b'{"event_name": "x"} // y', 400, "rejected", "invalid_json"),
    Row("deeper than the parser goes", b"[" * 30_000, 400, "rejected", "invalid_json"),
    Row(
        "one error in a batch",
        b'{"batch": [{"event_name": "x"}, {"a" 1}]}',
        400,
        "rejected",
        "invalid_json",
        path=BATCH,
    ),
    Row("form", b"event_name=x&value=1", 400, "rejected", "invalid_json"),
    Row("empty", b"", 400, "rejected", "invalid_json"),
    Row("trailing data", b"{} {}", 400, "rejected", "invalid_json"),
    Row("invalid UTF-8", b'{"event_name": "\xff"}', 400, "rejected", "invalid_json"),
    Row("UTF-16", '{"event_name": "x"}'.encode("utf-16"), 400, "rejected", "invalid_json"),
    Row(
        "corrupt gzip",
        b"\x1f\x8b nonsense",
        400,
        "rejected",
        "invalid_json",
        headers={**JSON, "Content-Encoding": "gzip"},
    ),
    Row("unknown encoding", b"{}", 400, "rejected", "invalid_json", headers={**JSON, "Content-Encoding": "br"}),
    Row("invalid JSON from a stranger", b"{", 400, "rejected", "invalid_json", query=NOBODY, source=""),
    Row("no content type", event(), 200, "rejected", "unsupported_content_type", headers={}),
    Row(
        "form content type", event(), 200, "rejected", "unsupported_content_type", headers={"Content-Type": "text/html"}
    ),
    Row(
        "text/plain",
        event(),
        200,
        "valid",
        "content_type_text_plain",
        headers={"Content-Type": "text/plain;charset=UTF-8"},
    ),
    Row("no site, key valid", event(), 200, "rejected", "missing_site_id", query=f"token={BACKEND}"),
    Row("unknown site, key valid", event(), 200, "rejected", "unknown_site", query=f"tc_s=77&token={BACKEND}"),
    Row("site that is no id, key valid", event(), 200, "rejected", "unknown_site", query=f"tc_s=a%20b&token={BACKEND}"),
    Row("no site, key unknown", event(), 200, "rejected", "missing_site_id", query="token=no", source=""),
    Row("unknown site, key unknown", event(), 200, "rejected", "unknown_site", query=NOBODY, source=""),
    Row("no site, no key", event(), 200, "rejected", "missing_site_id", query="", source=""),
    Row("unknown site, no key", event(), 200, "rejected", "unknown_site", query="tc_s=77", source=""),
    Row("no key", event(), 200, "rejected", "missing_source_key", query="tc_s=29", source="29/"),
    Row("unknown key", event(), 200, "rejected", "unknown_source_key", query="tc_s=29&token=no", source="29/"),
    Row(
        "another site's key",
        event(),
        200,
        "rejected",
        "site_mismatch",
        query=f"tc_s=29&token={OTHER}",
        source="30/backend",
    ),
    Row("inactive", event(), 200, "rejected", "source_inactive", query=f"tc_s=29&token={INACTIVE}", source="29/idle"),
    Row("deleted", event(), 200, "rejected", "source_deleted", query=f"tc_s=29&token={DELETED}", source="29/gone"),
    Row("revoked", event(), 200, "rejected", "key_revoked", query=f"tc_s=29&token={REVOKED}"),
    Row("two keys", event(), 200, "valid", "auth_conflict", headers={**JSON, "Authorization": "Bearer other"}),
    Row(
        "site twice",
        event(),
        200,
        "rejected",
        "ambiguous_credentials",
        query=f"tc_s=29&tc_s=30&token={BACKEND}",
        source="",
    ),
    Row(
        "token twice",
        event(),
        200,
        "rejected",
        "ambiguous_credentials",
        query=f"tc_s=29&token=a&token={BACKEND}",
        source="",
    ),
    Row(
        "Basic",
        event(),
        200,
        "rejected",
        "missing_source_key",
        query="tc_s=29",
        headers={**JSON, "Authorization": "Basic eA=="},
        source="29/",
    ),
    Row(
        "empty Bearer",
        event(),
        200,
        "rejected",
        "missing_source_key",
        query="tc_s=29",
        headers={**JSON, "Authorization": "Bearer "},
        source="29/",
    ),
    Row(
        "foreign origin",
        event(),
        200,
        "rejected",
        "origin_forbidden",
        query=f"tc_s=29&token={PICKY}",
        headers={**JSON, "Origin": "https://evil.example"},
        source="29/picky",
    ),
    Row(
        "GA4 hit",
        b"not json",
        200,
        "rejected",
        "ga4_bridge_disabled",
        query=f"tc_s=29&token={BACKEND}&ga_url_param=/g/collect?v=2",
    ),
    Row("number", b"3", 200, "rejected", "payload_not_object"),
    Row("boolean", b"true", 200, "rejected", "payload_not_object"),
    Row("string", b'"x"', 200, "rejected", "payload_not_object"),
    Row("array", b"[]", 200, "rejected", "payload_not_object"),
    Row("null", b"null", 200, "rejected", "payload_not_object"),
    Row("batch on single", {"batch": [event()]}, 200, "rejected", "batch_on_single_endpoint"),
    Row("batch missing", event(), 200, "rejected", "batch_missing", path=BATCH),
    Row("batch no array", {"batch": {}}, 200, "rejected", "batch_not_array", path=BATCH),
    Row("batch null", {"batch": None}, 200, "rejected", "batch_not_array", path=BATCH),
    Row("element null", {"batch": [None]}, 200, "rejected", "event_not_object", path=BATCH),
    Row("element string", {"batch": ["x"]}, 200, "rejected", "event_not_object", path=BATCH),
    Row("element number", {"batch": [3]}, 200, "rejected", "event_not_object", path=BATCH),
    Row("element array", {"batch": [[event()]]}, 200, "rejected", "event_not_object", path=BATCH),
    Row("element too deep", {"batch": [nested(33)]}, 200, "rejected", "too_deep", path=BATCH),
    Row("element of 32 levels", {"batch": [nested(32)]}, 200, "valid", "", path=BATCH),
    Row("element overflow", b'{"batch": [{"event_name": 1e400}]}', 200, "rejected", "number_out_of_range", path=BATCH),
    Row("batch with other keys", {"batch": [event()], "v": 1}, 200, "valid", "batch_extra_keys", path=BATCH),
    Row(
        "element too large",
        {"batch": [{"event_name": "x" * 40_000}]},
        200,
        "rejected",
        "batch_item_too_large",
        path=BATCH,
    ),
    Row("33 levels", nested(33), 200, "rejected", "too_deep"),
    Row("32 levels", nested(32), 200, "valid", ""),
    Row("5,000 digits", b'{"event_name": "x", "value": ' + b"9" * 5_000 + b"}", 200, "rejected", "number_out_of_range"),
    Row("number overflow", b'{"event_name": "x", "value": 1e400}', 200, "rejected", "number_out_of_range"),
    Row("overflow in broken JSON", b'{"value": 1e400', 400, "rejected", "invalid_json"),
    Row("empty object", {}, 200, "rejected", "missing_event_name"),
    Row("null name", {"event_name": None}, 200, "rejected", "missing_event_name"),
    Row("blank name", {"event_name": " "}, 200, "rejected", "invalid_event_name"),
    Row("number as name", {"event_name": 3}, 200, "rejected", "invalid_event_name"),
    Row("empty name", {"event_name": ""}, 200, "rejected", "invalid_event_name"),
    Row("object as name", {"event_name": {}}, 200, "rejected", "invalid_event_name"),
    Row("name of 256", {**event(), "event_name": "x" * 256}, 200, "valid", ""),
    Row("long name", {"event_name": "x" * 257}, 200, "rejected", "invalid_event_name"),
    Row("seconds", event(event_timestamp=1_700_000_000), 200, "rejected", "timestamp_not_ms"),
    Row("microseconds", event(event_timestamp="1700000000000000"), 200, "rejected", "timestamp_not_ms"),
    Row("ISO 8601", event(event_timestamp="2024-01-01T00:00:00Z"), 200, "rejected", "invalid_timestamp"),
    Row("negative time", event(event_timestamp=-1), 200, "rejected", "invalid_timestamp"),
    Row("zero time", event(event_timestamp=0), 200, "rejected", "invalid_timestamp"),
    Row("boolean time", event(event_timestamp=True), 200, "rejected", "invalid_timestamp"),
    Row("object as time", event(event_timestamp={}), 200, "rejected", "invalid_timestamp"),
    Row("time missing", event(event_timestamp=None), 200, "valid", "filled_event_timestamp"),
    Row("time ahead", event(event_timestamp=9_000_000_000_000), 200, "valid", "timestamp_in_future"),
    Row("id missing", event(event_id=None), 200, "valid", "filled_event_id"),
    Row("id boolean", event(event_id=True), 200, "invalid_accepted", "invalid_type:context.event_id"),
    Row("id array", event(event_id=[]), 200, "invalid_accepted", "invalid_type:context.event_id"),
    Row("id object", event(event_id={}), 200, "invalid_accepted", "invalid_type:context.event_id"),
    Row("context no object", {**GOOD, "context": "x"}, 200, "invalid_accepted", "invalid_type:context"),
    Row("user no object", {**event(), "user": 3}, 200, "invalid_accepted", "invalid_type:user"),
    Row("version 1", {"event_name": "x", "event_id": "v1", "properties": {}}, 200, "valid", "deprecated_payload_v1"),
    Row("mixed", {**event(), "properties": {"a": 1}}, 200, "valid", "mixed_v1_v2"),
    Row(
        "root time",
        {**GOOD, "context": {}, "event_timestamp": 1_700_000_000_000},
        200,
        "valid",
        "root_meta_moved:event_timestamp",
    ),
    Row("web container", {"event": "x", "properties": {}, "eventId": "9"}, 200, "valid", "web_container_v1"),
    Row("no user", {"event_name": "x"}, 200, "valid", "no_consent_information"),
    Row("no consent", {"event_name": "x", "user": {}}, 200, "valid", "no_consent_information"),
    Row(
        "consent ill-typed",
        {"event_name": "x", "user": {"consent_categories": {}}},
        200,
        "valid",
        "no_consent_information",
    ),
    Row(
        "bad hash", {**event(), "user": {"email_md5": "ABC"}}, 200, "invalid_accepted", "invalid_format:user.email_md5"
    ),
    Row(
        "bad long hash",
        {**event(), "user": {"email_sha256": "0" * 63}},
        200,
        "invalid_accepted",
        "invalid_format:user.email_sha256",
    ),
    Row("bad address", event(device={"ip": "x"}), 200, "invalid_accepted", "invalid_format:context.device.ip"),
    Row("lone surrogate", b'{"event_name": "x\\ud800"}', 200, "valid", "text_repaired"),
    Row("zero character", b'{"event_name": "x\\u0000"}', 200, "valid", "text_repaired"),
    Row("capitals and spaces", {**event(), "event_name": "My Event-1"}, 200, "valid", ""),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(server: Server, log: Log, row: Row) -> None:
    http, answer, records = exchange(server, log, row.body, row.query, row.headers, row.path)
    assert http == row.http
    assert len(records) == 1
    record = records[0]
    assert (record.status, record.source, record.endpoint) == (row.status, row.source, row.path[1:])
    if http == 200:
        assert answer == b"{}", "the same bytes for what was taken and what was refused"
    else:
        assert json.loads(answer)["error"]["code"] == row.code
    if row.status == "rejected":
        (reason,) = record.reasons
        assert reason.code == row.code
        assert reason.message
    elif row.status == "invalid_accepted":
        assert row.code in [f"{reason.code}:{reason.path}" for reason in record.reasons]
    elif row.code:
        assert row.code in record.warnings
    if row.status != "rejected":
        stored = json.loads(record.payload)
        assert stored["context"]["event_id"] == record.event_id
        assert stored["context"]["event_timestamp"]
    if row.code == "payload_too_large":
        assert record.payload == b""
        assert "bytes" in reason.message
    if row.code == "invalid_json" and "Content-Encoding" not in row.headers:
        assert isinstance(row.body, bytes)
        assert record.payload == row.body[:2_048]


def test_every_refusal_is_listed_by_tail_with_its_reason(server: Server) -> None:
    for row in ROWS:
        server.post(row.body, row.path, row.query, row.headers)
    listed = server.run("tail", "--rejected", "--last", str(len(ROWS)), "--no-follow", "--json").stdout.splitlines()
    found = [(line["source"], line["reasons"][0]["code"]) for line in map(json.loads, listed)]
    assert found == [(row.source, row.code) for row in ROWS if row.status == "rejected"]


def test_rate_limit_of_the_owner_still_answers_200(server: Server, log: Log) -> None:
    codes = []
    for _ in range(5):
        http, _, records = exchange(server, log, event(), f"tc_s=29&token={LIMITED}", JSON)
        assert http == 200
        codes += [reason.code for record in records for reason in record.reasons]
    assert "rate_limited" in codes


@pytest.mark.parametrize(("path", "limit"), [("/events", 32_768), (BATCH, 512_000)], ids=["single", "batch"])
@pytest.mark.parametrize("how", ["plain", "identity", "gzip", "gzip longer than the limit", "gzip bomb"])
def test_limits_at_exactly_and_one_over(server: Server, log: Log, path: str, limit: int, how: str) -> None:
    one = json.dumps(event()).encode()
    body = one if path == "/events" else b'{"batch":[' + one + b"]}"
    headers = JSON if how == "plain" else {**JSON, "Content-Encoding": how.split(" ", maxsplit=1)[0]}
    level = 0 if how == "gzip longer than the limit" else 9
    for size, expected in ((limit, 200), (limit + 1, 400)):
        data = body.ljust(100 * size if how == "gzip bomb" and expected == 400 else size)
        sent = gzip.compress(data, level) if how.startswith("gzip") else data
        assert level or len(sent) > limit
        http, _, records = exchange(server, log, sent, f"tc_s=29&token={BACKEND}", headers, path)
        assert (http, len(records)) == (expected, 1)
        assert (records[0].status == "rejected") == (expected == 400)


@pytest.mark.parametrize(("over", "status"), [(0, "valid"), (1, "rejected")])
def test_one_event_of_a_batch_at_exactly_its_limit_and_one_over(
    server: Server, log: Log, over: int, status: str
) -> None:
    large = {**event(event_id="large"), "x": ""}
    large["x"] = "y" * (32_768 + over - len(json.dumps(large, separators=(",", ":"))))
    body = json.dumps({"batch": [large, event(event_id="beside")]}, indent=2).encode()
    http, _, records = exchange(server, log, body, f"tc_s=29&token={BACKEND}", JSON, BATCH)
    assert http == 200
    assert [(record.event_id, record.status) for record in records] == [("large", status), ("beside", "valid")]


def test_a_batch_keeps_its_good_events(server: Server, log: Log) -> None:
    elements = [{**event(event_id="big"), "x": "y" * 40_000}, event(event_id="small"), event(event_id="small"), None]
    http, _, records = exchange(server, log, {"batch": elements}, f"tc_s=29&token={BACKEND}", JSON, BATCH)
    assert http == 200
    assert [(record.event_id, record.status, record.batch_index) for record in records[:3]] == [
        ("big", "rejected", 0),
        ("small", "valid", 1),
        ("small", "valid", 2),
    ]
    assert "duplicate_event_id" in records[2].warnings
    assert records[3].reasons[0].code == "event_not_object"


def test_an_empty_batch_is_no_event(server: Server, log: Log) -> None:
    assert exchange(server, log, {"batch": []}, f"tc_s=29&token={BACKEND}", JSON, BATCH)[::2] == (200, [])


def test_address_and_user_agent_are_filled_for_client_side_sources_only(server: Server, log: Log) -> None:
    headers = {**JSON, "User-Agent": "UA/1"}
    web = json.loads(exchange(server, log, event(), f"tc_s=29&token={KEY}", headers)[2][0].payload)
    assert web["context"]["device"] == {"ip": "127.0.0.1", "user_agent": "UA/1"}
    backend = json.loads(exchange(server, log, event(), f"tc_s=29&token={BACKEND}", headers)[2][0].payload)
    assert "device" not in backend["context"]


def test_a_refused_event_is_explained_by_its_id(server: Server) -> None:
    server.post({"event_name": "x", "context": {"event_id": "bad-time", "event_timestamp": 5}})
    server.post({"batch": [event(event_id="fits"), {**event(event_id="too-big"), "x": "y" * 40_000}]}, BATCH)
    until(lambda: server.trace("fits"), "the events to be found")
    for event_id, code, index in (("bad-time", "timestamp_not_ms", -1), ("too-big", "batch_item_too_large", 1)):
        (found,) = server.trace(event_id)
        assert (found["status"], found["batch_index"], found["destinations"]) == ("rejected", index, [])
        assert [reason["code"] for reason in found["reasons"]] == [code]  # type: ignore[attr-defined]


CONTENT: list[tuple[str, dict[str, object], str]] = [
    ("required property missing", {"event_name": "purchase"}, "invalid_accepted"),
    ("wrong type", {"event_name": "search", "search_term": {}}, "invalid_accepted"),
    ("unknown property", {"event_name": "search", "search_term": "x", "mine": [{}]}, "valid"),
    (
        "several currencies",
        {
            "event_name": "add_to_cart",
            "items": [{"id": "1", "product": {"currency": c, "price": 1}} for c in ("EUR", "USD")],
        },
        "invalid_accepted",
    ),
    (
        "no anonymous id",
        {"event_name": "search", "search_term": "x", "user": {"consent_categories": []}},
        "invalid_accepted",
    ),
]


def test_wrong_content_of_standard_events_is_accepted_and_flagged(server: Server, log: Log) -> None:
    start = log.end(ACCEPTED)
    elements = [{**event(event_id=name), **given} for name, given, _ in CONTENT]
    server.post({"batch": elements}, BATCH)
    until(lambda: log.end(PROCESSED) == start + len(CONTENT), "the batch to be processed")
    visitor = log.subscribe(PROCESSED, None, start)
    found = {one.event_id: one for batch in visitor.fetch(100) for one in map(decode_processed, batch.records)}
    visitor.close()
    assert {name: found[name].status for name, _, _ in CONTENT} == {name: status for name, _, status in CONTENT}
    assert all(bool(found[name].reasons) == (status == "invalid_accepted") for name, _, status in CONTENT)


# The protocol's own checks (§14)

SEED = """{
"event_name": "search",
"search_term": "t-shirts",
"user": {
"id": "12345",
"consistent_anonymous_id": "67892",
"email": "toto@domain.fr",
"consent_categories": ["1", "3"]
},
"context": {
"event_id": "202110130000000000",
"page": {
"title": "Search page",
"url": "https://shop.com/search?q=...",
"lang": "en",
"referrer": "https://www.google.fr",
"viewport": {"width": 320, "height": 568}
},
"device": {
"user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_0) AppleWebKit/537.36 Chrome/46.0.2490.86 Safari/537.36",
"ip": "102.3.4.56",
"lang": "fr",
"cookie": "_fbp=123; _fbc=456; _ga=789",
"timezone": "Europe/Paris"
},
"event_timestamp": "1639044446636"
}
}"""


def test_the_published_example_is_taken_with_its_comma_and_refused_without(server: Server, log: Log) -> None:
    query = f"tc_s=29&token={KEY}"
    http, _, (record,) = exchange(server, log, SEED.encode(), query, JSON)
    assert (http, record.status, record.payload) == (200, "valid", SEED.encode())
    printed = SEED.replace('"67892",', '"67892"').encode()
    assert exchange(server, log, printed, query, JSON)[0] == 400


def test_bearer_alone_is_the_same_source_and_the_url_wins_over_it(server: Server, log: Log) -> None:
    bearer = {**JSON, "Authorization": f"Bearer {KEY}"}
    (alone,) = exchange(server, log, event(), "tc_s=29", bearer)[2]
    assert (alone.source, alone.status) == ("29/shop", "valid")
    (both,) = exchange(server, log, event(), f"tc_s=29&token={BACKEND}", bearer)[2]
    assert both.source == "29/backend"
    assert "auth_conflict" in both.warnings


@pytest.mark.parametrize("prefix", ["", "/cdp"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_spelling_of_the_path_is_the_same_endpoint(server: Server, log: Log, prefix: str, slash: str) -> None:
    (one,) = exchange(server, log, event(), f"tc_s=29&token={BACKEND}", JSON, f"{prefix}/events{slash}")[2]
    assert (one.status, one.endpoint) == ("valid", "events")
    body = {"batch": [event()]}
    (many,) = exchange(server, log, body, f"tc_s=29&token={BACKEND}", JSON, f"{prefix}/events/batch{slash}")[2]
    assert (many.status, many.endpoint, many.batch_index) == ("valid", "events/batch", 0)


def test_two_thousand_requests_at_once_are_all_taken(server: Server, log: Log) -> None:
    start = log.end(ACCEPTED)

    def send(worker: int) -> set[int]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        answers = set()
        for n in range(100):
            body = json.dumps(event(event_id=f"many-{worker}-{n}"))
            connection.request("POST", f"/events?tc_s=29&token={BACKEND}", body, JSON)
            response = connection.getresponse()
            answers.add(response.status)
            response.read()
        connection.close()
        return answers

    with ThreadPoolExecutor(20) as pool:
        assert set().union(*pool.map(send, range(20))) == {200}
    ids = {record.event_id for record in records_from(log, start)}
    assert ids == {f"many-{worker}-{n}" for worker in range(20) for n in range(100)}
