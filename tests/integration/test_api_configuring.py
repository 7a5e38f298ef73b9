"""Configuring over the API while traffic flows: what is changed counts at once, and the file stays its owner's."""

from collections.abc import Iterator, Mapping

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.server import BACKEND, KEY, Server, until

SECRET = "4f1c2b7a90-not-to-be-seen"
CONFIG = f"""
# What we send, and where.
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}   # the shop
      backend: {{type: server, key: {BACKEND}}}
    destinations:
      archive: {{type: file, sources: [shop, backend], settings: {{path: out/events.ndjson}}}}
      orders:
        type: webhook
        sources: []
        status: inactive
        settings: {{url: "http://127.0.0.1:9/", headers: {{X-Api-Key: "${{ORDERS_KEY}}"}}}}
"""


class Scene:
    """A server, and a client that may do everything."""

    def __init__(self, server: Server) -> None:
        self.server, self.admin = server, token_for(server, "admin", "29")
        self._sent = 0

    def ask(self, method: str, path: str, body: object = None, token: str = "", **headers: str) -> Reply:
        return call(self.server, method, f"/v2/29{path}", token or self.admin, body, headers or None)

    def done(self, method: str, path: str, body: object = None) -> object:
        """The data of an answer that must be good."""
        reply = self.ask(method, path, body)
        assert reply.status < 300, reply.body
        return reply.json["data"] if reply.body else None

    def make(self, kind: str, attributes: Mapping[str, object], **relationships: object) -> int:
        """The number of something new."""
        data = {"type": "integrations", "attributes": attributes, "relationships": relationships}
        number = at(self.done("POST", f"/{kind}", {"data": data}), "id")
        assert isinstance(number, int)
        return number

    def change(self, path: str, attributes: Mapping[str, object]) -> object:
        return self.done("PATCH", path, {"data": {"attributes": attributes}})

    def number(self, kind: str, name: str) -> int:
        return next(
            int(str(one["id"])) for one in items(self.done("GET", f"/{kind}")) if at(one, "attributes", "name") == name
        )

    def key(self, source: int) -> str:
        return str(at(self.done("GET", f"/sources/{source}"), "attributes", "integration_key"))

    def send(self, key: str) -> tuple[str, list[str], dict[str, str]]:
        """What became of an event: its verdict, the reasons, its outcome by destination."""
        self._sent += 1
        event_id = f"e-{self._sent}"
        event = {
            "event_name": "purchase",
            "value": 5,
            "user": {"consent_categories": ["1"]},
            "context": {"event_id": event_id},
        }
        assert self.server.post(event, query=f"tc_s=29&token={key}")[0] == 200
        path = f"/inspector/events/{event_id}"

        def settled() -> bool:
            reply = self.ask("GET", path)
            if reply.status != 200 or at(reply.json, "data", "attributes", "hits", 0, "status") == "waiting":
                return False
            fates = items(at(reply.json, "data", "attributes", "destinations"))
            return not any(one["status"] == "pending" for one in fates)

        until(settled, f"{event_id} to be settled")
        found = at(self.done("GET", path), "attributes")
        reasons = [str(one["code"]) for one in items(at(found, "hits", 0, "reasons"))]
        fates = {str(one["label"]): str(one["status"]) for one in items(at(found, "destinations"))}
        verdict = str(at(found, "hits", 0, "status"))
        return (verdict, reasons, fates) if verdict == "rejected" else ("accepted", [], fates)

    @property
    def text(self) -> str:
        return (self.server.data / "config.yaml").read_text()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Server(tmp_path_factory.mktemp("configuring") / "data", CONFIG, ORDERS_KEY=SECRET) as server:
        yield Scene(server)


def rejected(reason: str) -> tuple[str, list[str], dict[str, str]]:
    return "rejected", [reason], {}


# sources


def test_a_source_that_was_just_made_collects_and_its_events_go_where_it_is_linked(scene: Scene) -> None:
    archive = scene.number("destinations", "archive")
    link = {"data": [{"type": "integrations", "id": str(archive)}]}
    reply = scene.ask(
        "POST",
        "/sources",
        {
            "data": {
                "type": "integrations",
                "attributes": {"label": "Größe & Co.", "template": "server", "environment": "prod"},
                "relationships": {"destinations": link},
            }
        },
    )
    assert reply.status == 201, reply.body
    made = reply.json["data"]
    assert reply.headers["location"] == f"/v2/29/sources/{at(made, 'id')}"
    assert [at(made, "attributes", name) for name in ("name", "label", "status", "environment")] == [
        *("groe-co", "Größe & Co.", "active", "production"),
    ]
    assert at(made, "relationships", "destinations", "data") == link["data"]
    until(
        lambda: scene.send(str(at(made, "attributes", "integration_key")))[2] == {"archive": "delivered"}, "the source"
    )
    assert "# What we send, and where." in scene.text
    assert "# the shop" in scene.text
    assert "${ORDERS_KEY}" in scene.text


