"""GET pixels against a running server: every row of the tables of `collect.md` §9 and §12, limits, HEAD, both paths."""

import json
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.queries import TABLE
from tests.support.raw import RawClient
from tests.support.server import BACKEND, KEY, Server, until
from tests.support.web import Records, Reply, ask, payload, records_of
from turnout.model.event import ACCEPTED, Received

OTHER, REVOKED, IDLE, GONE, SLOW, PICKY = "k-other", "k-revoked", "k-idle", "k-gone", "k-slow", "k-picky"
CONFIG = f"""
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}
      backend: {{type: server, key: {BACKEND}, revoked_keys: [{REVOKED}]}}
      idle: {{type: server, key: {IDLE}, status: inactive}}
      gone: {{type: server, key: {GONE}, status: deleted}}
      slow: {{type: server, key: {SLOW}, max_events_per_second: 1}}
      picky: {{type: web, key: {PICKY}, allowed_origins: ["https://shop.example"]}}
    destinations:
      archive: {{type: file, sources: [shop, backend], settings: {{path: out/events.ndjson}}}}
  "30":
    sources:
      backend: {{type: server, key: {OTHER}}}
"""
MINE = f"tc_s=29&token={BACKEND}"
GIF = b"GIF89a\1\0\1\0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("pixel") / "data", CONFIG, TURNOUT_GATEWAY_PREFIXES="/metrics") as running:
        yield running


@pytest.fixture(scope="module")
def records(server: Server) -> Iterator[Records]:
    with records_of(server) as found:
        yield found


def pixel(server: Server, query: str, headers: dict[str, str] | None = None, path: str = "/events") -> Reply:
    return ask(server.port, f"{path}?{query}", headers=headers)


def is_pixel(reply: Reply) -> bool:
    return (
        reply.status == 200
        and reply.body.startswith(GIF)
        and reply.headers["content-type"] == "image/gif"
        and reply.headers["cross-origin-resource-policy"] == "cross-origin"
        and reply.headers["cache-control"] == "no-store"
    )


def settled(record: Received) -> dict[str, object]:
    """A record's event without what is different each time."""
    event = payload(record)
    context = event["context"]
    assert isinstance(context, dict)
    assert context.pop("event_id") == record.event_id
    if "filled_event_timestamp" in record.warnings:
        assert context.pop("event_timestamp") == record.received_ms
    return event


@pytest.mark.parametrize(("query", "event", "warnings"), TABLE, ids=[row[0][:60] for row in TABLE])
def test_a_pixel_is_the_post_of_what_it_decodes_to(
    server: Server, records: Records, query: str, event: dict[str, object], warnings: tuple[str, ...]
) -> None:
    target = "/events?" + f"{query}&event_name=seen&{MINE}".replace(" ", "%20")
    reply, (got,) = records.of(lambda: ask(server.port, target))
    assert is_pixel(reply)
    _, (posted,) = records.of(lambda: ask(server.port, f"/events?{MINE}", "POST", body={**event, "event_name": "seen"}))
    assert got.endpoint == "pixel"
    assert (got.status, got.name, got.reasons, got.source) == (
        posted.status,
        posted.name,
        posted.reasons,
        posted.source,
    )
    assert settled(got) == settled(posted)
    assert got.warnings == (*warnings, *posted.warnings)


class Row(NamedTuple):
    name: str
    query: str
    status: str
    code: str
    source: str = "29/backend"
    headers: dict[str, str] | None = None


