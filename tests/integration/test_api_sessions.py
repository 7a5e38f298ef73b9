"""Sessions over HTTP: the API does for a person who has logged in what it does for a token, and no more."""

import itertools
import re
from collections.abc import Iterator

import pytest

from tests.support.api import Reply, at, call, items, path_of, token_for
from tests.support.server import CONFIG, Server, kill, until
from turnout.control.access.account_desk import AccountDesk
from turnout.control.access.database import Database
from turnout.control.access.scopes import ROLES, Role
from turnout.control.access.sessions import Opened, Sessions
from turnout.control.api.operation import Operation
from turnout.control.api.table import OPERATIONS
from turnout.model.clock import now_ms

EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("sessions") / "data", CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def viewer(server: Server) -> Opened:
    return session_for(server, "viewer")


@pytest.fixture(scope="module")
def admin(server: Server) -> Opened:
    return session_for(server, "admin")


def session_for(server: Server, role: Role) -> Opened:
    """A session of a new account for site 29."""
    database = Database.of(server.data)
    try:
        email = f"{next(_numbers)}@example.org"
        account, _ = AccountDesk(database, "cli").create(email=email, role=role, sites=("29",), now_ms=now_ms())
        return Sessions(database).open(account.id, now_ms())
    finally:
        database.close()


def ask(
    server: Server, method: str, path: str, session: Opened, body: object = None, csrf: bool = True, key: str = ""
) -> Reply:
    headers = {"Cookie": f"other=1; turnout_session={session.secret}"}
    headers |= {"X-CSRF-Token": session.csrf} if csrf else {}
    return call(server, method, path, None, body, headers | ({"Idempotency-Key": key} if key else {}))


@EVERY
def test_a_session_opens_what_the_role_of_its_owner_says(server: Server, viewer: Opened, operation: Operation) -> None:
    reply = ask(server, operation.method, path_of(operation, "29"), viewer)
    if operation.scope is None or operation.scope in ROLES["viewer"]:
        assert reply.status not in (401, 403), reply.body
    else:
        assert (reply.status, reply.codes) == (403, ["MISSING_SCOPE"])


@EVERY
def test_a_session_changes_nothing_without_its_csrf_token(server: Server, admin: Opened, operation: Operation) -> None:
    reply = ask(server, operation.method, path_of(operation, "29"), admin, csrf=False)
    if operation.method == "GET":
        assert reply.status not in (401, 403), reply.body
    else:
        assert (reply.status, reply.codes) == (403, ["CSRF_TOKEN_MISMATCH"])


def test_a_session_does_not_open_a_foreign_site(server: Server, admin: Opened) -> None:
    assert ask(server, "GET", "/v2/31/sources", admin).codes == ["SITE_ACCESS_FORBIDDEN"]


def test_what_is_no_session_is_told_to_log_in(server: Server) -> None:
    replies = [ask(server, "GET", "/v2/me", Opened(secret, "")) for secret in ("a" * 43, "nonsense")]
    assert [(one.status, one.codes) for one in replies] == [(401, ["UNKNOWN_SESSION"])] * 2


def test_a_token_counts_before_a_session(server: Server, viewer: Opened) -> None:
    headers = {"Cookie": f"turnout_session={viewer.secret}"}
    body = {"data": {"attributes": {"role": "viewer"}}}
    reply = call(server, "POST", "/v2/29/api-tokens", token_for(server, "admin", "29"), body, headers)
    assert reply.status == 201, reply.body
    assert call(server, "GET", "/v2/me", "nope", headers=headers).codes == ["UNKNOWN_TOKEN"]


def test_with_a_key_a_request_of_a_session_is_run_once_and_answers_no_other_session(
    server: Server, admin: Opened
) -> None:
    body = {"data": {"attributes": {"role": "viewer", "name": "wall"}}}
    first, again = (ask(server, "POST", "/v2/29/api-tokens", admin, body, key="one") for _ in range(2))
    assert (first.status, again.body, again.headers["idempotency-replayed"]) == (201, first.body, "true")
    other = ask(server, "POST", "/v2/29/api-tokens", session_for(server, "admin"), body, key="one")
    assert other.status == 201
    assert other.body != first.body


def test_the_activity_log_names_the_account(server: Server, admin: Opened) -> None:
    me = at(ask(server, "GET", "/v2/me", admin).json, "data", "id")
    ask(server, "POST", "/v2/29/api-tokens", admin, {"data": {"attributes": {"role": "viewer"}}})
    log = items(ask(server, "GET", f"/v2/29/activity-logs?filter[causer_id]={me}", admin).json["data"])
    assert at(log[0], "attributes", "action") == "tokens.create"


def test_a_start_says_where_the_first_account_is_made_while_there_is_none_and_logs_nobody_out(
    server: Server, viewer: Opened
) -> None:
    said = re.compile(r"^turnout: make the first account at (http://127\.0\.0\.1:\d+/ui/welcome)/[\w-]{43}$", re.M)
    assert said.findall(server.errors) == [f"http://127.0.0.1:{server.control_port}/ui/welcome"]
    before = server.pid("control")
    assert before is not None
    kill(before)
    until(lambda: server.pid("control") not in (None, before) and server.ready(), "another control process")
    assert len(said.findall(server.errors)) == 1, "there are accounts now"
    assert ask(server, "GET", "/v2/me", viewer).status == 200