def test_a_source_is_refused_while_inactive_and_after_its_end(scene: Scene) -> None:
    number = scene.make("sources", {"label": "Kiosk", "template": "server"})
    key = scene.key(number)
    until(lambda: scene.send(key)[0] == "accepted", "the source")
    scene.change(f"/sources/{number}", {"status": "stopped"})
    until(lambda: scene.send(key) == rejected("source_inactive"), "it to be inactive")
    scene.change(f"/sources/{number}", {"status": "active"})
    until(lambda: scene.send(key)[0] == "accepted", "it to be active")
    scene.done("DELETE", f"/sources/{number}")
    until(lambda: scene.send(key) == rejected("source_deleted"), "it to be deleted")
    gone = at(scene.done("GET", f"/sources/{number}"), "attributes")
    assert (at(gone, "status"), at(gone, "deleted_at") is not None) == ("deleted", True)
    assert number not in [one["id"] for one in items(scene.done("GET", "/sources"))]
    assert number in [one["id"] for one in items(scene.done("GET", "/sources?filter[status]=deleted"))]
    assert [scene.ask("DELETE", f"/sources/{number}{query}").status for query in ("", "?purge=true")] == [409, 409]


def test_what_was_deleted_in_the_file_can_be_purged_with_its_links(scene: Scene) -> None:
    number = scene.make("sources", {"label": "Old till", "template": "server"})
    archive = scene.number("destinations", "archive")
    scene.done(
        "POST", f"/sources/{number}/relationships/destinations", {"data": [{"type": "integrations", "id": archive}]}
    )
    assert "old-till" in scene.text
    text = scene.text.replace("label: Old till", "label: Old till, status: deleted").replace(
        "label: Old till\n", "label: Old till\n        status: deleted\n"
    )
    scene.done("POST", "/configuration", {"data": {"attributes": {"text": text}}})
    if at(scene.done("GET", f"/sources/{number}"), "attributes", "status") != "deleted":
        pytest.fail(scene.text)
    scene.done("DELETE", f"/sources/{number}?purge=true")
    assert "old-till" not in scene.text
    assert scene.ask("GET", f"/sources/{number}").status == 404
    again = scene.make("sources", {"label": "Old till", "template": "server"})
    assert again != number
    assert at(scene.done("GET", f"/sources/{again}"), "attributes", "name") == "old-till-2"


def test_a_key_that_is_replaced_works_for_a_while_or_ends_at_once(scene: Scene) -> None:
    number = scene.make("sources", {"label": "Rotating", "template": "server"})
    first = scene.key(number)
    reply = scene.ask("POST", f"/sources/{number}/rotate-key", {"grace_period": "PT24H"})
    second = str(at(reply.json, "data", "attributes", "key"))
    assert at(reply.json, "meta", "previous", "state") == "grace"
    until(lambda: scene.send(second)[0] == "accepted", "the new key")
    assert scene.send(first)[0] == "accepted"
    third = str(at(scene.done("POST", f"/sources/{number}/rotate-key", {"grace_period": "PT0S"}), "attributes", "key"))
    until(lambda: scene.send(second) == rejected("key_revoked"), "the second key to end")
    assert [scene.send(key)[0] for key in (first, third)] == ["accepted", "accepted"]
    added = scene.done("POST", f"/sources/{number}/keys")
    fourth = str(at(added, "attributes", "key"))
    keys = items(scene.done("GET", f"/sources/{number}/keys"))
    assert [(at(one, "attributes", "key"), at(one, "attributes", "state")) for one in keys] == [
        *((fourth, "active"), (third, "active"), (first, "grace"), (second, "revoked")),
    ]
    scene.done("DELETE", f"/sources/{number}/keys/{at(added, 'id')}")
    assert scene.key(number) == third
    until(lambda: scene.send(fourth) == rejected("key_revoked"), "the added key to end")
    assert scene.ask("DELETE", f"/sources/{number}/keys/{keys[1]['id']}").codes == ["CONFLICT"]
    scene.done("DELETE", f"/sources/{number}/keys/{keys[2]['id']}")
    until(lambda: scene.send(first) == rejected("key_revoked"), "the first key to end")
    assert scene.ask("DELETE", f"/sources/{number}/keys/{keys[2]['id']}").status == 409
    assert scene.ask("DELETE", f"/sources/{number}/keys/key_0").status == 404


