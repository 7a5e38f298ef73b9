"""Authorization, for the whole table: every route, every role, own and foreign sites, every kind of token.

A new operation is in here as soon as it is in the table, and it can't be reachable without being there.
"""

import asyncio
import importlib
import itertools
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Reply, call, path_of, token_for
from tests.support.server import CONFIG, KEY, Server
from turnout.control import api as api_package
from turnout.control.access import token as tokens
from turnout.control.access.scopes import ROLES, Role
from turnout.control.api.operation import Operation
from turnout.control.api.table import OPERATIONS
from turnout.control.api.world import World
from turnout.control.http import control_app
from turnout.control.ui.table import PAGES
from turnout.model.clock import now_ms
from turnout.model.config import EMPTY
from turnout.settings import Settings

OTHER = """
  "31":
    sources:
      other: {type: web, key: b1946ac9-2490-4a5b-9d61-000000000031}
"""
ROLE_NAMES: tuple[Role, ...] = ("viewer", "editor", "admin")
EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
OF_A_SITE = pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if "{site}" in one.path], ids=lambda one: one.name
)
_addresses = itertools.count(2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("matrix") / "data", CONFIG + OTHER) as running:
        yield running


@pytest.fixture(scope="module")
def by_role(server: Server) -> dict[str, str]:
    """A token of each role for site 29."""
    return {role: token_for(server, role, "29") for role in ROLE_NAMES}


def ask(server: Server, operation: Operation, site: str, token: str | None, address: str = "127.0.0.1") -> Reply:
    return call(server, operation.method, path_of(operation, site), token, address=address)


def another_address() -> str:
    """One that has not been wrong too often."""
    return f"127.0.1.{next(_addresses)}"


def without_ids(reply: Reply) -> tuple[int, dict[str, object]]:
    """An answer but for what is another in each."""
    return reply.status, {name: value for name, value in reply.json.items() if name not in ("request_id", "instance")}


@EVERY
@pytest.mark.parametrize("role", ROLE_NAMES)
def test_a_role_opens_what_its_scopes_say_and_nothing_else(
    server: Server, by_role: dict[str, str], operation: Operation, role: Role
) -> None:
    reply = ask(server, operation, "29", by_role[role])
    if operation.scope is None or operation.scope in ROLES[role]:
        assert reply.status not in (401, 403), reply.body
        assert reply.status < 500, reply.body
    else:
        assert reply.status == 403
        assert reply.codes == ["MISSING_SCOPE"]
        assert reply.json["errors"] == [
            {
                "code": "MISSING_SCOPE",
                "detail": f"the token lacks the scope {operation.scope}",
                "meta": {"required": operation.scope},
            }
        ]


@EVERY
def test_a_token_without_scopes_opens_nothing_that_needs_one(server: Server, operation: Operation) -> None:
    bare = token_for(server, "custom", "29", scopes=())
    assert ask(server, operation, "29", bare).status == (200 if operation.scope is None else 403)


@OF_A_SITE
@pytest.mark.parametrize("role", ROLE_NAMES)
def test_a_foreign_site_is_closed_and_answers_like_one_that_is_not_there(
    server: Server, by_role: dict[str, str], operation: Operation, role: Role
) -> None:
    foreign, absent = (ask(server, operation, site, by_role[role]) for site in ("31", "32"))
    assert without_ids(foreign) == without_ids(absent)
    assert (foreign.status, foreign.codes) == (403, ["SITE_ACCESS_FORBIDDEN"])


@OF_A_SITE
def test_a_token_for_all_sites_finds_that_a_site_is_not_there(server: Server, operation: Operation) -> None:
    reply = ask(server, operation, "32", token_for(server, "admin", "*"))
    assert (reply.status, reply.codes) == (404, ["NOT_FOUND"])


@EVERY
def test_without_a_valid_token_nothing_is_open(server: Server, operation: Operation) -> None:
    address = another_address()
    known = token_for(server, "admin", "29")
    cases = {
        None: "MISSING_AUTHORIZATION_HEADER",
        "nope": "UNKNOWN_TOKEN",
        KEY: "UNKNOWN_TOKEN",
        tokens.mint(now_ms()).text: "UNKNOWN_TOKEN",
        known[:-43] + tokens.mint(now_ms()).secret: "UNKNOWN_TOKEN",
        token_for(server, "admin", "29", expires_ms=now_ms() - 1): "EXPIRED_TOKEN",
        token_for(server, "admin", "29", revoked=True): "REVOKED_TOKEN",
    }
    for token, code in cases.items():
        for site in ("29", "32") if token is None else ("29",):
            reply = ask(server, operation, site, token, address)
            assert (reply.status, reply.codes) == (401, [code])
            assert reply.headers["www-authenticate"] == "Bearer"


@EVERY
def test_an_unknown_token_and_a_wrong_secret_get_the_same_answer(server: Server, operation: Operation) -> None:
    address = another_address()
    known = token_for(server, "admin", "29")
    answers = [
        ask(server, operation, "29", text, address)
        for text in (known[:-43] + tokens.mint(now_ms()).secret, tokens.mint(now_ms()).text)
    ]
    assert without_ids(answers[0]) == without_ids(answers[1])
    assert answers[0].headers.keys() == answers[1].headers.keys()


def test_the_table_has_every_operation_that_is_declared() -> None:
    declared = [
        value
        for module in pkgutil.iter_modules(api_package.__path__)
        for value in vars(importlib.import_module(f"{api_package.__name__}.{module.name}")).values()
        if isinstance(value, Operation)
    ]
    assert {one.name for one in declared} == {one.name for one in OPERATIONS}
    assert len({one.name for one in OPERATIONS}) == len(OPERATIONS)


def test_the_port_has_no_route_beside_the_table_but_the_open_ones(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    world = World(settings, lambda: EMPTY, lambda: pytest.fail("nobody asks"))
    routes = {
        (method, route.path_format)
        for route in control_app(settings, world, asyncio.Event()).routes
        for method in getattr(route, "methods", ())
        if method != "OPTIONS"
    }
    opened = {("GET", path) for path in ("/healthy", "/ready", "/metrics", "/openapi.json", "/docs", "/")}
    pages = {("GET", "/ui/static/{version}/{name}"), *((one.method, one.path) for one in PAGES)}
    assert routes - opened - pages == {(one.method, one.path) for one in OPERATIONS}
    assert opened <= routes


@pytest.mark.parametrize("path", ["/healthy", "/ready", "/metrics", "/openapi.json", "/docs"])
def test_health_and_the_description_need_no_token(server: Server, path: str) -> None:
    assert call(server, "GET", path).status == 200
