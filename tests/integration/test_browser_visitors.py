"""Who visits and from where, against a running server: CAID, consent, addresses, proxies (`collect.md` §7, §8, §16)."""

import re
import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.raw import RawClient
from tests.support.server import BACKEND, KEY, Server
from tests.support.web import Records, Reply, ask, payload, records_of
from turnout.model.event import Location, Received

APP, ASKING, CUT, DROPPED, STRICT, OTHER = "k-app", "k-asking", "k-cut", "k-dropped", "k-strict", "k-other"
CONFIG = f"""
sites:
  "29":
    first_party: [shop.example, fr.shop.example]
    sources:
      shop: {{type: web, key: {KEY}}}
      app: {{type: mobile, key: {APP}}}
      backend: {{type: server, key: {BACKEND}}}
      asking: {{type: web, key: {ASKING}, cookie_requires_consent: true}}
      cut: {{type: web, key: {CUT}, ip: truncate}}
      dropped: {{type: server, key: {DROPPED}, ip: drop}}
      strict: {{type: web, key: {STRICT}, trust_client_ip: false}}
    destinations:
      archive: {{type: file, sources: [shop], settings: {{path: out/events.ndjson}}}}
  "30":
    sources:
      other: {{type: web, key: {OTHER}}}
"""
FIRST = {"Host": "collect.shop.example"}
NEW = re.compile(
    r"CAID=(20\d{2}\d{20}); Domain=\.shop\.example; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("visitors") / "data"
    with Server(data, CONFIG, TURNOUT_TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8") as running:
        yield running


@pytest.fixture(scope="module")
def records(server: Server) -> Iterator[Records]:
    with records_of(server) as found:
        yield found


def send(
    server: Server,
    event: object,
    key: str = KEY,
    headers: dict[str, str] | None = None,
    more: str = "",
    site: str = "29",
) -> Reply:
    path = "/events/batch" if isinstance(event, dict) and "batch" in event else "/events"
    return ask(server.port, f"{path}?tc_s={site}&token={key}{more}", "POST", headers, event)


def user(record: Received) -> object:
    return payload(record).get("user")


def device(record: Received) -> object:
    context = payload(record)["context"]
    assert isinstance(context, dict)
    return context.get("device")


class Case(NamedTuple):
    name: str
    user: dict[str, object] | None
    headers: dict[str, str]
    known_as: object
    """What `user.consistent_anonymous_id` must be; "new": what the new cookie says."""
    cookie: str = ""
    """The value set; "new": one that the server made; "": none."""
    key: str = KEY
    more: str = ""
    site: str = "29"


HELD = {**FIRST, "Cookie": "a=b; CAID=202411112222333344445555; c=d"}
NOT_HERE = {"Host": "127.0.0.1"}


@pytest.mark.parametrize(
    "case",
    [
        Case("cookie, no id", {}, HELD, "202411112222333344445555"),
        Case("cookie, no user", None, HELD, "202411112222333344445555"),
        Case("cookie, another id", {"consistent_anonymous_id": "mine"}, HELD, "mine"),
        Case("no cookie, an id", {"consistent_anonymous_id": "mine-1"}, FIRST, "mine-1", "mine-1"),
        Case("no cookie, a number", {"consistent_anonymous_id": 42}, FIRST, "42", "42"),
        Case("no cookie, an id that is none for cookies", {"consistent_anonymous_id": "a;b"}, FIRST, "a;b"),
        Case("no cookie, no id", {}, FIRST, "new", "new"),
        Case("no cookie, no user", None, FIRST, "new", "new"),
        Case("a cookie of 25 digits", {}, {**FIRST, "Cookie": "CAID=" + "1" * 25}, "1" * 25),
        Case("a cookie that is no id", {}, {**FIRST, "Cookie": "CAID=a b"}, "new", "new"),
        Case("a cookie of another name", {}, {**FIRST, "Cookie": "XCAID=1; caid=2"}, "new", "new"),
        Case("do not track", {}, FIRST, None, more="&tc_do_not_track=1"),
        Case("do not track, with a cookie", {}, HELD, None, more="&tc_do_not_track=true"),
        Case("do not track, with an id", {"consistent_anonymous_id": "x"}, FIRST, "x", more="&tc_do_not_track"),
        Case("tracking said to be fine", {}, FIRST, "new", "new", more="&tc_do_not_track=0"),
        Case("mobile", {}, FIRST, "new", "new", key=APP),
        Case("server", {}, HELD, None, key=BACKEND),
        Case("another host", {}, NOT_HERE, None),
        Case("another host, with a cookie", {}, {**NOT_HERE, "Cookie": "CAID=77"}, "77"),
        Case("a host that ends alike", {}, {"Host": "evilshop.example"}, None),
        Case("the domain itself, with a port", {}, {"Host": "SHOP.example.:8443"}, "new", "new"),
        Case("a site without domains", {}, FIRST, None, key=OTHER, site="30"),
        Case("host by a trusted proxy", {}, {**NOT_HERE, "X-Forwarded-Host": "collect.shop.example"}, "new", "new"),
        Case("plain HTTP before the proxy", {}, {**FIRST, "X-Forwarded-Proto": "http"}, None),
        Case("HTTPS before the proxy", {}, {**FIRST, "X-Forwarded-Proto": "https"}, "new", "new"),
        Case("consent asked, none given", {"consent_categories": []}, FIRST, None, key=ASKING),
        Case("consent asked, none known", {}, FIRST, None, key=ASKING),
        Case("consent asked and given", {"consent_categories": ["2"]}, FIRST, "new", "new", key=ASKING),
        Case(
            "consent asked, a cookie is there", {"consent_categories": []}, HELD, "202411112222333344445555", key=ASKING
        ),
    ],
    ids=lambda case: case.name,
)
def test_the_visitor_keeps_an_identity(server: Server, records: Records, case: Case) -> None:
    event = {"event_name": "x"} if case.user is None else {"event_name": "x", "user": case.user}
    reply, (record,) = records.of(lambda: send(server, event, case.key, case.headers, case.more, case.site))
    assert (reply.status, reply.body) == (200, b"{}")
    given = reply.headers.get("set-cookie", "")
    value = given.partition(";")[0].removeprefix("CAID=")
    if case.cookie == "new":
        assert NEW.fullmatch(given)
    else:
        assert value == case.cookie
    held = user(record)
    found = held.get("consistent_anonymous_id") if isinstance(held, dict) else None
    assert found == (value if case.known_as == "new" else case.known_as)


def test_the_cookie_comes_once_and_by_pixel_too(server: Server, records: Records) -> None:
    target = f"/events?tc_s=29&token={KEY}&event_name=x"
    first, (one,) = records.of(lambda: ask(server.port, target, headers=FIRST))
    match = NEW.fullmatch(first.headers["set-cookie"])
    assert match
    assert user(one) == {"consistent_anonymous_id": match[1]}
    again = {**FIRST, "Cookie": f"CAID={match[1]}"}
    second, (two,) = records.of(lambda: ask(server.port, target, headers=again))
    assert "set-cookie" not in second.headers
    assert user(two) == {"consistent_anonymous_id": match[1]}


def test_a_cookie_is_for_the_most_particular_domain(server: Server) -> None:
    reply = send(server, {"event_name": "x"}, headers={"Host": "c.fr.shop.example"})
    assert "; Domain=.fr.shop.example;" in reply.headers["set-cookie"]


def test_the_events_of_a_batch_are_one_visitors(server: Server, records: Records) -> None:
    batch = {"batch": [{"event_name": ""}, {"event_name": "a"}, {"event_name": "b", "user": {"id": "1"}}]}
    reply, found = records.of(lambda: send(server, batch, headers=FIRST))
    made = reply.headers["set-cookie"][5:29]
    assert [record.status for record in found] == ["rejected", "valid", "valid"]
    assert [user(record) for record in found[1:]] == [
        {"consistent_anonymous_id": made},
        {"id": "1", "consistent_anonymous_id": made},
    ]


@pytest.mark.parametrize(
    "event",
    [{}, {"event_name": "x", "context": {"event_timestamp": 5}}, b"{", b"{" * 40_000, {"batch": [3]}],
    ids=["no name", "no time", "no JSON", "too large", "no event"],
)
def test_what_is_refused_brings_no_cookie(server: Server, event: object) -> None:
    assert "set-cookie" not in send(server, event, headers=FIRST).headers


class Asked(NamedTuple):
    query: str
    cookie: str
    body: bytes
    fetch_site: str = ""


@pytest.mark.parametrize(
    "asked",
    [
        Asked("name=TCID", "TCID=7; CAID=8", b'{"TCID":"7"}'),
        Asked("tc_s=29&name=CAID", "TCID=7; CAID=8", b'{"CAID":"8"}'),
        Asked("name=CAID", "", b'{"CAID":""}'),
        Asked("name=session", "session=secret", b'{"session":""}'),
        Asked("name=caid", "CAID=8; caid=9", b'{"caid":""}'),
        Asked("", "CAID=8", b"{}"),
        Asked("name=CAID&tc_do_not_track=1", "CAID=8", b'{"CAID":""}'),
        Asked("name=%3Cscript%3E", "", b'{"<script>":""}'),
        Asked("name=CAID", "CAID=8", b'{"CAID":"8"}', "same-site"),
        Asked("name=CAID", "CAID=8", b'{"CAID":""}', "cross-site"),
    ],
    ids=lambda asked: f"{asked.query} {asked.cookie} {asked.fetch_site}",
)
def test_a_page_may_ask_for_its_identifier_and_nothing_else(server: Server, asked: Asked) -> None:
    origin = {"Origin": "https://www.shop.example", "Cookie": asked.cookie, "Sec-Fetch-Site": asked.fetch_site}
    reply = ask(server.port, f"/get-cookie?{asked.query}", headers=origin)
    assert (reply.status, reply.body) == (200, asked.body)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["access-control-allow-origin"] == "https://www.shop.example"
    assert reply.headers["access-control-allow-credentials"] == "true"
    assert "set-cookie" not in reply.headers


FROM = {"X-Forwarded-For": "203.0.113.45"}


class Seen(NamedTuple):
    name: str
    headers: dict[str, str]
    ip: str
    """That a web source's event gets."""


@pytest.mark.parametrize(
    "seen",
    [
        Seen("nothing said", {}, "127.0.0.1"),
        Seen("the client", FROM, "203.0.113.45"),
        Seen("what the client made up", {"X-Forwarded-For": "1.2.3.4, 203.0.113.45"}, "203.0.113.45"),
        Seen("two proxies", {"X-Forwarded-For": "1.2.3.4, 203.0.113.45, 10.1.2.3"}, "203.0.113.45"),
        Seen("with a port", {"X-Forwarded-For": "203.0.113.45:5678"}, "203.0.113.45"),
        Seen("IPv6", {"X-Forwarded-For": "[2001:DB8::1]:443"}, "2001:db8::1"),
        Seen("mapped", {"X-Forwarded-For": "::ffff:203.0.113.45"}, "203.0.113.45"),
        Seen("Forwarded", {"Forwarded": 'for="[2001:db8::2]:80";proto=https, for=10.0.0.9'}, "2001:db8::2"),
        Seen("both", {"X-Forwarded-For": "203.0.113.45", "Forwarded": "for=1.2.3.4"}, "203.0.113.45"),
        Seen("unknown", {"X-Forwarded-For": "unknown"}, ""),
    ],
    ids=lambda seen: seen.name,
)
def test_the_address_is_what_trusted_proxies_say(server: Server, records: Records, seen: Seen) -> None:
    _, (record,) = records.of(lambda: send(server, {"event_name": "x"}, headers={**seen.headers, "User-Agent": "UA"}))
    assert device(record) == ({"ip": seen.ip} if seen.ip else {}) | {"user_agent": "UA"}
    _, (record,) = records.of(lambda: send(server, {"event_name": "x"}, BACKEND, seen.headers))
    assert device(record) is None, "a server's connection is not its client's"


def test_headers_that_stand_twice_are_one_list(server: Server, records: Records) -> None:
    body = b'{"event_name":"x"}'
    head = (
        f"POST /events?tc_s=29&token={KEY} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
        "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 203.0.113.45\r\nX-Forwarded-For: 10.0.0.1\r\n"
        f"Cookie: a=b\r\nCookie: CAID=77\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    def act() -> Reply:
        with RawClient(server.port) as client:
            client.send(head.encode() + body)
            found = client.read()
            assert found is not None
            return Reply(*found)

    _, (record,) = records.of(act)
    assert device(record) == {"ip": "203.0.113.45"}
    assert user(record) == {"consistent_anonymous_id": "77"}


def test_where_the_client_is_stays_beside_the_event_and_is_shown(server: Server, records: Records) -> None:
    said = {"X-Forwarded-Country": "FR", "X-Forwarded-Region": "IDF", "X-Forwarded-CountryRegion": "FR-IDF"}
    event = {"event_name": "x", "context": {"event_id": "located"}}
    _, (record,) = records.of(lambda: send(server, event, headers=said))
    assert record.location == Location("FR", "IDF", "FR-IDF")
    assert b"IDF" not in record.payload
    (found,) = server.trace("located")
    assert found["location"] == {"country": "FR", "region": "IDF", "country_region": "FR-IDF"}
    assert b"location   FR IDF FR-IDF" in server.run("trace", "located").stdout
    _, (record,) = records.of(lambda: send(server, {}, headers=said))
    assert (record.status, record.location) == ("rejected", Location("FR", "IDF", "FR-IDF"))


GIVEN: dict[str, object] = {"event_name": "x", "context": {"device": {"ip": "198.51.100.23"}}}
GIVEN_V1 = {"event_name": "x", "event_id": "1", "properties": {"a": 1}, "device": {"ip": "2001:db8:1:2:3:4:5:6"}}


class Kept(NamedTuple):
    name: str
    key: str
    event: object
    ip: str | None


@pytest.mark.parametrize(
    "kept",
    [
        Kept("sent and trusted", KEY, GIVEN, "198.51.100.23"),
        Kept("sent and not trusted", STRICT, GIVEN, "203.0.113.45"),
        Kept("filled in and cut", CUT, {"event_name": "x"}, "203.0.113.0"),
        Kept("sent and cut", CUT, GIVEN, "198.51.100.0"),
        Kept("sent in version 1 and cut", CUT, GIVEN_V1, "2001:db8:1::"),
        Kept("sent and dropped", DROPPED, GIVEN, None),
        Kept("sent in version 1 and dropped", DROPPED, GIVEN_V1, None),
    ],
    ids=lambda kept: kept.name,
)
def test_no_more_of_an_address_is_stored_than_the_source_says(server: Server, records: Records, kept: Kept) -> None:
    _, (record,) = records.of(lambda: send(server, kept.event, kept.key, FROM))
    held = device(record)
    assert isinstance(held, dict)
    assert held.get("ip") == kept.ip
    if kept.key in (CUT, DROPPED):
        for whole in (b"203.0.113.45", b"198.51.100.23", b"2001:db8:1:2"):
            assert whole not in record.payload + record.raw
    if kept.event is GIVEN_V1:
        assert record.raw, "what came is kept beside what became of it"


@pytest.mark.parametrize(
    "body",
    [
        {**GIVEN, "event_name": ""},
        {"event_name": "x", "context": {"event_timestamp": 5, "device": {"ip": "198.51.100.23"}}},
        b'{"ip": "198.51.100.23',
        b'{"a": "' + b"x" * 2_030 + b'198.51.100.23"',
        {"batch": ["198.51.100.23"]},
    ],
    ids=["name", "time", "no JSON", "at the cut", "no event"],
)
@pytest.mark.parametrize(("key", "left"), [(CUT, b"198.51.100.0"), (DROPPED, b"")])
def test_nor_in_what_is_refused(server: Server, records: Records, body: object, key: str, left: bytes) -> None:
    _, (record,) = records.of(lambda: send(server, body, key))
    assert record.status == "rejected"
    assert b"198.51.100.23" not in record.payload
    assert re.findall(rb"198[\d.]*", record.payload) in ([left] if left else [], [])


# Nobody is trusted who is not named


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that trusts a network in which the tests are not."""
    data = tmp_path_factory.mktemp("alone") / "data"
    with Server(data, CONFIG, TURNOUT_TRUSTED_PROXIES="10.0.0.0/8", TURNOUT_PROXY_PROTOCOL="on") as running:
        yield running


def test_strangers_are_not_believed(alone: Server) -> None:
    claims = {
        **FROM,
        "Forwarded": "for=1.2.3.4",
        "X-Forwarded-Host": "collect.shop.example",
        "X-Forwarded-Country": "FR",
    }
    with records_of(alone) as records:
        reply, (record,) = records.of(lambda: send(alone, {"event_name": "x"}, headers=claims))
    assert "set-cookie" not in reply.headers
    held = device(record)
    assert isinstance(held, dict)
    assert (held["ip"], record.location) == ("127.0.0.1", None)


def test_a_proxy_protocol_header_of_a_stranger_is_no_request(alone: Server) -> None:
    with RawClient(alone.port) as client:
        client.send(b"PROXY TCP4 203.0.113.45 127.0.0.1 5 80\r\nGET /healthy HTTP/1.1\r\nHost: t\r\n\r\n")
        assert [one.status for one in client.rest()] == [400]


# PROXY protocol


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server behind a load balancer that passes connections on."""
    data = tmp_path_factory.mktemp("balanced") / "data"
    environment = {"TURNOUT_TRUSTED_PROXIES": "127.0.0.1", "TURNOUT_PROXY_PROTOCOL": "on", "TURNOUT_HEAD_SECONDS": "1"}
    with Server(data, CONFIG, **environment) as running:
        yield running


V2 = b"\r\n\r\n\0\r\nQUIT\n"
VERSION_1 = b"PROXY TCP4 203.0.113.45 127.0.0.1 5678 80\r\n"
VERSION_2 = V2 + b"\x21\x11\0\x0c" + socket.inet_aton("203.0.113.45") + socket.inet_aton("127.0.0.1") + b"\1\2\0\x50"
PIXEL = f"GET /events?tc_s=29&token={KEY}&event_name=x HTTP/1.1\r\nHost: t\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("preface", "ip"),
    [
        (VERSION_1, "203.0.113.45"),
        (VERSION_2, "203.0.113.45"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (V2 + b"\x20\0\0\0", "127.0.0.1"),
    ],
    ids=["version 1", "version 2", "unknown", "local"],
)
@pytest.mark.parametrize("whole", [True, False], ids=["at once", "byte by byte"])
def test_the_load_balancer_says_who_connects(balanced: Server, preface: bytes, ip: str, whole: bool) -> None:
    def act() -> Reply:
        with RawClient(balanced.port) as client:
            sent = preface + PIXEL
            client.send(*([sent] if whole else [bytes((byte,)) for byte in sent]))
            client.send(PIXEL)
            first, second = client.read(), client.read()
            assert first is not None
            assert second is not None
            return Reply(*second)

    with records_of(balanced) as records:
        reply, found = records.of(act)
    assert reply.status == 200
    assert [device(record) for record in found] == [{"ip": ip}] * 2


@pytest.mark.parametrize(
    "start", [PIXEL, b"PROXY TCP4 x y 1 2\r\n" + PIXEL, V2[:-1] + b"X" + PIXEL, b"\0" + PIXEL, b""]
)
def test_a_connection_from_the_load_balancer_that_starts_otherwise_ends_without_an_answer(
    balanced: Server, start: bytes
) -> None:
    with records_of(balanced) as records:
        before = records.log.end("accepted")
        with RawClient(balanced.port) as client:
            client.send(start)
            assert client.rest() == []
        assert records.log.end("accepted") == before


def test_the_operator_is_told_of_it_once(balanced: Server) -> None:
    assert balanced.errors.count("no PROXY protocol header from a trusted proxy") == 1