@pytest.mark.parametrize(
    "row",
    [
        Row("no event_name", MINE, "rejected", "missing_event_name"),
        Row("blank event_name", f"{MINE}&event_name=+", "rejected", "invalid_event_name"),
        Row("event_name in brackets", f"{MINE}&event_name[]=x", "rejected", "invalid_event_name"),
        Row("no site", f"event_name=x&token={BACKEND}", "rejected", "missing_site_id"),
        Row("unknown site", f"event_name=x&tc_s=77&token={BACKEND}", "rejected", "unknown_site"),
        Row("nobody", "event_name=x&tc_s=77&token=no", "rejected", "unknown_site", ""),
        Row("nothing", "", "rejected", "missing_site_id", ""),
        Row("no key", "event_name=x&tc_s=29", "rejected", "missing_source_key", "29/"),
        Row("unknown key", "event_name=x&tc_s=29&token=no", "rejected", "unknown_source_key", "29/"),
        Row("another site's key", f"event_name=x&tc_s=29&token={OTHER}", "rejected", "site_mismatch", "30/backend"),
        Row("inactive", f"event_name=x&tc_s=29&token={IDLE}", "rejected", "source_inactive", "29/idle"),
        Row("deleted", f"event_name=x&tc_s=29&token={GONE}", "rejected", "source_deleted", "29/gone"),
        Row("revoked", f"event_name=x&tc_s=29&token={REVOKED}", "rejected", "key_revoked"),
        Row("token twice", f"event_name=x&{MINE}&token=b", "rejected", "ambiguous_credentials", ""),
        Row("site twice", f"event_name=x&{MINE}&tc_s=30", "rejected", "ambiguous_credentials", ""),
        Row("two keys", f"event_name=x&{MINE}", "valid", "auth_conflict", headers={"Authorization": "Bearer b"}),
        Row("bearer", "event_name=x&tc_s=29", "valid", "", headers={"Authorization": f"Bearer {BACKEND}"}),
        Row("alias", f"event_name=x&tc_s=29&tc_skey={BACKEND}", "valid", ""),
        Row(
            "foreign origin",
            f"event_name=x&tc_s=29&token={PICKY}",
            "rejected",
            "origin_forbidden",
            "29/picky",
            {"Origin": "https://evil.example"},
        ),
        Row(
            "known origin",
            f"event_name=x&tc_s=29&token={PICKY}",
            "valid",
            "",
            "29/picky",
            {"Origin": "https://shop.example"},
        ),
        Row("seconds", f"{MINE}&event_name=x&context[event_timestamp]=1639044446", "rejected", "timestamp_not_ms"),
        Row("no time", f"{MINE}&event_name=x&context[event_timestamp]=now", "rejected", "invalid_timestamp"),
        Row("context that is text", f"{MINE}&event_name=x&context=1", "invalid_accepted", "invalid_type"),
        Row("no address", f"{MINE}&event_name=x&context[device][ip]=here", "invalid_accepted", "invalid_format"),
        Row("malformed brackets", f"{MINE}&event_name=x&a[b=1", "valid", "malformed_key"),
        Row("too deep", f"{MINE}&event_name=x&a{'[b]' * 11}=1", "valid", "key_too_deep"),
        Row("too many", f"{MINE}&event_name=x&{'a=1&' * 1001}", "valid", "too_many_pairs"),
        Row("zero character", f"{MINE}&event_name=x&a=%00", "valid", "text_repaired"),
    ],
    ids=lambda row: row.name,
)
def test_what_is_wrong_gets_the_pixel_too_and_leaves_its_reason(server: Server, records: Records, row: Row) -> None:
    reply, (found,) = records.of(lambda: pixel(server, row.query, row.headers))
    assert is_pixel(reply)
    assert (found.status, found.source) == (row.status, row.source)
    if row.status == "valid":
        assert not row.code or row.code in found.warnings
    else:
        assert [reason.code for reason in found.reasons] == [row.code]
    assert BACKEND.encode() not in found.payload, "a key is no property"


def test_the_owners_cap_counts_pixels(server: Server, records: Records) -> None:
    query = f"event_name=x&tc_s=29&token={SLOW}"
    found = [records.of(lambda: pixel(server, query))[1][0] for _ in range(20)]
    assert "rate_limited" in {reason.code for record in found for reason in record.reasons}


def test_numbers_of_standard_events_are_typed_in_processing_and_the_rest_stays_text(server: Server) -> None:
    event = {
        "event_name": "purchase",
        "id": "007",
        "revenue": "16.00",
        "value": "2e1",
        "currency": "EUR",
        "zip": "075",
        "user[id]": "1",
        "context[event_id]": "typed",
        "items[0][id]": "SKU",
        "items[0][quantity]": "three",
        "items[0][product][id]": "P",
        "items[0][product][name]": "N",
        "items[0][product][price]": "8",
    }
    pixel(server, f"{urlencode(event)}&{MINE}")
    until(lambda: [one["processed"] for one in server.trace("typed")] == [True], "the event to be processed")
    (found,) = server.trace("typed")
    processed = found["payload"]
    assert isinstance(processed, dict)
    assert (processed["revenue"], processed["value"], processed["id"], processed["zip"]) == (16, 20, "007", "075")
    assert processed["items"][0]["quantity"] == "three"
    assert found["status"] == "invalid_accepted"
    assert found["endpoint"] == "pixel"


@pytest.mark.parametrize(("size", "status"), [(32_768, 200), (32_769, 400)])
def test_the_limit_of_a_query_is_inclusive(server: Server, records: Records, size: int, status: int) -> None:
    query = f"{MINE}&event_name=x&long=".ljust(size, "y")
    reply, (found,) = records.of(lambda: pixel(server, query))
    assert reply.status == status
    assert ask(server.port, f"/events?{query}", "HEAD").status == status
    if status == 400:
        assert reply.body == b""
        assert ([reason.code for reason in found.reasons], found.source) == (["payload_too_large"], "29/backend")
        assert found.payload == b""


def test_a_line_over_40_kb_is_no_request(server: Server, records: Records) -> None:
    reply, found = records.of(lambda: pixel(server, MINE.ljust(41_000, "y")))
    assert (reply.status, found) == (414, [])


