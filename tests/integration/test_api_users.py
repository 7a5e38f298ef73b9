"""Accounts over the API: invited, changed and removed, never with more rights than whoever asks."""

import itertools
from collections.abc import Iterator, Mapping

import pytest

from tests.support.api import Reply, at, call, items, token_for
from tests.support.server import CONFIG, Server
from turnout.control.access.database import Database
from turnout.control.access.door import Door
from turnout.control.access.logins import Logins
from turnout.model.clock import now_ms

USERS = "/v2/admin/users"
PASSWORD = "correct horse battery"
OTHER = """
  "31":
    sources:
      other: {type: web, key: b1946ac9-2490-4a5b-9d61-000000000031}
"""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("users") / "data", CONFIG + OTHER) as running:
        yield running


@pytest.fixture(scope="module")
def root(server: Server) -> str:
    """May everything, everywhere."""
    return token_for(server, "admin", "*")


@pytest.fixture(scope="module")
def clerk(server: Server) -> str:
    """May keep accounts of site 29, and look at sources."""
    return token_for(server, "custom", "29", scopes=("accounts:write", "sources:read"))


def send(server: Server, method: str, path: str, token: str, to: Mapping[str, object], key: str = "") -> Reply:
    body = {"data": {"type": "users", "attributes": to}}
    return call(server, method, path, token, body, {"Idempotency-Key": key} if key else None)


def invited(server: Server, token: str, **to: object) -> tuple[str, str]:
    """The path of a new account, and the link to it."""
    reply = send(server, "POST", USERS, token, {"email": f"{next(_numbers)}@example.org", "role": "viewer", **to})
    assert reply.status == 201, reply.body
    return reply.headers["location"], str(at(reply.json, "meta", "link"))


def accept(server: Server, link: str) -> str:
    """Follow a link and choose a password; the secret of the session."""
    database = Database.of(server.data)
    try:
        door = Door(database, Logins())
        return door.accept(link.rpartition("/")[2], PASSWORD, "127.0.0.1", now_ms()).secret
    finally:
        database.close()


def attribute(reply: Reply, name: str) -> object:
    assert reply.status == 200, reply.body
    return at(reply.json, "data", "attributes", name)


def test_an_account_lives_from_its_invitation_to_its_end(server: Server, root: str) -> None:
    path, link = invited(
        server, root, email="Ana@Example.org", first_name="Ana", role="viewer", sites=["29"], language="fr"
    )
    assert link.startswith(f"http://127.0.0.1:{server.control_port}/ui/welcome/")
    shown = call(server, "GET", path, root)
    assert (attribute(shown, "email"), attribute(shown, "state")) == ("ana@example.org", "invited")
    assert b"link" not in shown.body.replace(b'"links"', b"")
    cookie = {"Cookie": f"turnout_session={accept(server, link)}"}
    me = call(server, "GET", "/v2/me", headers=cookie)
    assert at(me.json, "data", "type") == "users"
    assert [attribute(me, name) for name in ("name", "first_name", "language", "sites")] == [
        "ana@example.org",
        "Ana",
        "fr",
        ["29"],
    ]
    assert call(server, "GET", "/v2/29/sources", headers=cookie).status == 200
    assert attribute(call(server, "GET", path, root), "last_login_at") is not None
    changed = send(server, "PATCH", path, root, {"scopes": ["audit:read"], "last_name": "Lis", "sites": ["29", "31"]})
    assert [attribute(changed, name) for name in ("role", "first_name", "last_name")] == ["custom", "Ana", "Lis"]
    opens = [call(server, "GET", f"/v2/{one}", headers=cookie).status for one in ("29/sources", "31/activity-logs")]
    assert opens == [403, 200]
    assert attribute(send(server, "PATCH", path, root, {"disabled": True}), "state") == "disabled"
    assert call(server, "GET", "/v2/me", headers=cookie).codes == ["UNKNOWN_SESSION"]
    assert call(server, "POST", f"{path}/link", root).codes == ["CONFLICT"]
    assert attribute(send(server, "PATCH", path, root, {"disabled": False}), "state") == "active"
    renewed = call(server, "POST", f"{path}/link", root)
    secret = accept(server, str(at(renewed.json, "meta", "link")))
    assert call(server, "DELETE", path, root).status == 204
    assert call(server, "GET", path, root).status == 404
    assert call(server, "GET", "/v2/me", headers={"Cookie": f"turnout_session={secret}"}).status == 401
    log = items(call(server, "GET", "/v2/31/activity-logs?filter[feature]=accounts", root).json["data"])
    assert {str(at(one, "attributes", "action")) for one in log} == {
        f"accounts.{word}" for word in ("update", "link", "password", "login", "delete")
    }, "what concerns site 31"
    assert b"ana@example.org" not in call(server, "GET", "/v2/31/activity-logs", root).body


def test_the_same_invitation_twice_makes_one_account(server: Server, root: str) -> None:
    to = {"email": "twice@example.org", "role": "viewer"}
    first, second = (send(server, "POST", USERS, root, to, "one-account") for _ in range(2))
    assert (first.status, first.body) == (201, second.body)
    again = send(server, "POST", USERS, root, to)
    assert (again.status, again.codes) == (409, ["ALREADY_EXISTS"])