@pytest.mark.parametrize("period", ["P31D", "PT", "1 day", "P", "PT2592001S"])
def test_a_period_of_grace_has_a_form_and_an_end(scene: Scene, period: str) -> None:
    reply = scene.ask("POST", f"/sources/{scene.number('sources', 'shop')}/rotate-key", {"grace_period": period})
    assert (reply.status, at(reply.json, "errors", 0, "source", "pointer")) == (422, "/grace_period")


# links


def test_a_link_is_the_same_from_both_sides(scene: Scene) -> None:
    one, two = (scene.make("sources", {"label": f"Link {word}", "template": "server"}) for word in ("one", "two"))
    to = scene.make("destinations", {"label": "Linked", "template": "file", "settings": {"path": "out/linked.ndjson"}})

    def linkage(*numbers: int) -> dict[str, object]:
        return {"data": [{"type": "integrations", "id": str(number)} for number in numbers]}

    def both() -> tuple[object, list[int]]:
        found = scene.ask("GET", f"/destinations/{to}/relationships/sources").json["data"]
        back = [
            number
            for number in (one, two)
            if items(scene.ask("GET", f"/sources/{number}/relationships/destinations").json["data"])
        ]
        return found, back

    sources, destinations = f"/destinations/{to}/relationships/sources", f"/sources/{one}/relationships/destinations"
    assert scene.ask("POST", sources, linkage(one)).status == 204
    assert both() == (linkage(one)["data"], [one])
    assert scene.ask("POST", f"/sources/{two}/relationships/destinations", linkage(to)).status == 204
    assert both() == (linkage(one, two)["data"], [one, two])
    assert scene.ask("DELETE", destinations, linkage(to)).status == 204
    assert both() == (linkage(two)["data"], [two])
    assert scene.ask("PATCH", sources, linkage(one)).status == 204
    assert both() == (linkage(one)["data"], [one])
    assert scene.ask("PATCH", destinations, linkage()).status == 204
    assert both() == ([], [])
    wrong = scene.ask("POST", sources, linkage(one, 9999))
    assert (wrong.status, at(wrong.json, "errors", 0, "source", "pointer")) == (422, "/data/1/id")
    scene.change(f"/sources/{one}", {"environment": "staging"})
    warned = scene.ask("POST", sources, linkage(one))
    assert warned.status == 200
    assert "staging" in str(at(warned.json, "meta", "warnings", 0))


# destinations


def test_a_destination_filters_and_is_changed_member_by_member(scene: Scene) -> None:
    tree = {"type": ">", "operands": [{"type": "property", "name": "value"}, {"type": "constant", "value": 9}]}
    number = scene.make(
        "destinations",
        {
            "label": "Big ones",
            "template": "file",
            "status": "active",
            "settings": {"path": "out/big.ndjson", "gzip": True},
            "event_names": ["purchase"],
            "consent": {"categories": ["1"]},
            "event_filter": tree,
            "delivery": {"max_attempts": 3},
            "parameters": {
                "customEventMapping": [{"name": "purchase", "value": "Sale"}],
                "mapping": [
                    {"action": "set", "property": "total", "expression_text": "{{value}}", "_language": "TEMPLATE"}
                ],
            },
        },
        sources={"data": [{"type": "integrations", "id": str(scene.number("sources", "backend"))}]},
    )
    until(lambda: scene.send(BACKEND)[2].get("big-ones") == "filtered", "the destination")
    path = f"/destinations/{number}"
    shown = at(scene.done("GET", path), "attributes")
    assert (at(shown, "event_filter"), at(shown, "event_filter_text")) == (tree, "value > 9")
    row = {"action": "set", "property": "total", "expression": "value"}
    assert at(shown, "parameters", "mapping") == [row]
    changed = at(
        scene.change(path, {"event_filter_text": "value BETWEEN(1, 9)", "settings": {"gzip": None}}), "attributes"
    )
    assert (at(changed, "event_filter"), at(changed, "event_filter_text")) == (None, "value BETWEEN(1, 9)")
    assert (at(changed, "settings", "gzip"), at(changed, "settings", "path")) == (False, "out/big.ndjson")
    assert (at(changed, "delivery", "max_attempts"), at(changed, "parameters")) == (3, at(shown, "parameters"))
    until(lambda: scene.send(BACKEND)[2].get("big-ones") == "delivered", "the change")
    assert at(scene.change(path, dict(changed)), "attributes") == changed  # type: ignore[call-overload] # JSON
    scene.change(path, {"event_filter": None, "consent": None, "event_names": None, "parameters": None})
    plain = at(scene.done("GET", path), "attributes")
    assert [at(plain, name) for name in ("event_filter_text", "consent", "event_names", "parameters")] == [
        None,
        None,
        [],
        {},
    ]
    scene.change(path, {"status": "inactive"})
    until(lambda: "big-ones" not in scene.send(BACKEND)[2], "it to be inactive")
    scene.done("DELETE", path)
    assert scene.ask("GET", path).status == 404
    assert "big-ones" not in scene.text


