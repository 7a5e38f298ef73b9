"""Which events are a person's, and that none of theirs is passed over unseen."""

import json
from hashlib import md5, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.model.person import Names, Person, named

ANA = Person(user_ids=("42",), anonymous_ids=("device-1",), emails=(" Ana@Example.org",), visitors=("shared",))
MD5, SHA256 = md5(b"ana@example.org").hexdigest(), sha256(b"ana@example.org").hexdigest()

HERS = [
    {"user": {"id": "42"}},
    {"user": {"id": 42}},
    {"user": {"id": 42.0}},
    {"user": {"id_sha256": sha256(b"42").hexdigest()}},
    {"user": {"email": "ANA@example.org "}},
    {"user": {"email_md5": MD5}},
    {"user": {"email_sha256": SHA256.upper()}},
    {"user": {"consistent_anonymous_id": "device-1", "id": "43"}},
    {"user": {"tcId": "device-1"}},
    {"context": {"device": {"sdk_id": "device-1"}}},
    {"properties": {"user": {"id": "42"}}},
    {"device": {"sdk_id": "device-1"}},
    {"user": {"consistent_anonymous_id": "shared"}},
]
NOT_HERS = [
    {},
    {"user": {"id": "421"}},
    {"user": {"id": True}},
    {"user": "42"},
    {"user": {"id": "device-1"}},
    {"user": {"consistent_anonymous_id": "42"}},
    {"user": {"email": "ana@example.organisation"}},
    {"id": "42"},
    {"properties": {"id": "42"}},
    {"user": {"consistent_anonymous_id": "shared", "id": "43"}},
    {"user": {"consistent_anonymous_id": "shared", "email": "bob@example.org"}},
    {"user": {"id": ""}},
]


@pytest.mark.parametrize("event", HERS, ids=json.dumps)
def test_an_event_that_names_the_person_is_theirs(event: dict[str, object]) -> None:
    assert ANA.matcher()(event)
    assert ANA.suspect()(json.dumps(event).encode())


@pytest.mark.parametrize("event", NOT_HERS, ids=json.dumps)
def test_an_event_of_somebody_else_is_not(event: dict[str, object]) -> None:
    assert not ANA.matcher()(event)


def test_nobody_has_no_events() -> None:
    assert not Person(emails=(" ",), user_ids=("",)).matcher()({"user": {"id": "", "email": ""}})


@given(st.text(min_size=1), st.booleans(), st.sampled_from(["id", "email", "consistent_anonymous_id"]))
def test_whatever_is_the_persons_is_suspected(value: str, ascii_only: bool, field: str) -> None:
    event = {"user": {field: value}}
    person = Person(user_ids=(value,), anonymous_ids=(value,), emails=(value,))
    text = json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    for written in (text, text.replace(b"/", rb"\/")):
        assert person.suspect()(written) or not person.matcher()(event)


def test_an_event_tells_whom_it_names() -> None:
    names = named({"user": {"id": 7, "tcid": "v", "email": "B@x.org"}, "context": {"device": {"sdk_id": 9}}})
    assert names == Names(frozenset({"7"}), frozenset({"v", "9"}), frozenset({"b@x.org"}))
