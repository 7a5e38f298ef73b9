"""From a request to its answer, without a socket: above all, what happens when the server itself can't."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from turnout.control.access.desk import opened
from turnout.control.api import dead_letters, delivery, sources
from turnout.control.api.answer import Answer, Api, Request
from turnout.control.api.documents import Nothing, Single
from turnout.control.api.operation import Call, Operation, operation
from turnout.control.api.table import OPERATIONS
from turnout.control.api.world import World
from turnout.log.interface import Log
from turnout.log.memory import MemoryLog
from turnout.model.config import Snapshot
from turnout.model.event import ACCEPTED, PROCESSED
from turnout.settings import Settings

SITE = Snapshot(version="1", sites=frozenset({"29"}))


def memory() -> Log:
    return MemoryLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(Settings(data=str(tmp_path)), lambda: SITE, memory)
    yield made
    made.close()


@pytest.fixture
def token(tmp_path: Path) -> str:
    with opened(tmp_path, "cli") as desk:
        _, credential = desk.issue(name="", role="admin", scopes=(), sites=("29",), expires_ms=None, now_ms=1)
    return credential.text


def ask(world: World, one: Operation, token: str) -> Answer:
    request = Request(
        url=one.path.format(site="29", id="1", event_id="e-1"),
        params={"site": "29"},
        headers={"authorization": f"Bearer {token}"},
        body=b"",
        address="127.0.0.1",
        id="req_1",
    )
    return Api(world).answer(one, request)


def codes(answer: Answer) -> list[str]:
    return [error["code"] for error in json.loads(answer.body)["errors"]]


@operation("GET", "/v2/{site}/mistake", scope=None, tag="Test")
def mistaken(call: Call[Nothing, Nothing]) -> Single[str]:
    """An operation with a bug."""
    raise LookupError("something that nobody should read")


def test_a_bug_is_answered_with_the_id_under_which_the_log_has_it(world: World, token: str) -> None:
    answer = ask(world, mistaken, token)
    assert (answer.status, codes(answer)) == (500, ["SERVER_ERROR"])
    assert b"nobody should read" not in answer.body
    assert json.loads(answer.body)["request_id"] == "req_1"


def test_a_bug_is_not_reached_without_a_token(world: World) -> None:
    assert ask(world, mistaken, "nope").status == 401


def test_receipts_that_are_broken_cost_what_needs_them_alone(world: World, token: str, tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database at all, longer than any header would be " * 10)
    answer = ask(world, delivery.list_pending, token)
    assert (answer.status, codes(answer), answer.headers["Retry-After"]) == (503, ["SERVICE_UNAVAILABLE"], "5")
    assert str(tmp_path).encode() not in answer.body
    assert ask(world, sources.list_sources, token).status == 200


def test_a_store_of_tokens_that_is_broken_opens_nothing(world: World, tmp_path: Path) -> None:
    (tmp_path / "control.db").write_bytes(b"no database at all, longer than any header would be " * 10)
    for one in OPERATIONS:
        answer = ask(world, one, "trn_" + "0" * 18 + "_" + "a" * 43)
        assert answer.status == 503


def test_a_look_that_can_not_be_recorded_is_not_granted(world: World, token: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "control.db") as broken:
        broken.execute("DROP TABLE activity")
    request = Request(
        url="/v2/29/dead-letters?fields=full",
        params={"site": "29"},
        headers={"authorization": f"Bearer {token}"},
        body=b"",
        address="127.0.0.1",
        id="req_1",
    )
    assert Api(world).answer(dead_letters.list_dead_letters, request).status == 503
    summary = msgspec.structs.replace(request, url="/v2/29/dead-letters")
    assert Api(world).answer(dead_letters.list_dead_letters, summary).status == 200