def test_a_secret_can_be_set_and_is_never_shown(scene: Scene) -> None:
    settings = {"url": f"http://user:{SECRET}@127.0.0.1:9/?key={SECRET}", "headers": {"X-Key": SECRET}, "method": "PUT"}
    number = scene.make("destinations", {"label": "Secretive", "template": "webhook", "settings": settings})
    path = f"/destinations/{number}"
    copy = at(scene.done("POST", f"{path}/duplicate"), "id")
    shown = scene.done("GET", path)
    assert at(shown, "attributes", "settings", "headers") == {"set": True}
    scene.change(path, {"settings": at(shown, "attributes", "settings")})
    scene.change(path, {"settings": {"secret": "whsec_" + "c2VjcmV0LXRoYXQtaXMtbG9uZy1lbm91Z2g="}})
    answers = [
        scene.ask("GET", one).body
        for one in (path, f"/destinations/{copy}", "/destinations", "/activity-logs?page[size]=200")
    ]
    assert SECRET.encode() not in b"".join(answers)
    url = next(line for line in scene.text.splitlines() if "127.0.0.1:9/?key" in line)
    assert SECRET in url, "what was shown masked and sent back has not replaced it"
    assert SECRET not in scene.text.replace(SECRET, "", 4)
    assert at(scene.done("GET", f"/destinations/{copy}"), "attributes", "status") == "inactive"
    before, after = scene.text.count("${secret:"), scene.change(path, {"settings": {"headers": {"X-More": SECRET}}})
    assert at(after, "attributes", "settings", "headers") == {"set": True}
    assert scene.text.count("${secret:") == before + 1, "the header from before is still there"


def test_everything_that_is_wrong_is_told_at_once_where_the_request_has_it(scene: Scene) -> None:
    attributes = {
        "label": "Wrong",
        "template": "webhook",
        "settings": {"url": "ftp://x", "methd": "POST", "headers": {"X Y": "1"}},
        "event_filter_text": "value >",
        "delivery": {"max_attempts": 5},
        "parameters": {"mapping": [{"action": "set", "property": "a"}]},
    }
    before = scene.text
    reply = scene.ask("POST", "/destinations", {"data": {"attributes": attributes}})
    assert reply.status == 422
    found = {str(at(one, "source", "pointer")): one["code"] for one in items(reply.json["errors"])}
    assert found == {
        "/data/attributes/settings/methd": "UNKNOWN_ATTRIBUTE",
        "/data/attributes/event_filter_text": "INVALID_PROPERTY_FORMAT",
        "/data/attributes/parameters/mapping/0/expression": "MISSING_REQUIRED_PROPERTY",
    }
    assert scene.ask("POST", "/sources", {"data": {"attributes": {"template": "server", "colour": 1}}}).codes == [
        "UNKNOWN_ATTRIBUTE",
        "MISSING_REQUIRED_PROPERTY",
    ]
    client_side = {"label": "x", "template": "server", "settings": {"trust_client_ip": True, "allowed_origins": ["x"]}}
    reply = scene.ask("POST", "/sources", {"data": {"attributes": client_side}})
    places = sorted(str(at(one, "source", "pointer")) for one in items(reply.json["errors"]))
    assert places == ["/data/attributes/settings/allowed_origins/0", "/data/attributes/settings/trust_client_ip"]
    assert scene.text == before


def test_a_token_that_may_look_may_not_change(scene: Scene) -> None:
    reader = token_for(scene.server, "custom", "29", scopes=("destinations:read",))
    path = f"/destinations/{scene.number('destinations', 'orders')}"
    shown = scene.ask("GET", path, token=reader)
    assert SECRET.encode() not in shown.body
    reply = scene.ask("PATCH", path, {"data": {"attributes": {"label": "x"}}}, reader)
    assert (reply.status, reply.headers["content-type"]) == (403, "application/problem+json")
    assert reply.json["type"] == "/docs#problems/forbidden"
    assert items(reply.json["errors"])[0]["code"] == "MISSING_SCOPE"


