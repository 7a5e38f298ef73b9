"""GA4 hits against a running server: one event each, on and off per source, never refused for their syntax (§11)."""

import gzip
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.server import BACKEND, KEY, Server
from tests.support.web import Records, Reply, ask, payload, records_of
from turnout.collect.ga4 import HITS

CONFIG = f"""
sites:
  "29":
    first_party: [shop.example]
    sources:
      shop: {{type: web, key: {KEY}}}
      backend: {{type: server, key: {BACKEND}, ga4_bridge: false}}
"""
OURS = f"tc_s=29&token={KEY}&"
HIT = "/g/collect?v=2&tid=G-1&cid=5.6&en=page_view"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("ga4") / "data", CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def records(server: Server) -> Iterator[Records]:
    with records_of(server) as found:
        yield found


class Hit(NamedTuple):
    name: str
    query: str
    body: bytes | None
    events: list[tuple[str, str]]
    """The name and the hit of each event."""


@pytest.mark.parametrize(
    "hit",
    [
        Hit("proxy mode", f"{OURS}event_name=ga_session_start&ga_url_param={HIT}", b"", [("ga_session_start", HIT)]),
        Hit("tutorial", f"{OURS}&ga_url_param={HIT}", b"", [("page_view", HIT)]),
        Hit("by GET", f"{OURS}ga_url_param={HIT}", None, [("page_view", HIT)]),
        Hit(
            "lines",
            f"{OURS}ga_url_param=/g/collect?v=2",
            b"en=scroll&epn.x=1\r\nen=click",
            [("scroll", "/g/collect?v=2&en=scroll&epn.x=1"), ("click", "/g/collect?v=2&en=click")],
        ),
        Hit(
            "bytes that are no JSON",
            f"{OURS}ga_url_param=/g/collect?v=2",
            b"en=a&x=\xff{",
            [("a", "/g/collect?v=2&en=a&x=�{")],
        ),
        Hit(
            "credentials of the hit",
            f"{OURS}ga_url_param={HIT}&token=evil&tc_s=1",
            b"",
            [("page_view", f"{HIT}&token=evil&tc_s=1")],
        ),
    ],
    ids=lambda hit: hit.name,
)
@pytest.mark.parametrize("path", ["/events", "/events/batch"])
def test_each_hit_is_an_event(server: Server, records: Records, hit: Hit, path: str) -> None:
    if hit.body is None and path == "/events/batch":
        path = "/cdp/events"
    method = "GET" if hit.body is None else "POST"
    text = {"Content-Type": "text/plain"}
    reply, found = records.of(lambda: ask(server.port, f"{path}?{hit.query}", method, text, hit.body))
    assert reply.status == 200
    assert reply.body == b"{}" or method == "GET"
    assert [(record.name, payload(record)["ga_url_param"]) for record in found] == hit.events
    assert {(record.status, record.source) for record in found} == {("valid", "29/shop")}
    assert [record.batch_index for record in found] == (list(range(len(found))) if len(found) > 1 else [-1])
    for record in found:
        assert not {"en", "cid", "tid", "token", "tc_s"} & set(payload(record))


def send(server: Server, query: str, body: bytes, **headers: str) -> Reply:
    return ask(server.port, f"/events?{query}", "POST", headers, body)


def test_visitors_of_hits_get_a_cookie(server: Server, records: Records) -> None:
    query = f"{OURS}ga_url_param=/g/collect?v=2"
    reply, found = records.of(lambda: send(server, query, b"en=a\nen=b", Host="c.shop.example"))
    made = reply.headers["set-cookie"][5:29]
    assert [payload(record)["user"] for record in found] == [{"consistent_anonymous_id": made}] * 2


def test_what_is_wrong_with_a_hit_is_recorded(server: Server, records: Records) -> None:
    for query, body, code in (
        (f"{OURS}ga_url_param=/g/collect?v=2", b"", "missing_event_name"),
        (f"tc_s=29&token=no&ga_url_param={HIT}", b"x", "unknown_source_key"),
        (f"tc_s=29&token={BACKEND}&ga_url_param={HIT}", b"x", "ga4_bridge_disabled"),
        (f"{OURS}ga_url_param={HIT}&x={'y' * 32_000}", b"en=a&z=" + b"z" * 32_000, "batch_item_too_large"),
    ):
        reply, found = records.of(lambda query=query, body=body: send(server, query, body))  # type: ignore[misc]
        assert (reply.status, reply.body) == (200, b"{}")
        assert code in {reason.code for record in found for reason in record.reasons}, code


def test_hits_over_the_bound_are_dropped_with_a_warning(server: Server, records: Records) -> None:
    body = b"\n".join(b"en=x%d" % number for number in range(HITS + 5))
    _, found = records.of(lambda: send(server, f"{OURS}ga_url_param=/g/collect", body))
    assert len(found) == HITS
    assert {"too_many_ga4_hits" in record.warnings for record in found} == {True}


def test_only_size_and_encoding_are_refused(server: Server) -> None:
    query = f"{OURS}ga_url_param=/g/collect"
    assert send(server, query, b"en=a&x=" + b"x" * 32_768).status == 400
    assert send(server, query, b"en=a", **{"Content-Encoding": "br"}).status == 400
    assert send(server, query, gzip.compress(b"en=a"), **{"Content-Encoding": "gzip"}).status == 200
