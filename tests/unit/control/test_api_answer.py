"""From a request to its answer, without a socket: above all, what happens when the server itself can't."""

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from tests.support.api import path_of
from turnout.control.access.desk import opened
from turnout.control.api import dead_letters, delivery, sources
from turnout.control.api.answer import Api, Request
from turnout.control.api.documents import New, Nothing, Resource, Single
from turnout.control.api.operation import Call, Operation, operation
from turnout.control.api.problems import failure, not_found
from turnout.control.api.repeats import Answer
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
        url=path_of(one, "29"),
        params={"site": "29"},
        headers={"authorization": f"Bearer {token}"},
        body=b"",
        address="127.0.0.1",
        id="req_1",
    )
    return Api(world, OPERATIONS).answer(one, request)


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
        broken.execute("ALTER TABLE activity RENAME COLUMN subject TO other")
    request = Request(
        url="/v2/29/dead-letters?fields=full",
        params={"site": "29"},
        headers={"authorization": f"Bearer {token}"},
        body=b"",
        address="127.0.0.1",
        id="req_1",
    )
    assert Api(world, OPERATIONS).answer(dead_letters.list_dead_letters, request).status == 503
    summary = msgspec.structs.replace(request, url="/v2/29/dead-letters")
    assert Api(world, OPERATIONS).answer(dead_letters.list_dead_letters, summary).status == 200


# what changes something


class Thing(msgspec.Struct, frozen=True):
    size: int


class Dry(msgspec.Struct, frozen=True, kw_only=True):
    dry_run: bool = False


THINGS = {"1": 1}


@operation("GET", "/v2/{site}/things/{id}", scope=None, tag="Test", etag=True)
def get_thing(call: Call[Nothing, Nothing]) -> Single[Thing]:
    """One thing."""
    if call.path["id"] not in THINGS:
        raise not_found()
    return Single(Resource(type="things", id=int(call.path["id"]), attributes=Thing(THINGS[call.path["id"]])))


@operation("PATCH", "/v2/{site}/things/{id}", scope=None, tag="Test")
def change_thing(call: Call[Nothing, New[Thing]]) -> Single[Thing]:
    """Change it."""
    THINGS[call.path["id"]] = call.body.data.attributes.size
    return Single(Resource(type="things", id=int(call.path["id"]), attributes=Thing(THINGS[call.path["id"]])))


@operation("DELETE", "/v2/{site}/things/{id}", scope=None, tag="Test")
def delete_thing(call: Call[Nothing, Nothing]) -> None:
    """Delete it."""
    del THINGS[call.path["id"]]


@operation("POST", "/v2/{site}/things", scope=None, tag="Test", status=201)
def create_thing(call: Call[Dry, Thing]) -> Single[Thing]:
    """Make one."""
    if call.body.size < 0:
        raise failure(422, "INVALID_PROPERTY_FORMAT", "too small")
    made = None if call.query.dry_run else len(THINGS) + 1
    if made is not None:
        THINGS[str(made)] = call.body.size
    links = {"self": f"/v2/29/things/{made}"}
    return Single(Resource(type="things", id=made, attributes=Thing(call.body.size), links=links))


TABLE = (get_thing, change_thing, delete_thing, create_thing)


@pytest.fixture
def api(world: World) -> Api:
    THINGS.clear()
    THINGS["1"] = 1
    return Api(world, TABLE)


def request(token: str, query: str = "", body: object = None, path_id: str = "1", **headers: str) -> Request:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        sent["content-type"] = "application/json"
    return Request(
        url=f"/v2/29/things/{path_id}{query}",
        params={"site": "29", "id": path_id},
        headers={"authorization": f"Bearer {token}", **sent},
        body=b"" if body is None else json.dumps(body).encode(),
        address="127.0.0.1",
        id="req_1",
    )


def sized(size: int) -> dict[str, object]:
    return {"data": {"type": "things", "id": 1, "attributes": {"size": size}}}


def test_what_was_changed_in_the_meantime_is_not_changed_again(api: Api, token: str) -> None:
    etag = api.answer(get_thing, request(token)).headers["ETag"]
    first = api.answer(change_thing, request(token, body=sized(2), if_match=etag))
    assert (first.status, first.headers["ETag"]) == (200, api.answer(get_thing, request(token)).headers["ETag"])
    for one, body in ((change_thing, sized(3)), (delete_thing, None)):
        second = api.answer(one, request(token, body=body, if_match=etag))
        assert (second.status, codes(second)) == (412, ["ETAG_MISMATCH"])
    assert THINGS == {"1": 2}
    third = api.answer(delete_thing, request(token, if_match=f'"0", W/{first.headers["ETag"]}'))
    assert (third.status, third.body, "Content-Type" in third.headers, THINGS) == (204, b"", False, {})
    assert api.answer(delete_thing, request(token, if_match="*")).status == 404


def test_a_condition_that_can_not_be_kept_is_not_passed_over(api: Api, token: str) -> None:
    refused = api.answer(create_thing, request(token, body={"size": 5}, if_match="*"))
    assert (refused.status, codes(refused), len(THINGS)) == (400, ["INVALID_PARAMETER"], 1)


def test_of_changes_at_the_same_moment_one_is_done(api: Api, token: str) -> None:
    etag = api.answer(get_thing, request(token)).headers["ETag"]
    asked = [request(token, body=sized(size), if_match=etag) for size in range(2, 10)]
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda one: api.answer(change_thing, one).status, asked))
    assert sorted(statuses) == [200] + [412] * 7


def test_what_was_made_says_where_it_is_and_a_dry_run_makes_nothing(api: Api, token: str) -> None:
    made = api.answer(create_thing, request(token, body={"size": 5}))
    assert (made.status, made.headers["Location"]) == (201, "/v2/29/things/2")
    dry = api.answer(create_thing, request(token, "?dry_run=true", {"size": 5}))
    assert (dry.status, "Location" in dry.headers, len(THINGS)) == (200, False, 2)


def test_with_a_key_a_request_is_run_once(api: Api, token: str) -> None:
    asked = request(token, body={"size": 5}, idempotency_key="k1")
    first, second = api.answer(create_thing, asked), api.answer(create_thing, asked)
    assert (first.status, first.body) == (second.status, second.body)
    assert second.headers == first.headers | {"Idempotency-Replayed": "true"}
    assert len(THINGS) == 2
    other = api.answer(create_thing, request(token, body={"size": 6}, idempotency_key="k1"))
    assert (other.status, codes(other)) == (409, ["CONFLICT"])


def test_what_is_refused_leaves_its_key_free(api: Api, token: str) -> None:
    assert api.answer(create_thing, request(token, body={"size": -1}, idempotency_key="k1")).status == 422
    assert api.answer(create_thing, request(token, body={"size": 1}, idempotency_key="k1")).status == 201


@pytest.mark.parametrize("path_id", ["-1", str(2**53), "9" * 40])
def test_a_number_that_nothing_can_have_is_not_found(api: Api, token: str, path_id: str) -> None:
    assert api.answer(get_thing, request(token, path_id=path_id)).status == 404
