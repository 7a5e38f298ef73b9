"""The API over HTTP, beside traffic that flows: what it shows is what there is, and it does what it says."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.server import BACKEND, KEY, Server, until
from turnout.control.access.logins import BURST

ARCHIVE, ORDERS, ELSEWHERE = "archive", "orders", "elsewhere"
SECRET = "4f1c2b7a90-not-to-be-seen"
SITE_31_KEY = "b1946ac9-2490-4a5b-9d61-000000000031"
CONFIG = f"""
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}, allowed_origins: ["https://shop.example"]}}
      backend: {{type: server, key: {BACKEND}, environment: staging}}
    destinations:
      archive: {{type: file, sources: [shop, backend], settings: {{path: out/events.ndjson}}}}
      orders:
        type: webhook
        sources: [backend]
        event_names: [purchase]
        settings: {{url: "http://user:{SECRET}@127.0.0.1:PORT/in?key={SECRET}", headers: {{X-Api-Key: {SECRET}}}}}
        delivery: {{max_attempts: 1}}
  "31":
    sources:
      other: {{type: server, key: {SITE_31_KEY}}}
    destinations:
      elsewhere: {{type: file, sources: [other], settings: {{path: out/31.ndjson}}}}
"""
USER = {"id": "42", "email": "ada@example.org", "firstname": "Ada", "consent_categories": ["1"]}


class Partner:
    """A receiver that answers what a test decides, and echoes the event when it refuses."""

    def __init__(self) -> None:
        self.status = 404
        partner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(partner.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class Scene:
    """A server with traffic, and tokens to look at it."""

    def __init__(self, server: Server, partner: Partner) -> None:
        self.server, self.partner = server, partner
        self.admin = token_for(server, "admin", "29")
        self.viewer = token_for(server, "viewer", "29")

    def get(self, path: str, token: str | None = None, **headers: str) -> Reply:
        return call(self.server, "GET", path, token or self.admin, headers=headers)

    def data(self, path: str, token: str | None = None) -> list[dict[str, object]]:
        """The data of a list."""
        reply = self.get(path, token)
        assert reply.status == 200, reply.body
        return items(reply.json["data"])

    def replay(self, query: str = "", **attributes: object) -> Reply:
        body = {"data": {"type": "dead-letter-replays", "attributes": attributes}}
        return call(self.server, "POST", f"/v2/29/dead-letters/replay{query}", self.admin, body)

    def send(self, event_id: str, name: str = "login", site: str = "29", key: str = BACKEND) -> None:
        event = {
            "event_name": name,
            "user": USER,
            "context": {"event_id": event_id, "device": {"ip": "203.0.113.77", "cookie": "c-1"}},
        }
        assert self.server.post(event, query=f"tc_s={site}&token={key}")[0] == 200

    def settled(self, event_id: str) -> dict[str, object]:
        """The attributes of its trace, once nothing more will happen to it."""
        found: dict[str, object] = {}

        def done() -> bool:
            reply = self.get(f"/v2/29/inspector/events/{event_id}")
            if reply.status != 200:
                return False
            nonlocal found
            attributes = at(reply.json, "data", "attributes")
            assert isinstance(attributes, dict)
            found = attributes
            fates = items(found["destinations"])
            return bool(fates) and all(fate["status"] != "pending" for fate in fates)

        until(done, f"{event_id} to be settled")
        return found

    def number(self, kind: str, label: str) -> int:
        """The id of a source or destination."""
        found = next(one for one in self.data(f"/v2/29/{kind}") if at(one, "attributes", "label") == label)
        assert isinstance(found["id"], int)
        return found["id"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    partner = Partner()
    config = CONFIG.replace("PORT", str(partner.port))
    try:
        with Server(tmp_path_factory.mktemp("api") / "data", config) as server:
            yield Scene(server, partner)
    finally:
        partner.close()


@pytest.fixture(scope="module")
def refused(scene: Scene) -> list[str]:
    """Three purchases that the partner has refused for good, oldest first."""
    names = ["o-1", "o-2", "o-3"]
    for name in names:
        scene.send(name, "purchase")
        scene.settled(name)
    return names


# what is configured


def test_sources_and_destinations_are_those_of_the_configuration_linked_by_numbers(scene: Scene) -> None:
    sources, destinations = scene.data("/v2/29/sources"), scene.data("/v2/29/destinations")
    numbers = [one["id"] for one in sources + destinations]
    assert len(set(numbers)) == 4
    assert all(isinstance(one, int) for one in numbers)
    assert [at(one, "attributes", "label") for one in sources] == ["shop", "backend"]
    assert [at(one, "attributes", "label") for one in destinations] == [ARCHIVE, ORDERS]
    backend, orders = sources[1], destinations[1]
    assert at(orders, "relationships", "sources", "data") == [{"type": "integrations", "id": str(backend["id"])}]
    linked = at(backend, "relationships", "destinations", "data")
    assert linked == [{"type": "integrations", "id": str(one["id"])} for one in destinations]
    single = scene.get(f"/v2/29/destinations/{orders['id']}")
    assert single.json["data"] == orders
    assert at(orders, "attributes", "event_names") == ["purchase"]
    assert at(orders, "attributes", "delivery", "max_attempts") == 1


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("sources?filter[status]=active", ["shop", "backend"]),
        ("sources?filter[status]=inactive,deleted", []),
        ("sources?filter[environment]=staging", ["backend"]),
        ("sources?filter[environment]=staging&filter[environment]=production", ["shop", "backend"]),
        ("sources?filter[template]=web", ["shop"]),
        ("sources?filter[search]=HO", ["shop"]),
        ("sources?filter[destination]={orders}", ["backend"]),
        ("sources?filter[destination]=9999", []),
        ("destinations?filter[source]={shop}", [ARCHIVE]),
        ("destinations?filter[dry_mode]=true", []),
        ("destinations?filter[dry_mode]=false&filter[template]=webhook", [ORDERS]),
        ("destinations?page[size]=1", [ARCHIVE]),
        ("destinations?page[size]=1&page[number]=2", [ORDERS]),
        ("destinations?page[number]=3", []),
    ],
)
def test_lists_are_filtered_and_paged(scene: Scene, query: str, labels: list[str]) -> None:
    numbers = {"orders": scene.number("destinations", ORDERS), "shop": scene.number("sources", "shop")}
    found = scene.data(f"/v2/29/{query.format(**numbers)}")
    assert [at(one, "attributes", "label") for one in found] == labels


def test_pages_of_the_configuration_lead_to_each_other(scene: Scene) -> None:
    seen = []
    path = "/v2/29/sources?filter[status]=active&page[size]=1"
    while path:
        document = scene.get(path).json
        seen += [at(one, "attributes", "label") for one in items(document["data"])]
        assert at(document, "meta", "pagination", "total_pages") == 2
        links = document["links"]
        assert isinstance(links, dict)
        path = links.get("next", "")
    assert seen == ["shop", "backend"]


def test_nobody_sees_a_secret_and_keys_need_their_scope(scene: Scene) -> None:
    for token in (scene.admin, scene.viewer):
        for path in ("/v2/29/destinations", f"/v2/29/destinations/{scene.number('destinations', ORDERS)}"):
            reply = scene.get(path, token)
            assert reply.status == 200
            assert SECRET.encode() not in reply.body
    settings = at(scene.data("/v2/29/destinations")[1], "attributes", "settings")
    assert at(settings, "headers") == {"set": True}
    assert at(settings, "secret") == {"set": False}
    assert at(settings, "url") == f"http://user:***@127.0.0.1:{scene.partner.port}/in?key=***"
    keys = [at(one, "attributes", "integration_key") for one in scene.data("/v2/29/sources")]
    assert keys == [KEY, BACKEND]
    assert [at(one, "attributes", "integration_key") for one in scene.data("/v2/29/sources", scene.viewer)] == [
        None
    ] * 2


def test_what_belongs_to_another_site_is_not_found_by_its_number(scene: Scene) -> None:
    other = token_for(scene.server, "admin", "31")
    (source,) = items(call(scene.server, "GET", "/v2/31/sources", other).json["data"])
    (destination,) = items(call(scene.server, "GET", "/v2/31/destinations", other).json["data"])
    for path in (f"sources/{source['id']}", f"destinations/{destination['id']}", "sources/0", "sources/abc"):
        reply = scene.get(f"/v2/29/{path}")
        assert (reply.status, reply.codes) == (404, ["NOT_FOUND"])


def test_a_resource_that_has_not_changed_is_not_sent_again(scene: Scene) -> None:
    path = f"/v2/29/sources/{scene.number('sources', 'shop')}"
    first = scene.get(path)
    again = scene.get(path, **{"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert scene.get(path, **{"If-None-Match": '"other"'}).status == 200
    assert scene.get(path, scene.viewer).headers["etag"] != first.headers["etag"], "it shows no key"


def test_me_is_the_token_that_asks(scene: Scene) -> None:
    document = scene.get("/v2/me", scene.viewer).json
    assert at(document, "data", "attributes", "sites") == ["29"]
    assert at(document, "data", "attributes", "role") == "viewer"
    assert "inspector:pii" not in str(at(document, "data", "attributes", "scopes"))


# what became of events


def test_a_trace_tells_the_whole_life_of_an_event(scene: Scene, refused: list[str]) -> None:
    attributes = scene.settled(refused[0])
    (hit,) = items(attributes["hits"])
    assert (hit["event_name"], hit["source_id"]) == ("purchase", scene.number("sources", "backend"))
    fates = {str(one["label"]): one for one in items(attributes["destinations"])}
    assert (fates[ARCHIVE]["status"], fates[ARCHIVE]["attempts"]) == ("delivered", 1)
    assert (fates[ORDERS]["status"], fates[ORDERS]["reason"]) == ("error", "404_not_found")
    assert fates[ORDERS]["id"] == scene.number("destinations", ORDERS)
    scene.send("l-1")
    fates = {str(one["label"]): one for one in items(scene.settled("l-1")["destinations"])}
    assert (fates[ORDERS]["status"], fates[ORDERS]["reason"]) == ("filtered", "event_name")


def test_an_event_that_was_refused_by_the_collector_has_a_trace_too(scene: Scene) -> None:
    body = {"user": USER, "context": {"event_id": "no-name"}}
    assert scene.server.post(body)[0] == 200
    path = "/v2/29/inspector/events/no-name"
    until(lambda: scene.get(path).status == 200, "the refused event")
    (hit,) = items(at(scene.get(f"{path}?fields=full").json, "data", "attributes", "hits"))
    assert hit["status"] == "rejected"
    assert items(hit["reasons"])[0]["code"] == "missing_event_name"
    assert b"ada@example.org" in scene.get(f"{path}?fields=full").body
    assert b"ada@example.org" not in scene.get(f"{path}?fields=full", scene.viewer).body


@pytest.mark.parametrize("event_id", ["a/b", "with space", "é?&#", "%2F", "..", "x" * 200])
def test_any_event_id_can_be_asked_for(scene: Scene, event_id: str) -> None:
    scene.send(event_id)
    quoted = "".join(f"%{byte:02X}" for byte in event_id.encode())
    attributes = scene.settled(quoted)
    assert len(items(attributes["hits"])) == 1
    assert at(scene.get(f"/v2/29/inspector/events/{quoted}").json, "data", "id") == event_id


def test_personal_data_is_shown_to_who_may_see_it_and_asks_for_it(scene: Scene) -> None:
    scene.send("p-1")
    scene.settled("p-1")
    path = "/v2/29/inspector/events/p-1"
    for token in (scene.admin, scene.viewer):
        assert b"ada@example.org" not in scene.get(path, token).body
    masked = at(scene.get(f"{path}?fields=full", scene.viewer).json, "data", "attributes", "hits", 0, "event")
    assert at(masked, "user") == {**USER, "email": "***", "firstname": "***"}
    assert at(masked, "context", "device") == {"ip": "203.0.113.0", "cookie": "***"}
    shown = at(scene.get(f"{path}?fields=full").json, "data", "attributes", "hits", 0, "event")
    assert at(shown, "user") == USER
    assert at(shown, "context", "device") == {"ip": "203.0.113.0", "cookie": "c-1"}


def test_every_look_at_personal_data_is_recorded_and_no_other(scene: Scene, refused: list[str]) -> None:
    def views() -> list[tuple[object, object]]:
        found = scene.data("/v2/29/activity-logs?filter[feature]=inspector")
        return [(at(one, "attributes", "action"), at(one, "attributes", "subject_id")) for one in found]

    before = views()
    path = f"/v2/29/inspector/events/{refused[1]}"
    scene.get(path)
    scene.get(f"{path}?fields=full", scene.viewer)
    scene.get("/v2/29/dead-letters?fields=full", scene.viewer)
    scene.get("/v2/29/inspector/events/never?fields=full")
    assert views() == before
    scene.get(f"{path}?fields=full")
    scene.get("/v2/29/dead-letters?fields=full")
    assert views() == [("dead_letters.view", ""), ("events.view", refused[1]), *before]
    newest = scene.data("/v2/29/activity-logs?page[size]=1")[0]
    me = at(scene.get("/v2/me").json, "data", "id")
    assert at(newest, "attributes", "causer_id") == me
    assert at(newest, "attributes", "address") == "127.0.0.1"


def test_an_event_of_another_site_is_not_found(scene: Scene) -> None:
    scene.send("theirs", site="31", key=SITE_31_KEY)
    theirs = token_for(scene.server, "admin", "31")
    path = "/v2/{}/inspector/events/theirs"
    until(lambda: call(scene.server, "GET", path.format(31), theirs).status == 200, "the event at its site")
    reply, never = scene.get(path.format(29)), scene.get("/v2/29/inspector/events/never")
    assert (reply.status, reply.json["detail"]) == (404, never.json["detail"])
    assert "never received, or older than 7 days" in str(never.json["detail"])


# what waits, what failed, trying again


def test_what_waits_is_counted_per_destination(scene: Scene, refused: list[str]) -> None:
    found = {at(one, "attributes", "label"): one["attributes"] for one in scene.data("/v2/29/delivery/pending")}
    assert set(found) == {ARCHIVE, ORDERS}
    until(lambda: at(scene.data("/v2/29/delivery/pending")[0], "attributes", "lag") == 0, "no lag")
    assert at(found[ARCHIVE], "dead_letters") == 0
    assert at(found[ORDERS], "breaker") == "closed"
    dead = at(found[ORDERS], "dead_letters")
    assert isinstance(dead, int)
    assert dead >= len(refused)


def test_dead_letters_are_listed_newest_first_and_pages_go_both_ways(scene: Scene, refused: list[str]) -> None:
    def page(query: str) -> tuple[list[object], dict[str, str]]:
        document = scene.get(f"/v2/29/dead-letters?{query}").json
        links = document["links"]
        assert isinstance(links, dict)
        return [at(one, "attributes", "event_id") for one in items(document["data"])], links

    assert page("filter[reason]=404_not_found")[0] == refused[::-1]
    first, links = page("page[size]=2")
    assert first == refused[:0:-1]
    assert "prev" not in links
    rest, older = page(links["next"].partition("?")[2])
    assert rest == refused[:1]
    assert "next" not in older
    assert page(older["prev"].partition("?")[2])[0] == first
    assert page("filter[reason]=timeout")[0] == []
    assert page("start=2026-01-01T00:00:00Z&end=2026-01-02T00:00:00Z")[0] == []
    assert page(f"filter[destination]={scene.number('destinations', ARCHIVE)}")[0] == []


def test_a_dead_letter_tells_why_and_what_the_partner_said_to_who_may_see_it(scene: Scene, refused: list[str]) -> None:
    newest = scene.data("/v2/29/dead-letters")[0]["attributes"]
    assert (at(newest, "event_id"), at(newest, "status"), at(newest, "attempts")) == (refused[-1], "error", 1)
    full = "/v2/29/dead-letters?fields=full"
    assert "ada@example.org" in str(at(scene.data(full)[0], "attributes", "detail"))
    assert at(scene.data(full, scene.viewer)[0], "attributes", "detail") == "***"


def test_a_dry_run_says_what_a_replay_would_do_and_does_nothing(scene: Scene, refused: list[str]) -> None:
    before = scene.data("/v2/29/activity-logs")
    reply = scene.replay("?dry_run=true", destination=scene.number("destinations", ORDERS))
    assert at(reply.json, "data", "attributes") == {"dry_run": True, "matched": len(refused), "replayed": 0}
    assert len(scene.data("/v2/29/dead-letters")) == len(refused)
    assert scene.data("/v2/29/activity-logs") == before


def test_a_replay_tries_what_it_selects_again_and_is_recorded(scene: Scene, refused: list[str]) -> None:
    assert at(scene.replay(reason="timeout").json, "data", "attributes", "matched") == 0
    scene.partner.status = 200
    try:
        reply = scene.replay(reason="404_not_found", limit=2)
        assert at(reply.json, "data", "attributes") == {"dry_run": False, "matched": 3, "replayed": 2}
        for name in refused[:2]:
            until(partial(delivered, scene, name), f"{name} to be delivered")
        assert [at(one, "attributes", "event_id") for one in scene.data("/v2/29/dead-letters")] == refused[2:]
        newest = scene.data("/v2/29/activity-logs?filter[action]=dead_letters.replay")[0]
        assert at(newest, "attributes", "properties") == {"reason": "404_not_found", "limit": 2, "matched": 3}
        assert at(scene.replay().json, "data", "attributes", "replayed") == 1
        until(partial(delivered, scene, refused[2]), "the last one")
    finally:
        scene.partner.status = 404
    assert scene.server.run("audit").returncode == 0


def delivered(scene: Scene, event_id: str) -> bool:
    """Whether `orders` has got an event."""
    attributes = at(scene.get(f"/v2/29/inspector/events/{event_id}").json, "data", "attributes")
    fates = {one["label"]: one["status"] for one in items(at(attributes, "destinations"))}
    return fates[ORDERS] == "delivered"


# what is wrong


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("foo=1", ["foo"]),
        (
            "page[size]=0&page[number]=x&filter[status]=gone&foo=1&foo=2",
            ["filter[status]", "foo", "page[number]", "page[size]"],
        ),
        ("page[size]=1&page[size]=2", ["page[size]"]),
        ("filter[search]=" + "x" * 65, ["filter[search]"]),
    ],
)
def test_everything_that_is_wrong_with_a_query_is_told_at_once(scene: Scene, query: str, faults: list[str]) -> None:
    reply = scene.get(f"/v2/29/sources?{query}")
    assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
    assert sorted(str(at(one, "source", "parameter")) for one in items(reply.json["errors"])) == faults
    assert set(reply.codes) == {"INVALID_PARAMETER"}


@pytest.mark.parametrize(
    "cursor", ["page[after]=x", "page[after]=1-2", "page[before]=1-2-3-4", "page[after]=1-2-3&page[before]=1-2-3"]
)
def test_a_cursor_of_no_list_is_told(scene: Scene, cursor: str) -> None:
    assert scene.get(f"/v2/29/dead-letters?{cursor}").codes == ["INVALID_PARAMETER"]


def test_everything_that_is_wrong_with_a_body_is_told_at_once_with_pointers(scene: Scene) -> None:
    reply = scene.replay(reason=5, limit=0, start="yesterday", destinaton=1)
    assert reply.status == 422
    assert {str(at(one, "source", "pointer")): one["code"] for one in items(reply.json["errors"])} == {
        "/data/attributes/reason": "INVALID_PROPERTY_TYPE",
        "/data/attributes/limit": "INVALID_PROPERTY_FORMAT",
        "/data/attributes/start": "INVALID_PROPERTY_FORMAT",
        "/data/attributes/destinaton": "UNKNOWN_ATTRIBUTE",
    }
    assert reply.json["detail"] == "4 problems were found"
    assert scene.replay(destination=9999).status == 422


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 415, "UNSUPPORTED_HEADER"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "UNSUPPORTED_HEADER"),
        (b"{}", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415, "UNSUPPORTED_HEADER"),
        (b"", {"Content-Type": "application/json"}, 400, "INVALID_JSON"),
        (b"{", {"Content-Type": "application/json"}, 400, "INVALID_JSON"),
        (b"\xff", {"Content-Type": "application/json"}, 400, "INVALID_JSON"),
        (b"[" * 100_000, {"Content-Type": "application/json"}, 400, "INVALID_JSON"),
        (b"{}", {"Content-Type": "application/vnd.api+json; charset=utf-8"}, 422, "MISSING_REQUIRED_PROPERTY"),
        (b"[]", {"Content-Type": "application/json"}, 422, "INVALID_PROPERTY_TYPE"),
        (b" " * (1 << 20) + b"{}", {"Content-Type": "application/json"}, 413, "PAYLOAD_TOO_LARGE"),
    ],
)
def test_a_body_that_is_none_is_refused(
    scene: Scene, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    sent = {"Content-Type": ""} | headers
    reply = call(scene.server, "POST", "/v2/29/dead-letters/replay", scene.admin, body, sent)
    assert (reply.status, reply.codes) == (status, [code])


def test_a_problem_is_one_for_new_clients_and_for_old_ones(scene: Scene) -> None:
    reply = scene.get("/v2/29/sources/9999", **{"X-Request-Id": "mine-1"})
    assert reply.json == {
        "type": "/docs#problems/not-found",
        "title": "There is nothing here",
        "status": 404,
        "detail": "there is no source with this id",
        "instance": "/v2/29/sources/9999",
        "request_id": "mine-1",
        "errors": [{"code": "NOT_FOUND", "detail": "there is no source with this id"}],
    }
    assert reply.headers["x-request-id"] == "mine-1"
    assert scene.get("/v2/29/sources", **{"X-Request-Id": "no good"}).headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2/29/nothing", 404), ("DELETE", "/v2/me", 405)])
def test_what_is_no_operation_is_a_problem_too(scene: Scene, method: str, path: str, status: int) -> None:
    reply = call(scene.server, method, path, scene.admin)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert ("allow" in reply.headers) == (status == 405)


def test_answers_are_of_the_kind_that_is_asked_for_and_nobody_keeps_them(scene: Scene) -> None:
    plain, named = scene.get("/v2/me"), scene.get("/v2/me", Accept="application/vnd.api+json")
    assert (plain.headers["content-type"], named.headers["content-type"]) == (
        "application/json",
        "application/vnd.api+json",
    )
    assert json.loads(plain.body)["data"]["id"] == json.loads(named.body)["data"]["id"]
    for reply in (plain, scene.get("/v2/29/sources/0"), scene.get("/v2/nothing")):
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_who_is_wrong_too_often_is_told_to_wait(scene: Scene) -> None:
    address = "127.0.2.1"
    replies = [call(scene.server, "GET", "/v2/me", "nope", address=address) for _ in range(BURST + 1)]
    assert [reply.status for reply in replies] == [401] * BURST + [429]
    assert replies[-1].codes == ["REQUEST_LIMIT_REACHED"]
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 6
    assert replies[-1].json["description"] == replies[-1].json["detail"]
    assert call(scene.server, "GET", "/v2/me", scene.admin, address=address).status == 200


# over time


def test_numbers_and_tokens_outlive_a_restart_and_a_removal(scene: Scene, tmp_path: Path) -> None:
    numbers = {label: scene.number("destinations", label) for label in (ARCHIVE, ORDERS)}
    scene.server.stop()
    scene.server.start()
    assert {label: scene.number("destinations", label) for label in numbers} == numbers
    config = scene.server.configured.read_text()
    changed = tmp_path / "changed.yaml"
    changed.write_text(config.replace("archive:", "renamed:"))
    assert scene.server.run("apply", "-f", str(changed)).returncode == 0
    until(lambda: scene.get(f"/v2/29/destinations/{numbers[ARCHIVE]}").status == 404, "the change to be seen")
    assert scene.number("destinations", "renamed") not in numbers.values()
    assert scene.server.run("apply", "-f", str(scene.server.configured)).returncode == 0
    until(lambda: scene.get(f"/v2/29/destinations/{numbers[ARCHIVE]}").status == 200, "it to be back")
