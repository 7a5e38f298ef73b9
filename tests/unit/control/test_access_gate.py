"""Who is let in, what the others are told, and how often they may try."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from turnout.control.access import token
from turnout.control.access.account import Account
from turnout.control.access.account_desk import AccountDesk
from turnout.control.access.database import Database
from turnout.control.access.desk import Desk
from turnout.control.access.gate import Gate, LoginRefusedError, Visit
from turnout.control.access.logins import BURST, EACH_MS, Logins
from turnout.control.access.scopes import Role
from turnout.control.access.sessions import Opened, Sessions
from turnout.control.access.token import Token
from turnout.control.access.tokens import Tokens
from turnout.model.errors import ControlUnavailableError

NOW_MS = 1_795_000_000_000
HERE = "192.0.2.1"


class Place:
    """A gate over a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.of(folder)
        self.desk = Desk(self.database, "cli")
        self.tokens = Tokens(self.database)
        self.logins = Logins()
        self.gate = Gate(self.tokens, Sessions(self.database), self.logins)

    def issue(self, expires_ms: int | None = None) -> str:
        """The text of a new token."""
        _, made = self.desk.issue(
            name="t", role="viewer", scopes=(), sites=("29",), expires_ms=expires_ms, now_ms=NOW_MS
        )
        return made.text

    def code(self, header: str | None, address: str = HERE, now_ms: int = NOW_MS, visit: Visit | None = None) -> str:
        """Why a header is refused; empty if it is not."""
        try:
            self.gate.admit(header, address, now_ms, visit)
        except LoginRefusedError as error:
            return error.code
        return ""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.database.close()


def test_a_valid_token_is_admitted_as_what_it_is(place: Place) -> None:
    text = place.issue(NOW_MS + 1)
    for header in (f"Bearer {text}", f"bearer {text}", f"  BEARER   {text} "):
        admitted = place.gate.admit(header, HERE, NOW_MS)
        assert isinstance(admitted, Token)
        assert (admitted.role, admitted.sites) == ("viewer", ("29",))


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "MISSING_AUTHORIZATION_HEADER"),
        ("", "MISSING_AUTHORIZATION_HEADER"),
        (" ", "MISSING_AUTHORIZATION_HEADER"),
        ("abc", "UNKNOWN_TOKEN_TYPE"),
        ("Bearer", "UNKNOWN_TOKEN_TYPE"),
        ("Bear abc", "INVALID_TOKEN_TYPE"),
        ("Basic dXNlcjpwYXNz", "INVALID_TOKEN_TYPE"),
        ("Bearer nope", "UNKNOWN_TOKEN"),
        ("Bearer 7183b9d4-1031-11ee-be56-0242ac120002", "UNKNOWN_TOKEN"),
        (f"Bearer trn_01m7q5cqg0e6agzv2w_{'a' * 43}", "UNKNOWN_TOKEN"),
    ],
)
def test_what_is_no_token_is_told_why(place: Place, header: str | None, code: str) -> None:
    assert place.code(header) == code


def test_a_wrong_secret_is_answered_as_if_there_were_no_such_token(place: Place) -> None:
    known = place.issue()
    wrong = known[:-43] + token.mint(NOW_MS).secret
    answers = []
    for text in (wrong, token.mint(NOW_MS).text):
        with pytest.raises(LoginRefusedError) as refused:
            place.gate.admit(f"Bearer {text}", HERE, NOW_MS)
        answers.append((refused.value.code, str(refused.value), refused.value.wait_ms))
    assert answers[0] == answers[1]


def test_expiry_and_revocation_end_a_token_and_only_its_owner_is_told(place: Place) -> None:
    expiring, revoked = place.issue(NOW_MS + 1_000), place.issue()
    assert place.code(f"Bearer {expiring}", now_ms=NOW_MS + 999) == ""
    assert place.code(f"Bearer {expiring}", now_ms=NOW_MS + 1_000) == "EXPIRED_TOKEN"
    assert place.code(f"Bearer {revoked}") == ""
    found = token.read(revoked)
    assert found is not None
    assert place.desk.revoke(found.id, NOW_MS)
    assert not place.desk.revoke(found.id, NOW_MS)
    assert place.code(f"Bearer {revoked}") == "REVOKED_TOKEN"
    assert place.code(f"Bearer {revoked[:-43]}{token.mint(NOW_MS).secret}") == "UNKNOWN_TOKEN"


def test_the_last_use_is_known_to_the_minute(place: Place) -> None:
    text = place.issue()
    for after_ms, known_ms in ((0, NOW_MS), (59_999, NOW_MS), (60_000, NOW_MS + 60_000)):
        place.gate.admit(f"Bearer {text}", HERE, NOW_MS + after_ms)
        assert place.tokens.all()[0].last_used_ms == known_ms


def test_a_token_whose_use_can_not_be_written_down_may_still_look(place: Place) -> None:
    class Full(Tokens):
        def used(self, token: Token, now_ms: int) -> None:
            raise ControlUnavailableError("control.db: database or disk is full")

    text = place.issue()
    gate = Gate(Full(place.database), Sessions(place.database), Logins())
    assert gate.admit(f"Bearer {text}", HERE, NOW_MS).last_used_ms is None


