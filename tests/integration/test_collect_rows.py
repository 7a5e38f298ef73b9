"""Every POST row of the protocol's table of wrong inputs, and its limits, against a running server."""

import gzip
import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.server import BACKEND, KEY, Server, until
from turnout.app import open_log
from turnout.log.interface import Log
from turnout.model.event import ACCEPTED, Received, decode_received
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
      backend: {{type: server, key: {BACKEND}, revoked_keys: [{REVOKED}]}}
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
    visitor = log.subscribe(ACCEPTED, None, start)
    found: list[Received] = []
    while batches := visitor.fetch(100):
        found += [decode_received(record) for batch in batches for record in batch.records]
    visitor.close()
    return status, answer, found


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


DEEP = json.loads("[" * 40 + "]" * 40)
ROWS = [
    Row("too large", {"event_name": "x" * 40_000}, 400, "rejected", "payload_too_large"),
    Row("truncated", b'{"event_name": "x"', 400, "rejected", "invalid_json"),
    Row("missing comma", b'{"a": 1 "b": 2}', 400, "rejected", "invalid_json"),
    Row("single quotes", b"{'event_name': 'x'}", 400, "rejected", "invalid_json"),
    Row("trailing comma", b'{"event_name": "x",}', 400, "rejected", "invalid_json"),
    Row("NaN", b'{"event_name": NaN}', 400, "rejected", "invalid_json"),
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
    Row("invalid JSON from a stranger", b"{", 400, "rejected", "invalid_json", query="tc_s=1&token=x", source=""),
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
    Row("string", b'"x"', 200, "rejected", "payload_not_object"),
    Row("array", b"[]", 200, "rejected", "payload_not_object"),
    Row("null", b"null", 200, "rejected", "payload_not_object"),
    Row("batch on single", {"batch": [event()]}, 200, "rejected", "batch_on_single_endpoint"),
    Row("batch missing", event(), 200, "rejected", "batch_missing", path="/events/batch"),
    Row("batch no array", {"batch": {}}, 200, "rejected", "batch_not_array", path="/events/batch"),
    Row("element no object", {"batch": [3]}, 200, "rejected", "event_not_object", path="/events/batch"),
    Row(
        "element too large",
        {"batch": [{"event_name": "x" * 40_000}]},
        200,
        "rejected",
        "batch_item_too_large",
        path="/events/batch",
    ),
    Row("too deep", {**event(), "deep": DEEP}, 200, "rejected", "too_deep"),
    Row("number overflow", b'{"event_name": "x", "value": 1e400}', 200, "rejected", "number_out_of_range"),
    Row("overflow in broken JSON", b'{"value": 1e400', 400, "rejected", "invalid_json"),
    Row("empty object", {}, 200, "rejected", "missing_event_name"),
    Row("null name", {"event_name": None}, 200, "rejected", "missing_event_name"),
    Row("blank name", {"event_name": " "}, 200, "rejected", "invalid_event_name"),
    Row("number as name", {"event_name": 3}, 200, "rejected", "invalid_event_name"),
    Row("long name", {"event_name": "x" * 257}, 200, "rejected", "invalid_event_name"),
    Row("seconds", event(event_timestamp=1_700_000_000), 200, "rejected", "timestamp_not_ms"),
    Row("microseconds", event(event_timestamp="1700000000000000"), 200, "rejected", "timestamp_not_ms"),
    Row("ISO 8601", event(event_timestamp="2024-01-01T00:00:00Z"), 200, "rejected", "invalid_timestamp"),
    Row("negative time", event(event_timestamp=-1), 200, "rejected", "invalid_timestamp"),
    Row("zero time", event(event_timestamp=0), 200, "rejected", "invalid_timestamp"),
    Row("boolean time", event(event_timestamp=True), 200, "rejected", "invalid_timestamp"),
    Row("time missing", event(event_timestamp=None), 200, "valid", "filled_event_timestamp"),
    Row("time ahead", event(event_timestamp=9_000_000_000_000), 200, "valid", "timestamp_in_future"),
    Row("id missing", event(event_id=None), 200, "valid", "filled_event_id"),
    Row("id boolean", event(event_id=True), 200, "invalid_accepted", "invalid_type:context.event_id"),
    Row("id object", event(event_id={}), 200, "invalid_accepted", "invalid_type:context.event_id"),
    Row("context no object", {**GOOD, "context": "x"}, 200, "invalid_accepted", "invalid_type:context"),
    Row("user no object", {**event(), "user": 3}, 200, "invalid_accepted", "invalid_type:user"),
    Row("version 1", {"event_name": "x", "event_id": "v1", "properties": {}}, 200, "valid", "deprecated_payload_v1"),
    Row("mixed", {**event(), "properties": {"a": 1}}, 200, "valid", "mixed_v1_v2"),
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
    Row("bad address", event(device={"ip": "x"}), 200, "invalid_accepted", "invalid_format:context.device.ip"),
    Row("lone surrogate", b'{"event_name": "x\\ud800"}', 200, "valid", "text_repaired"),
    Row("zero character", b'{"event_name": "x\\u0000"}', 200, "valid", "text_repaired"),
    Row("capitals and spaces", {**event(), "event_name": "My Event-1"}, 200, "valid", ""),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(server: Server, log: Log, row: Row) -> None:
    http, answer, records = exchange(server, log, row.body, row.query, row.headers, row.path)
    assert http == row.http
    assert (
        answer == b"{}" if http == 200 else json.loads(answer)["error"]["code"] in ("payload_too_large", "invalid_json")
    )
    assert len(records) == 1
    record = records[0]
    assert record.status == row.status
    assert record.source == row.source
    if row.status == "rejected":
        assert record.reasons[0].code == row.code
    elif row.status == "invalid_accepted":
        assert row.code in [f"{reason.code}:{reason.path}" for reason in record.reasons]
    elif row.code:
        assert row.code in record.warnings
    if row.status != "rejected":
        stored = json.loads(record.payload)
        assert stored["context"]["event_id"] == record.event_id
        assert stored["context"]["event_timestamp"]


def test_rate_limit_of_the_owner_still_answers_200(server: Server, log: Log) -> None:
    codes = []
    for _ in range(5):
        http, _, records = exchange(server, log, event(), f"tc_s=29&token={LIMITED}", JSON)
        assert http == 200
        codes += [reason.code for record in records for reason in record.reasons]
    assert "rate_limited" in codes


@pytest.mark.parametrize(("path", "limit"), [("/events", 32_768), ("/events/batch", 512_000)], ids=["single", "batch"])
def test_limits_at_exactly_and_one_over(server: Server, log: Log, path: str, limit: int) -> None:
    one = json.dumps(event()).encode()
    body = one if path == "/events" else b'{"batch":[' + one + b"]}"
    for compress in (False, True):
        for size, expected in ((limit, 200), (limit + 1, 400)):
            data = body + b" " * (size - len(body))
            headers = {**JSON, "Content-Encoding": "gzip"} if compress else JSON
            sent = gzip.compress(data) if compress else data
            http, _, records = exchange(server, log, sent, f"tc_s=29&token={BACKEND}", headers, path)
            assert (http, len(records)) == (expected, 1)
            assert (records[0].status == "rejected") == (expected == 400)


def test_a_batch_keeps_its_good_events(server: Server, log: Log) -> None:
    elements = [{**event(event_id="big"), "x": "y" * 40_000}, event(event_id="small"), event(event_id="small"), None]
    http, _, records = exchange(server, log, {"batch": elements}, f"tc_s=29&token={BACKEND}", JSON, "/events/batch")
    assert http == 200
    assert [(record.event_id, record.status, record.batch_index) for record in records[:3]] == [
        ("big", "rejected", 0),
        ("small", "valid", 1),
        ("small", "valid", 2),
    ]
    assert "duplicate_event_id" in records[2].warnings
    assert records[3].reasons[0].code == "event_not_object"


def test_an_empty_batch_is_no_event(server: Server, log: Log) -> None:
    assert exchange(server, log, {"batch": []}, f"tc_s=29&token={BACKEND}", JSON, "/events/batch")[::2] == (200, [])


def test_address_and_user_agent_are_filled_for_client_side_sources_only(server: Server, log: Log) -> None:
    headers = {**JSON, "User-Agent": "UA/1"}
    web = json.loads(exchange(server, log, event(), f"tc_s=29&token={KEY}", headers)[2][0].payload)
    assert web["context"]["device"] == {"ip": "127.0.0.1", "user_agent": "UA/1"}
    backend = json.loads(exchange(server, log, event(), f"tc_s=29&token={BACKEND}", headers)[2][0].payload)
    assert "device" not in backend["context"]


def test_a_refused_event_is_explained_by_its_id(server: Server) -> None:
    server.post({"event_name": "x", "context": {"event_id": "explain-me", "event_timestamp": 5}})
    until(lambda: server.trace("explain-me"), "the refusal to be found")
    (found,) = server.trace("explain-me")
    assert found["status"] == "rejected"
    assert found["destinations"] == []
    listed = server.run("tail", "--rejected", "--last", "1000", "--no-follow", "--json").stdout.decode()
    assert any(json.loads(line)["event_id"] == "explain-me" for line in listed.splitlines())