def test_changes_at_the_same_moment_lose_nothing(scene: Scene) -> None:
    number = scene.make("sources", {"label": "Guarded", "template": "server"})
    path = f"/sources/{number}"
    etag = scene.ask("GET", path).headers["etag"]
    body = {"data": {"attributes": {"description": "one"}}}
    first = call(scene.server, "PATCH", f"/v2/29{path}", scene.admin, body, {"If-Match": etag})
    second = call(scene.server, "PATCH", f"/v2/29{path}", scene.admin, body, {"If-Match": etag})
    assert (first.status, second.status, second.codes) == (200, 412, ["ETAG_MISMATCH"])
    assert first.headers["etag"] == scene.ask("GET", path).headers["etag"]


# the vendor's clients, and the whole text


def test_a_client_of_the_vendor_works(scene: Scene) -> None:
    attributes = {
        "label": "From elsewhere",
        "template": "file",
        "occurence_type": "continuous",
        "timezone": "Europe/Paris",
        "status": "active",
        "parameters": {},
        "settings": {"path": "out/elsewhere.ndjson"},
        "start_date": None,
    }
    data = {"type": "platform/integrations", "attributes": attributes}
    reply = scene.ask("POST", "/integrations", {"data": data})
    assert (reply.status, reply.headers["content-type"]) == (201, "application/json")
    assert at(reply.json, "meta", "warnings") == ["timezone has no effect here"]
    number = at(reply.json, "data", "id")
    assert at(reply.json, "data", "type") == "integrations"
    changed = {
        "data": {"type": "integrations", "id": number, "attributes": {"label": "Elsewhere", "status": "stopped"}}
    }
    for path in (f"/integrations/{number}", "/integrations", "/destinations"):
        reply = scene.ask("PATCH", path, changed)
        assert (reply.status, at(reply.json, "data", "attributes", "status")) == (200, "inactive")
    source = {
        "type": "sources",
        "attributes": {"label": "Also"},
        "relationships": {"connector": {"data": {"type": "dms/connector", "id": "server"}}},
    }
    made = at(scene.done("POST", "/integrations", {"data": source}), "id")
    assert at(scene.change(f"/integrations/{made}", {"label": "Other"}), "attributes", "label") == "Other"
    for one in (number, made):
        assert scene.ask("DELETE", f"/integrations/{one}").status == 204
    assert scene.ask("PATCH", "/integrations", {"data": {"attributes": {}}}).status == 422


def test_versions_are_listed_compared_and_restored(scene: Scene) -> None:
    before = scene.done("GET", "/configuration")
    number = scene.make("sources", {"label": "Regretted", "template": "server"})
    newest = items(scene.done("GET", "/configuration/versions?page[size]=1"))[0]
    assert at(newest, "attributes", "origin") == "api"
    version = scene.done("GET", f"/configuration/versions/{newest['id']}")
    (change,) = items(at(version, "attributes", "changes"))
    assert str(change["path"]).endswith("sources.regretted")
    assert at(change, "after", "key") == "***"
    scene.done("POST", f"/configuration/versions/{at(before, 'attributes', 'number')}/restore")
    assert scene.ask("GET", f"/sources/{number}").status == 404
    assert at(scene.done("GET", "/configuration"), "attributes", "text") == at(before, "attributes", "text")
    text = str(at(before, "attributes", "text"))
    wrong = {"data": {"attributes": {"text": text.replace("type: web", "type: wob").replace("path:", "pth:")}}}
    reply = scene.ask("POST", "/configuration?dry_run=true", wrong)
    assert reply.status == 422
    assert len(items(reply.json["errors"])) > 2
    fine = scene.ask("POST", "/configuration?dry_run=true", {"data": {"attributes": {"text": text}}})
    assert (fine.status, at(fine.json, "data", "id")) == (200, None)


def test_every_line_of_the_record_says_who_what_and_whom(scene: Scene) -> None:
    number = scene.make("sources", {"label": "Recorded", "template": "server"})
    scene.change(f"/sources/{number}", {"description": "new"})
    newest = items(scene.done("GET", "/activity-logs?filter[feature]=sources&page[size]=1"))[0]["attributes"]
    assert (at(newest, "action"), at(newest, "subject_id"), at(newest, "address")) == (
        "sources.update",
        str(number),
        "127.0.0.1",
    )
    assert at(newest, "causer_id") == at(call(scene.server, "GET", "/v2/me", scene.admin).json, "data", "id")
    assert at(newest, "properties", "changes", 0, "after") == "new"