def test_an_address_that_is_wrong_too_often_has_to_wait_and_others_have_not(place: Place) -> None:
    fresh = place.issue()
    assert [place.code("Bearer nope") for _ in range(BURST)] == ["UNKNOWN_TOKEN"] * BURST
    with pytest.raises(LoginRefusedError) as refused:
        place.gate.admit(f"Bearer {fresh}", HERE, NOW_MS)
    assert (refused.value.code, refused.value.wait_ms) == ("REQUEST_LIMIT_REACHED", EACH_MS)
    assert place.code(f"Bearer {fresh}", "192.0.2.2") == ""


def test_waiting_helps(place: Place) -> None:
    for _ in range(BURST):
        place.code("Bearer nope")
    assert place.code("Bearer nope", now_ms=NOW_MS + EACH_MS - 1) == "REQUEST_LIMIT_REACHED"
    assert place.code("Bearer nope", now_ms=NOW_MS + EACH_MS) == "UNKNOWN_TOKEN"
    assert place.code("Bearer nope", now_ms=NOW_MS + EACH_MS) == "REQUEST_LIMIT_REACHED"
    fresh = place.issue()
    assert place.code(f"Bearer {fresh}", now_ms=NOW_MS + 2 * EACH_MS) == ""


def test_a_stranger_behind_the_same_address_locks_out_nobody_whose_token_works(place: Place) -> None:
    text = place.issue()
    assert place.code(f"Bearer {text}") == ""
    for _ in range(BURST + 1):
        place.code("Bearer nope")
    assert place.code(f"Bearer {text}") == ""
    assert place.code(f"Bearer {text[:-43]}{token.mint(NOW_MS).secret}") == "REQUEST_LIMIT_REACHED"


def test_a_missing_header_is_no_failed_login(place: Place) -> None:
    for _ in range(BURST * 2):
        assert place.code(None) == "MISSING_AUTHORIZATION_HEADER"


def test_an_ipv6_network_counts_as_one_address() -> None:
    logins = Logins()
    for host in range(BURST):
        logins.failed(f"2001:db8::{host:x}", NOW_MS)
    assert logins.wait_ms("2001:db8::ffff", NOW_MS) > 0
    assert logins.wait_ms("2001:db8:0:1::1", NOW_MS) == 0
    for host in range(BURST):
        logins.failed(f"::ffff:192.0.2.{host}", NOW_MS)
    assert logins.wait_ms("::ffff:192.0.2.1", NOW_MS) == 0, "an IPv4 address in the form of the other"


def test_memory_for_failures_is_bounded_and_the_newest_are_kept() -> None:
    logins = Logins(most=8)
    for host in range(100):
        for _ in range(BURST):
            logins.failed(f"192.0.2.{host}", NOW_MS)
    assert len(logins) == 8
    assert logins.wait_ms("192.0.2.99", NOW_MS) > 0
    assert logins.wait_ms("192.0.2.0", NOW_MS) == 0


def visiting(place: Place, role: Role = "viewer") -> tuple[Account, Opened]:
    """Somebody who has logged in."""
    account, _ = AccountDesk(place.database, "cli").create(
        email="ana@example.org", role=role, sites=("29",), now_ms=NOW_MS
    )
    return account, Sessions(place.database).open(account.id, NOW_MS)


def test_a_session_is_admitted_as_its_owner(place: Place) -> None:
    account, opened = visiting(place)
    admitted = place.gate.admit(None, HERE, NOW_MS, Visit(opened.secret, "", changes=False))
    assert (admitted.id, admitted.name, admitted.scopes, admitted.sites) == (
        account.id,
        account.email,
        account.scopes,
        ("29",),
    )


@pytest.mark.parametrize(
    ("csrf", "changes", "code"),
    [
        (None, True, ""),
        ("", False, ""),
        ("", True, "CSRF_TOKEN_MISMATCH"),
        ("\u00e9", True, "CSRF_TOKEN_MISMATCH"),
        ("0" * 64, True, "CSRF_TOKEN_MISMATCH"),
    ],
)
def test_a_session_changes_something_with_its_own_csrf_token_alone(
    place: Place, csrf: str | None, changes: bool, code: str
) -> None:
    _, opened = visiting(place)
    sent = opened.csrf if csrf is None else csrf
    assert place.code(None, visit=Visit(opened.secret, sent, changes)) == code


def test_the_csrf_token_of_another_session_is_none(place: Place) -> None:
    account, opened = visiting(place)
    other = Sessions(place.database).open(account.id, NOW_MS)
    assert place.code(None, visit=Visit(opened.secret, other.csrf, changes=True)) == "CSRF_TOKEN_MISMATCH"


def test_a_session_that_is_over_is_told_so_and_locks_nobody_out(place: Place) -> None:
    _, opened = visiting(place)
    over = Visit(opened.secret, opened.csrf, changes=False)
    Sessions(place.database).close(opened.secret)
    assert {place.code(None, visit=over) for _ in range(2 * BURST)} == {"UNKNOWN_SESSION"}
    assert place.code(f"Bearer {place.issue()}", visit=over) == "", "the header counts"


def test_what_never_was_a_session_counts_as_a_failed_login(place: Place) -> None:
    _, opened = visiting(place)
    nonsense = Visit("nonsense", "", changes=False)
    assert [place.code(None, visit=nonsense) for _ in range(BURST)] == ["UNKNOWN_SESSION"] * BURST
    assert place.code(None, visit=nonsense) == "REQUEST_LIMIT_REACHED"
    assert place.code(None, visit=Visit(opened.secret, "", changes=False)) == ""
