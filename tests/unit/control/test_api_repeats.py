"""`Idempotency-Key`: a request is run once at most, and only its asker reads the answer."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from turnout.control.access.database import Database
from turnout.control.api.problems import ApiError
from turnout.control.api.repeats import KEPT_MS, Answer, Claim, Repeats

SECRET = b'{"token":"shown-once"}'
ANSWER = Answer(status=201, headers={"Location": "/v2/29/things/1"}, body=SECRET)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.of(tmp_path)
    yield made
    made.close()


def begun(repeats: Repeats, request: bytes = b"POST /", key: str = "k", token: str = "t", at_ms: int = 0) -> Claim:
    claim = repeats.begin(key, token, request, at_ms)
    assert isinstance(claim, Claim)
    return claim


def refused(repeats: Repeats, request: bytes = b"POST /", key: str = "k") -> ApiError:
    with pytest.raises(ApiError) as error:
        repeats.begin(key, "t", request, 0)
    return error.value


def test_the_second_time_the_first_answer_is_given_also_after_a_restart(database: Database) -> None:
    repeats = Repeats(database)
    repeats.end(begun(repeats), ANSWER)
    for one in (repeats, Repeats(database)):
        again = one.begin("k", "t", b"POST /", 1)
        assert isinstance(again, Answer)
        assert (again.status, again.body) == (201, SECRET)
        assert again.headers == {"Location": "/v2/29/things/1", "Idempotency-Replayed": "true"}


def test_another_request_with_the_key_is_refused(database: Database) -> None:
    repeats = Repeats(database)
    repeats.end(begun(repeats), ANSWER)
    assert (refused(repeats, b"other").status, refused(repeats, b"other").faults[0].code) == (409, "CONFLICT")


def test_keys_of_two_tokens_are_two_keys(database: Database) -> None:
    repeats = Repeats(database)
    repeats.end(begun(repeats), ANSWER)
    begun(repeats, token="other")


def test_while_one_runs_no_other_does(database: Database) -> None:
    repeats = Repeats(database)
    claims: list[Claim] = []
    errors: list[ApiError] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        try:
            claims.append(begun(repeats))
        except ApiError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(claims) == 1
    assert {(one.status, one.headers["Retry-After"]) for one in errors} == {(409, "1")}


def test_what_was_interrupted_is_never_run_again_unasked(database: Database) -> None:
    begun(Repeats(database))
    assert "interrupted" in refused(Repeats(database)).faults[0].detail


def test_what_was_refused_may_be_tried_again_with_the_key(database: Database) -> None:
    repeats = Repeats(database)
    repeats.end(begun(repeats), None)
    repeats.end(begun(repeats, b"corrected"), ANSWER)


def test_a_key_is_forgotten_after_a_day(database: Database) -> None:
    repeats = Repeats(database)
    repeats.end(begun(repeats), ANSWER)
    begun(repeats, b"other", at_ms=KEPT_MS + 1)


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_what_is_no_key_is_refused(database: Database, key: str) -> None:
    assert refused(Repeats(database), key=key).status == 400


def test_an_answer_is_on_disk_for_its_asker_alone(database: Database, tmp_path: Path) -> None:
    repeats = Repeats(database)
    repeats.end(begun(repeats, key="my-own-key", token="my-own-token"), ANSWER)
    content = b"".join(file.read_bytes() for file in tmp_path.glob("control.db*"))
    assert not any(secret in content for secret in (b"shown-once", b"my-own-key", b"my-own-token"))