def test_head_is_a_pixel_without_body_and_without_event(server: Server, records: Records) -> None:
    start = records.log.end(ACCEPTED)
    with RawClient(server.port) as client:
        for _ in range(2):
            client.send(f"HEAD /events?{MINE}&event_name=x HTTP/1.1\r\nHost: t\r\n\r\n".encode())
            found = client.read(head=True)
            assert found is not None
            assert (found.status, found.headers["content-type"], found.headers["content-length"]) == (
                200,
                "image/gif",
                "43",
            )
    assert records.log.end(ACCEPTED) == start


@pytest.mark.parametrize("prefix", ["", "/gateway", "/metrics"])
@pytest.mark.parametrize("path", ["/events", "/events/", "/cdp/events", "/cdp/events/"])
def test_every_spelling_of_the_path_takes_events_both_ways(
    server: Server, records: Records, prefix: str, path: str
) -> None:
    reply, (got,) = records.of(lambda: pixel(server, f"{MINE}&event_name=x", path=prefix + path))
    assert is_pixel(reply)
    batch = f"{prefix}{path.rstrip('/')}/batch"
    single, (one,) = records.of(lambda: ask(server.port, f"{prefix}{path}?{MINE}", "POST", body={"event_name": "x"}))
    many, (two,) = records.of(
        lambda: ask(server.port, f"{batch}?{MINE}", "POST", body={"batch": [{"event_name": "x"}]})
    )
    assert (single.body, many.body) == (b"{}", b"{}")
    assert {got.source, one.source, two.source} == {"29/backend"}
    preflight = ask(server.port, prefix + path, "OPTIONS", {"Origin": "https://shop.example"})
    assert (preflight.status, preflight.headers["access-control-max-age"]) == (204, "86400")


@pytest.mark.parametrize("prefix", ["", "/gateway", "/metrics"])
@pytest.mark.parametrize("path", ["/healthy", "/healthy/", "/g/healthy", "/?validate_geo=healthy"])
def test_every_form_of_the_health_check(server: Server, prefix: str, path: str) -> None:
    reply = ask(server.port, prefix + path)
    assert (reply.status, reply.body) == (200, b"ok")
    assert ask(server.port, prefix + path, "POST", body={}).status == 405


@pytest.mark.parametrize(
    "path", ["/", "/?validate_geo=sick", "/metrics", "/nowhere/events", "/gateway", "/metrics/gateway/events"]
)
def test_what_is_not_here(server: Server, path: str) -> None:
    assert ask(server.port, path).status == 404


@pytest.mark.parametrize("path", ["/tag.js", "/cdp/tag.js", "/metrics/tag.js", "/gateway/cdp/tag.js"])
def test_the_tag_is_served_compressed_and_not_sent_again(server: Server, path: str) -> None:
    whole = ask(server.port, path, headers={"Origin": "https://shop.example"})
    packed = ask(server.port, path, headers={"Accept-Encoding": "gzip, br"})
    assert (whole.status, packed.headers["content-encoding"]) == (200, "gzip")
    assert len(packed.body) < 4096 < len(whole.body)
    for reply in (whole, packed):
        assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
        assert reply.headers["cache-control"].startswith("public")
        assert (reply.headers["access-control-allow-origin"], reply.headers["vary"]) == ("*", "Accept-Encoding")
    known = {"If-None-Match": whole.headers["etag"]}
    again = ask(server.port, path, headers=known)
    assert (again.status, again.body) == (304, b"")
    head = ask(server.port, path, "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(whole.body)))


def test_a_body_of_a_get_is_read_and_ignored(server: Server, records: Records) -> None:
    reply, (found,) = records.of(lambda: ask(server.port, f"/events?{MINE}&event_name=x", body=b"{"))
    assert is_pixel(reply)
    assert found.status == "valid"


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=()), max_size=8)
KEYS = st.sampled_from(["a", "user", "context", "items", "properties", "event_name", "tc_x", "token", "", "%", "ü"])
SEGMENTS = st.sampled_from(["[]", "[0]", "[1]", "[x]", "[", "]", "[[", "%5B%5D", "[event_id]", "[device]", "[ip]"])
PAIRS = st.builds(
    lambda key, segments, value: f"{key}{''.join(segments)}={value}",
    KEYS,
    st.lists(SEGMENTS, max_size=4),
    TEXT | st.sampled_from(["%00", "%ZZ", "%ff", "1" * 400, "1e400", "ALL", "+", "=", "null"]),
)


@settings(max_examples=150, deadline=None)
@given(pairs=st.lists(PAIRS, max_size=12), key=st.sampled_from([KEY, BACKEND]))
def test_any_query_gets_its_pixel_and_one_record(server: Server, records: Records, pairs: list[str], key: str) -> None:
    query = "".join(
        chr(byte) if 0x21 <= byte < 0x7F and byte != 0x23 else f"%{byte:02X}"
        for byte in "&".join(pairs).encode("utf-8", "replace")
    )
    reply, (record,) = records.of(lambda: pixel(server, f"tc_s=29&tc_skey={key}&{query}"))
    assert is_pixel(reply)
    assert isinstance(json.loads(record.payload), dict)
