"""Who a visitor is: every case of the CAID cookie (`collect.md` §8, §16)."""

import re
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.collect.identity import (
    Identity,
    Visit,
    Visitor,
    do_not_track,
    first_party,
    get_cookie,
    grants,
    identify,
    make_caid,
    read_cookie,
    set_cookie,
)

OLD, NEW = "202312345678901234567890", "202609876543210987654321"
FIRST = Visit("", "shop.example", client_side=True)
NOTHING = Identity(None, None)


class Case(NamedTuple):
    promise: str
    visit: Visit
    claimed: object
    identity: Identity
    categories: object = None


CASES = [
    Case("cookie, no property: filled from the cookie", FIRST._replace(caid=OLD), None, Identity(OLD, None)),
    Case("cookie and another property: both stay", FIRST._replace(caid=OLD), "other", NOTHING),
    Case("cookie and an empty property: filled", FIRST._replace(caid=OLD), "", Identity(OLD, None)),
    Case("no cookie, a property: becomes the cookie", FIRST, "a.b_c-1", Identity(None, "a.b_c-1")),
    Case("no cookie, a number: becomes the cookie as text", FIRST, 67892, Identity(None, "67892")),
    Case("25 digits are an id", FIRST, "2" * 25, Identity(None, "2" * 25)),
    Case("64 characters are an id", FIRST, "x" * 64, Identity(None, "x" * 64)),
    Case("65 characters are not cookie-safe", FIRST, "x" * 65, NOTHING),
    Case("a semicolon is not cookie-safe", FIRST, "a; Domain=evil", NOTHING),
    Case("a line break is not cookie-safe", FIRST, "a\n", NOTHING),
    Case("a letter beyond ASCII is not cookie-safe", FIRST, "é", NOTHING),
    Case("a boolean is no id", FIRST, True, NOTHING),
    Case("an object is no id", FIRST, {"a": 1}, NOTHING),
    Case("neither: a new one in both", FIRST, None, Identity(NEW, NEW)),
    Case("tc_do_not_track: none is made", FIRST._replace(do_not_track=True), None, NOTHING),
    Case("tc_do_not_track: none is set", FIRST._replace(do_not_track=True), "a", NOTHING),
    Case("tc_do_not_track: none is read", FIRST._replace(do_not_track=True, caid=OLD), None, NOTHING),
    Case("another host: none is made", FIRST._replace(domain=""), None, NOTHING),
    Case("another host: none is set", FIRST._replace(domain=""), "a", NOTHING),
    Case("another host: one that comes is read", FIRST._replace(domain="", caid=OLD), None, Identity(OLD, None)),
    Case("a server's cookies are not a visitor's", FIRST._replace(client_side=False, caid=OLD), None, NOTHING),
    Case("a server gets no cookie", FIRST._replace(client_side=False), None, NOTHING),
    Case("consent required, unknown: none is made", FIRST._replace(requires_consent=True), None, NOTHING),
    Case("consent required, refused: none is made", FIRST._replace(requires_consent=True), None, NOTHING, []),
    Case("consent required, refused: none is set", FIRST._replace(requires_consent=True), "a", NOTHING, []),
    Case("consent required, given", FIRST._replace(requires_consent=True), None, Identity(NEW, NEW), ["1"]),
    Case("consent required, given, property", FIRST._replace(requires_consent=True), "a", Identity(None, "a"), "2"),
    Case("consent required: one that comes is read", FIRST._replace(requires_consent=True, caid=OLD), None,
         Identity(OLD, None), []),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.promise)
def test_identity(case: Case) -> None:
    assert identify(case.visit, case.claimed, case.categories, lambda: NEW) == case.identity


def test_the_events_of_a_request_share_the_cookie_that_is_set() -> None:
    first = identify(FIRST, None, None, lambda: NEW)
    assert first.cookie is not None
    second = identify(FIRST._replace(caid=first.cookie), None, None, lambda: "another")
    assert second == Identity(NEW, None)


@given(st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.lists(st.integers())), st.booleans())
def test_what_is_set_is_always_safe(claimed: object, consent: bool) -> None:
    identity = identify(FIRST._replace(requires_consent=consent), claimed, None, lambda: NEW)
    assert identity.cookie is None or re.fullmatch(r"[A-Za-z0-9._-]{1,64}", identity.cookie)