def test_the_documented_body_is_taken(server: Server, root: str) -> None:
    body = {
        "type": "end_user",
        "email": "older@example.org",
        "first_name": "O",
        "last_name": "Lder",
        "language": "fr",
        "profile": "Read only",
        "workspaces": [29, "31"],
    }
    reply = send(server, "POST", "/v2/29/admin/users", root, body)
    assert reply.status == 201, reply.body
    assert at(reply.json, "data", "attributes", "role") == "viewer"
    assert at(reply.json, "data", "attributes", "sites") == ["29", "31"]
    of_site = send(server, "POST", "/v2/29/admin/users", root, {"email": "o@example.org", "role": "viewer"})
    assert at(of_site.json, "data", "attributes", "sites") == ["29"]
    assert call(server, "DELETE", f"/v2/29/admin/users/{at(reply.json, 'data', 'id')}", root).status == 204


@pytest.mark.parametrize(
    ("wanted", "pointers"),
    [
        ({"email": "nobody", "role": "viewer"}, ["email"]),
        ({"email": "a@example.org"}, ["role"]),
        ({"email": "a@example.org", "role": "viewer", "scopes": ["audit:read"]}, ["scopes"]),
        ({"email": "no", "scopes": ["x:y"], "sites": ["a/b"]}, ["email", "sites", "scopes"]),
        ({"email": "a@example.org", "profile": "king", "workspaces": []}, ["profile", "workspaces"]),
        ({"email": "a@example.org", "role": "viewer", "profile": "viewer"}, ["profile"]),
        ({"email": "a@example.org", "role": "viewer", "sites": ["29"], "workspaces": [29]}, ["workspaces"]),
        ({"email": "a@example.org", "role": "viewer", "first_name": "x" * 51}, ["first_name"]),
        ({"email": "a@example.org", "role": "viewer", "language": "de"}, ["language"]),
    ],
)
def test_everything_that_is_wrong_is_told_at_once(
    server: Server, root: str, wanted: dict[str, object], pointers: list[str]
) -> None:
    reply = send(server, "POST", USERS, root, wanted)
    assert reply.status == 422
    assert [at(one, "source", "pointer") for one in items(reply.json["errors"])] == [
        f"/data/attributes/{one}" for one in pointers
    ]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"role": "admin"}, "MISSING_SCOPE"),
        ({"scopes": ["sources:write"]}, "MISSING_SCOPE"),
        ({"scopes": ["sources:read"], "sites": ["29", "31"]}, "SITE_ACCESS_FORBIDDEN"),
        ({"scopes": ["sources:read"], "sites": ["*"]}, "SITE_ACCESS_FORBIDDEN"),
    ],
)
def test_nobody_gives_what_they_have_not(server: Server, clerk: str, wanted: dict[str, object], code: str) -> None:
    reply = send(server, "POST", USERS, clerk, {"email": "more@example.org", **wanted})
    assert (reply.status, reply.codes) == (403, [code])
    own = send(server, "POST", USERS, clerk, {"email": f"{next(_numbers)}@example.org", "scopes": ["sources:read"]})
    assert at(own.json, "data", "attributes", "sites") == ["29"]
    assert send(server, "PATCH", own.headers["location"], clerk, wanted).codes == [code]


@pytest.mark.parametrize(("role", "sites"), [("admin", ["29"]), ("viewer", ["29", "31"]), ("viewer", ["*"])])
def test_nobody_takes_over_an_account_that_may_more(
    server: Server, clerk: str, root: str, role: str, sites: list[str]
) -> None:
    path, _ = invited(server, root, role=role, sites=sites)
    replies = [send(server, "PATCH", path, clerk, {"email": "mine@example.org"}), call(server, "DELETE", path, clerk)]
    replies.append(call(server, "POST", f"{path}/link", clerk))
    assert [one.status for one in replies] == [403] * 3
    assert attribute(call(server, "GET", path, clerk), "sites") == ["29"]


def test_accounts_of_other_sites_are_not_there(server: Server, clerk: str, root: str) -> None:
    path, _ = invited(server, root, sites=["31"])
    foreign, absent = (call(server, "GET", one, clerk) for one in (path, f"{USERS}/usr_0"))
    assert (foreign.status, foreign.json["detail"]) == (404, absent.json["detail"])
    assert [call(server, method, path, clerk).status for method in ("DELETE", "GET")] == [404, 404]
    listed = [one["id"] for one in items(call(server, "GET", USERS, clerk).json["data"])]
    everywhere = [one["id"] for one in items(call(server, "GET", USERS, root).json["data"])]
    assert path.rpartition("/")[2] in set(everywhere) - set(listed)
    some = call(server, "GET", f"{USERS}?filter[state]=invited&page[size]=1&sort=-created_at", root)
    assert at(items(some.json["data"])[0], "attributes", "state") == "invited"


def test_the_last_administrator_of_a_site_stays_one(server: Server, root: str) -> None:
    path, link = invited(server, root, role="admin", sites=["29"])
    accept(server, link)
    for reply in (
        call(server, "DELETE", path, root),
        send(server, "PATCH", path, root, {"role": "viewer"}),
        send(server, "PATCH", path, root, {"disabled": True}),
    ):
        assert (reply.status, reply.codes) == (409, ["CONFLICT"])
        assert "nobody else can log in as administrator of site 29" in str(reply.json["detail"])
    _, other = invited(server, root, role="admin", sites=["29", "31"])
    accept(server, other)
    assert call(server, "DELETE", path, root).status == 204
