"""Tokens over the API: nobody gives more than they have, and what was taken back opens nothing."""

from collections.abc import Iterator, Mapping

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.server import CONFIG, Server

TOKENS = "/v2/29/api-tokens"
OTHER = """
  "31":
    sources:
      other: {type: web, key: b1946ac9-2490-4a5b-9d61-000000000031}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("access") / "data", CONFIG + OTHER) as running:
        yield running


@pytest.fixture(scope="module")
def admin(server: Server) -> str:
    return token_for(server, "admin", "29")


@pytest.fixture(scope="module")
def clerk(server: Server) -> str:
    """May make tokens, and look at sources."""
    return token_for(server, "custom", "29", scopes=("tokens:write", "sources:read"))


def send(server: Server, method: str, path: str, token: str, to: Mapping[str, object], key: str = "") -> Reply:
    body = {"data": {"type": "api-tokens", "attributes": to}}
    return call(server, method, path, token, body, {"Idempotency-Key": key} if key else None)


def made(server: Server, token: str, to: Mapping[str, object]) -> tuple[str, str]:
    """The path and text of a new token."""
    reply = send(server, "POST", TOKENS, token, to)
    assert reply.status == 201, reply.body
    return reply.headers["location"], str(at(reply.json, "data", "attributes", "token"))


def test_a_token_lives_from_its_making_to_its_end(server: Server, admin: str) -> None:
    path, text = made(server, admin, {"name": "wall", "role": "viewer", "expires_at": "2040-01-31T00:00:00Z"})
    assert call(server, "GET", "/v2/29/sources", text).status == 200
    assert call(server, "GET", "/v2/31/sources", text).status == 403
    shown = call(server, "GET", path, admin)
    assert text.encode() not in shown.body + call(server, "GET", TOKENS, admin).body
    assert at(shown.json, "data", "attributes", "expires_at") == "2040-01-31T00:00:00.000Z"
    changed = send(server, "PATCH", path, admin, {"scopes": ["audit:read"], "expires_at": None})
    assert (at(changed.json, "data", "attributes", "role"), changed.status) == ("custom", 200)
    assert at(changed.json, "data", "attributes", "expires_at") is None
    assert [call(server, "GET", f"/v2/29/{one}", text).status for one in ("sources", "activity-logs")] == [403, 200]
    renewed = str(at(call(server, "POST", f"{path}/rotate", admin).json, "data", "attributes", "token"))
    assert [call(server, "GET", "/v2/me", one).status for one in (text, renewed)] == [401, 200]
    assert call(server, "DELETE", path, admin).status == 204
    assert call(server, "GET", "/v2/me", renewed).codes == ["REVOKED_TOKEN"]
    assert [call(server, "DELETE", path, admin).status, call(server, "POST", f"{path}/rotate", admin).status] == [
        409
    ] * 2
    assert at(call(server, "GET", path, admin).json, "data", "attributes", "state") == "revoked"
    log = items(call(server, "GET", "/v2/29/activity-logs?page[size]=4&filter[feature]=tokens", admin).json["data"])
    assert [at(one, "attributes", "action") for one in log] == [
        f"tokens.{word}" for word in ("revoke", "rotate", "update", "create")
    ]
    assert at(log[2], "attributes", "properties", "before", "role") == "viewer"
    assert at(log[2], "attributes", "causer_id") == at(call(server, "GET", "/v2/me", admin).json, "data", "id")


def test_the_same_request_twice_makes_one_token_and_tells_it_twice(server: Server, admin: str) -> None:
    before = len(items(call(server, "GET", TOKENS, admin).json["data"]))
    first, second = (send(server, "POST", TOKENS, admin, {"role": "viewer"}, "one-token") for _ in range(2))
    assert (first.status, first.body, first.headers["location"]) == (201, second.body, second.headers["location"])
    assert second.headers["idempotency-replayed"] == "true"
    assert len(items(call(server, "GET", TOKENS, admin).json["data"])) == before + 1
    assert send(server, "POST", TOKENS, admin, {"role": "editor"}, "one-token").codes == ["CONFLICT"]
    text = str(at(first.json, "data", "attributes", "token"))
    assert not any(text.encode() in file.read_bytes() for file in server.data.glob("control.db*"))


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"role": "admin"}, "MISSING_SCOPE"),
        ({"scopes": ["sources:write"]}, "MISSING_SCOPE"),
        ({"scopes": ["sources:read"], "sites": ["29", "31"]}, "SITE_ACCESS_FORBIDDEN"),
        ({"scopes": ["sources:read"], "sites": ["32"]}, "SITE_ACCESS_FORBIDDEN"),
        ({"scopes": ["sources:read"], "sites": ["*"]}, "SITE_ACCESS_FORBIDDEN"),
    ],
)
def test_nobody_gives_what_they_have_not(server: Server, clerk: str, wanted: dict[str, object], code: str) -> None:
    reply = send(server, "POST", TOKENS, clerk, wanted)
    assert (reply.status, reply.codes) == (403, [code])
    path, _ = made(server, clerk, {"scopes": ["sources:read"]})
    assert send(server, "PATCH", path, clerk, wanted).codes == [code]


@pytest.mark.parametrize(("role", "sites"), [("admin", ("29",)), ("viewer", ("29", "31")), ("viewer", ("*",))])
def test_nobody_takes_over_a_token_that_may_more(
    server: Server, clerk: str, admin: str, role: str, sites: tuple[str, ...]
) -> None:
    full = token_for(server, "admin", *sites) if role == "admin" else token_for(server, "viewer", *sites)
    path = f"{TOKENS}/{at(call(server, 'GET', '/v2/me', full).json, 'data', 'id')}"
    replies = [send(server, "PATCH", path, clerk, {"name": "x"}), call(server, "DELETE", path, clerk)]
    replies.append(call(server, "POST", f"{path}/rotate", clerk))
    assert [one.status for one in replies] == [403] * 3
    assert at(call(server, "GET", path, clerk).json, "data", "attributes", "sites") == ["29"]


def test_a_token_of_another_site_is_not_found(server: Server, admin: str) -> None:
    theirs = token_for(server, "viewer", "31")
    path = f"{TOKENS}/{at(call(server, 'GET', '/v2/me', theirs).json, 'data', 'id')}"
    assert (
        call(server, "GET", path, admin).json["detail"] == call(server, "GET", f"{TOKENS}/tok_0", admin).json["detail"]
    )
    assert call(server, "DELETE", path, admin).status == 404


def test_everything_wrong_with_a_token_is_told_at_once(server: Server, admin: str) -> None:
    wrong = {"role": "viewer", "scopes": ["all"], "sites": ["a b"], "expires_at": "2020-01-01T00:00:00Z"}
    reply = send(server, "POST", TOKENS, admin, wrong)
    assert reply.status == 422
    places = sorted(str(at(one, "source", "pointer")).rpartition("/")[2] for one in items(reply.json["errors"]))
    assert places == ["expires_at", "scopes", "scopes", "sites"]
    assert send(server, "POST", TOKENS, admin, {}).codes == ["MISSING_REQUIRED_PROPERTY"]


def test_the_catalogues_say_what_can_be_set_and_what_is_secret(server: Server, admin: str) -> None:
    reply = call(server, "GET", "/v2/29/destination-catalog?include=categories", admin).json
    webhook = next(one for one in items(reply["data"]) if one["id"] == "webhook")
    schema = at(webhook, "attributes", "settings_schema")
    assert at(schema, "required") == ["url"]
    members = at(schema, "properties")
    assert isinstance(members, dict)
    assert {name for name, one in members.items() if one.get("writeOnly")} == {"headers", "secret"}
    (category,) = items(at(webhook, "relationships", "categories", "data"))
    assert category["id"] in {one["id"] for one in items(reply["included"])}


def test_the_whole_configuration_is_for_who_may_see_all_sites_in_it(server: Server, admin: str) -> None:
    both = token_for(server, "admin", "29", "31")
    for path in ("configuration", "configuration/versions", "configuration/versions/1"):
        assert call(server, "GET", f"/v2/29/{path}", both).status == 200
        assert call(server, "GET", f"/v2/29/{path}", admin).status == 404
    body = {"data": {"attributes": {"text": "sites: {}"}}}
    assert call(server, "POST", "/v2/29/configuration", admin, body).status == 404
    assert call(server, "POST", "/v2/29/configuration", both, body).status == 422


def test_a_change_at_one_site_touches_and_tells_nothing_of_another(server: Server, admin: str) -> None:
    body = {"data": {"attributes": {"label": "other", "template": "server"}}}
    made = call(server, "POST", "/v2/29/sources", admin, body)
    assert (made.status, at(made.json, "data", "attributes", "name")) == (201, "other")
    theirs = items(call(server, "GET", "/v2/31/sources", token_for(server, "admin", "31")).json["data"])
    assert [at(one, "attributes", "label") for one in theirs] == ["other"]
    for method in ("GET", "PATCH", "DELETE"):
        path = f"/v2/29/sources/{theirs[0]['id']}"
        reply = call(server, method, path, admin, body if method == "PATCH" else None)
        assert (reply.status, reply.json["detail"]) == (404, "there is no source with this id")
    link = {"data": [{"type": "integrations", "id": str(theirs[0]["id"])}]}
    archive = items(call(server, "GET", "/v2/29/destinations", admin).json["data"])[0]["id"]
    assert call(server, "POST", f"/v2/29/destinations/{archive}/relationships/sources", admin, link).status == 422