@pytest.mark.parametrize(
    ("categories", "granted"),
    [(["1"], True), ([0], True), ("1,3", True), (7, True), ([], False), (None, False), ("", False), ([" "], False),
     (True, False), ([True], False), (["1", None], False), ({"1": True}, False), (1.5, False)],
)  # fmt: skip
def test_consent_is_granted_only_by_what_is_well_typed(categories: object, granted: bool) -> None:
    assert grants(categories) is granted


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (None, ""),
        (b"", ""),
        (b"CAID=" + OLD.encode(), OLD),
        (b"a=1; CAID=x.y_z-1; b=2", "x.y_z-1"),
        (b"a=1;CAID = x ;b", "x"),
        (b"caid=x", ""),
        (b"XCAID=x; CAIDX=y; caid=z", ""),
        (b"session=CAID=x", ""),
        (b"CAID", ""),
        (b"CAID=", ""),
        (b'CAID="x"', ""),
        (b"CAID=a b", ""),
        (b"CAID=\xe9", ""),
        (b"CAID=a\x00", ""),
        (b"CAID=" + b"x" * 65, ""),
        (b"CAID=" + b"x" * 64, "x" * 64),
        (b"CAID=<b>; CAID=good; CAID=later", "good"),
    ],
)
def test_only_a_safe_caid_is_read(header: bytes | None, value: str) -> None:
    assert read_cookie(header) == value


@given(st.binary(max_size=100))
def test_reading_cookies_never_raises(header: bytes) -> None:
    read_cookie(header)
    read_cookie(b"CAID=1" + header)


def test_attributes_are_those_of_the_table() -> None:
    attributes = "Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax"
    assert set_cookie(OLD, "shop.example") == f"CAID={OLD}; Domain=.shop.example; {attributes}"
    assert set_cookie(OLD, ".shop.example") == set_cookie(OLD, "shop.example")


@pytest.mark.parametrize("number", [0, 10**20 - 1])
def test_a_new_caid_is_the_year_and_20_digits(number: int) -> None:
    bounds: list[int] = []

    def below(bound: int) -> int:
        bounds.append(bound)
        return number

    caid = make_caid(2026, below)
    assert re.fullmatch(r"2026\d{20}", caid)
    assert caid.endswith(str(number))
    assert bounds == [10**20]


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        ([], False),
        ([("tc_s", "29")], False),
        ([("tc_do_not_track", "0")], False),
        ([("tc_do_not_track", "False")], False),
        ([("tc_do_not_track", "")], True),
        ([("tc_do_not_track", "1")], True),
        ([("tc_do_not_track", "true")], True),
        ([("tc_do_not_track", "no")], True),
        ([("tc_do_not_track", "0"), ("tc_do_not_track", "1")], True),
    ],
)
def test_do_not_track(parameters: list[tuple[str, str]], answer: bool) -> None:
    assert do_not_track(parameters) is answer


COOKIES = b"session=secret; CAID=c1; TCID=t1; caid=no"


@pytest.mark.parametrize(
    ("parameters", "header", "body"),
    [
        ([("tc_s", "29"), ("name", "CAID")], COOKIES, b'{"CAID":"c1"}'),
        ([("tc_s", "29"), ("name", "TCID")], COOKIES, b'{"TCID":"t1"}'),
        ([("name", "TCID")], b"CAID=c1", b'{"TCID":""}'),
        ([("name", "CAID")], None, b'{"CAID":""}'),
        ([("name", "session")], COOKIES, b'{"session":""}'),
        ([("name", "caid")], COOKIES, b'{"caid":""}'),
        ([("name", "CAID"), ("tc_do_not_track", "1")], COOKIES, b'{"CAID":""}'),
        ([("name", '"}<é')], COOKIES, '{"\\"}<é":""}'.encode()),
        ([("name", "n" * 100)], COOKIES, b'{"' + b"n" * 64 + b'":""}'),
        ([], COOKIES, b"{}"),
    ],
)
def test_get_cookie_tells_the_two_ids_and_nothing_else(
    parameters: list[tuple[str, str]], header: bytes | None, body: bytes
) -> None:
    assert get_cookie(parameters, header) == body


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("shop.example", "shop.example"),
        ("a.b.shop.example", "shop.example"),
        ("c.fr.shop.example", "fr.shop.example"),
        ("fr.shop.example", "fr.shop.example"),
        ("evilshop.example", ""),
        ("example", ""),
        ("", ""),
    ],
)
def test_a_host_belongs_to_the_most_particular_domain(host: str, domain: str) -> None:
    assert first_party(host, ("shop.example", "fr.shop.example")) == domain
    assert first_party(host, ()) == ""


def test_a_visitor_gets_one_cookie_for_all_events() -> None:
    made = iter(["first", "second"])
    visitor = Visitor(Visit("", "shop.example", True), lambda: next(made))
    assert not visitor.is_known_as("x")
    assert visitor.cookie == ""
    assert visitor.identify(None, None) == "first"
    assert visitor.identify(None, None) == "first"
    assert visitor.identify("mine", None) is None
    assert visitor.cookie.startswith("CAID=first; Domain=.shop.example;")
    assert visitor.is_known_as("mine")
    assert not visitor.is_known_as("")
