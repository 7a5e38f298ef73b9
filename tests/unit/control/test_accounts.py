"""Accounts, passwords, one-time links and sessions: who gets in, once or for how long, and who never does."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from turnout.control.access import passwords, sessions
from turnout.control.access.account import Account, address
from turnout.control.access.account_desk import AccountDesk
from turnout.control.access.accounts import Accounts
from turnout.control.access.activity import Activity, Sought
from turnout.control.access.database import Database
from turnout.control.access.door import Door, Person
from turnout.control.access.gate import LoginRefusedError
from turnout.control.access.links import KEPT_MS, Links
from turnout.control.access.logins import BURST, EACH_MS, Logins
from turnout.control.access.sessions import IDLE_MS, LONGEST_MS, Sessions
from turnout.model.errors import AccountFieldError, ControlUnavailableError, EmailTakenError, LastAdministratorError

NOW_MS = 1_795_000_000_000
HERE = "192.0.2.1"
PASSWORD = "correct horse battery"
ANA, BOB = "ana@example.org", "bob@example.org"
SEALED = passwords.sealed(PASSWORD)


class Place:
    """A door over a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.of(folder)
        self.desk = AccountDesk(self.database, "cli")
        self.accounts, self.links = Accounts(self.database), Links(self.database)
        self.sessions, self.door = Sessions(self.database), Door(self.database, Logins())

    def person(self, email: str, *sites: str, password: bool = True) -> Account:
        """An account of an administrator; one that can log in, unless it is said."""
        made, _ = self.desk.create(email=email, role="admin", sites=sites or ("*",), now_ms=NOW_MS)
        if password:
            self.accounts.set_password(made.id, SEALED)
        return self.now(made)

    def now(self, account: Account) -> Account:
        found = self.accounts.find(account.id)
        assert found is not None
        return found

    def code(self, email: str, password: str, now_ms: int = NOW_MS, address: str = HERE) -> str:
        """Why a login is refused; empty if it is not."""
        try:
            self.door.login(email, password, address, now_ms)
        except LoginRefusedError as error:
            return error.code
        return ""

    def told(self, site: str = "29") -> list[tuple[str, str, str]]:
        """The activity log, the oldest first: action, who, about whom."""
        return [
            (one.action, one.token, one.subject)
            for one in reversed(Activity(self.database).page(site, Sought(feature="accounts"), 100))
        ]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.database.close()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (" Ana@Example.ORG ", ANA),
        ("a" * 243 + "@example.org", "a" * 243 + "@example.org"),
        ("a" * 244 + "@example.org", None),
        ("ana", None),
        ("ana@", None),
        ("a b@example.org", None),
        ("ana@example.org\n.evil", None),
        ("", None),
    ],
)
def test_an_address_is_kept_in_one_way(text: str, kept: str | None) -> None:
    assert address(text) == kept


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("elevenchars", "a password has at least 12 characters; this one has 11"),
        ("twelve chars", ""),
        ("x" * 1_024, ""),
        ("x" * 1_025, "a password has at most 1,024 characters; this one has 1,025"),
        ("", "a password has at least 12 characters; this one has 0"),
    ],
)
def test_what_is_no_password_is_told_why(password: str, said: str) -> None:
    assert passwords.problem(password) == said


def test_what_is_kept_of_a_password_is_another_text_each_time_and_no_way_back() -> None:
    assert passwords.sealed(PASSWORD) != SEALED
    assert PASSWORD not in SEALED
    assert SEALED.startswith("scrypt$32768$8$1$")
    accented = passwords.sealed("pass\u00e9 simple et compos\u00e9")
    assert passwords.same("passe\u0301 simple et compose\u0301", accented), "the same text from another keyboard"
    assert not passwords.same(PASSWORD + "x", SEALED)
    assert not passwords.same("x" * 1_000_000, SEALED)
    assert not passwords.same("\ud800" * 12, SEALED)


def test_only_who_knows_the_password_of_an_open_account_is_known(place: Place) -> None:
    ana, bob = place.person(ANA), place.person(BOB, password=False)
    assert place.accounts.check(ANA, PASSWORD) == ana
    assert [place.accounts.check(email, "not the password") for email in (ANA, BOB, "eve@example.org")] == [None] * 3
    assert place.accounts.check(bob.email, "") is None
    place.person("cid@example.org")
    place.accounts.change(msgspec.structs.replace(ana, disabled=True))
    assert place.accounts.check(ANA, PASSWORD) is None


def test_no_password_and_no_secret_is_in_the_files(place: Place, tmp_path: Path) -> None:
    ana = place.person(ANA)
    opened, link = place.door.login(ANA, PASSWORD, HERE, NOW_MS), place.links.issue(ana.id, NOW_MS)
    content = b"".join(file.read_bytes() for file in tmp_path.glob("control.db*"))
    assert ana.email.encode() in content
    for secret in (PASSWORD, *opened, link):
        assert secret.encode() not in content


def test_two_accounts_never_share_an_address(place: Place) -> None:
    place.person(ANA)
    bob = place.person(BOB)
    with pytest.raises(EmailTakenError):
        place.person(ANA)
    with pytest.raises(EmailTakenError):
        place.accounts.change(msgspec.structs.replace(bob, email=ANA))
    assert place.now(bob).email == BOB


@pytest.mark.parametrize(
    ("others", "last"),
    [
        ([], True),
        ([("*", True)], False),
        ([("*", False)], True),
        ([("29", True)], True),
    ],
    ids=["alone", "beside another", "beside one who never came", "beside one of a site"],
)
@pytest.mark.parametrize("way", ["remove", "disable", "demote", "move"])
def test_no_site_loses_its_last_administrator(
    place: Place, others: list[tuple[str, bool]], last: bool, way: str
) -> None:
    ana = place.person(ANA)
    for number, (site, ready) in enumerate(others):
        place.person(f"{number}@example.org", site, password=ready)
    changes: dict[str, Account] = {
        "disable": msgspec.structs.replace(ana, disabled=True),
        "demote": msgspec.structs.replace(ana, role="editor"),
        "move": msgspec.structs.replace(ana, sites=("29",)),
    }

    def do() -> None:
        if way == "remove":
            assert place.desk.remove(ana, NOW_MS)
        else:
            place.desk.change(ana, changes[way], NOW_MS)

    before = place.told()
    if not last:
        do()
        return
    with pytest.raises(LastAdministratorError, match="administrator of every site"):
        do()
    assert place.now(ana) == ana
    assert place.told() == before, "what was not done is not told"


def test_of_two_administrators_who_remove_each_other_one_stays(place: Place) -> None:
    both = [place.person(ANA), place.person(BOB)]
    together = threading.Barrier(2)

    def remove(one: Account) -> bool:
        together.wait()
        try:
            return place.accounts.remove(one.id)
        except LastAdministratorError:
            return False

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(remove, both)) == [False, True]
    assert len(place.accounts.all()) == 1


def test_a_link_opens_once_even_if_many_race(place: Place) -> None:
    ana = place.person(ANA, password=False)
    link = place.links.issue(ana.id, NOW_MS)
    together = threading.Barrier(4)

    def redeem(_: int) -> bool:
        together.wait()
        return place.links.redeem(link, ana.id, SEALED, NOW_MS)

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(redeem, range(4))) == [False, False, False, True]


def test_a_link_ends_with_its_time_with_the_next_one_and_with_its_account(place: Place) -> None:
    ana, bob = place.person(ANA), place.person(BOB)
    first, second = (place.links.issue(ana.id, NOW_MS) for _ in range(2))
    other = place.links.issue(bob.id, NOW_MS)
    assert place.links.look(first, NOW_MS) is None
    found = place.links.look(second, NOW_MS + KEPT_MS - 1)
    assert found is not None
    assert (found.account, found.expires_ms) == (ana, NOW_MS + KEPT_MS)
    assert place.links.look(second, NOW_MS + KEPT_MS) is None
    assert not place.links.redeem(second, ana.id, SEALED, NOW_MS + KEPT_MS)
    assert not place.links.redeem(other, ana.id, SEALED, NOW_MS), "another's link"
    place.accounts.change(msgspec.structs.replace(bob, disabled=True))
    assert place.links.look(other, NOW_MS) is None


def test_the_first_link_makes_the_first_administrator_and_no_other(place: Place) -> None:
    old, link = (place.links.issue(None, NOW_MS) for _ in range(2))
    person = Person(email=" Ana@example.org", first_name="Ana", language="fr")
    assert place.door.look(link, HERE, NOW_MS + 100 * KEPT_MS).account is None, "it waits for as long as it takes"
    for field, one, password in (
        ("email", msgspec.structs.replace(person, email="ana"), PASSWORD),
        ("first_name", msgspec.structs.replace(person, first_name="x" * 51), PASSWORD),
        ("password", person, "short"),
    ):
        with pytest.raises(AccountFieldError) as refused:
            place.door.welcome(link, one, password, HERE, NOW_MS)
        assert refused.value.field == field
    with pytest.raises(LoginRefusedError):
        place.door.welcome(old, person, PASSWORD, HERE, NOW_MS)
    opened = place.door.welcome(link, person, PASSWORD, HERE, NOW_MS)
    found = place.door.session(opened.secret, NOW_MS)
    assert found is not None
    assert found[1] == opened.csrf
    assert (found[0].email, found[0].role, found[0].sites, found[0].language) == (ANA, "admin", ("*",), "fr")
    later = place.links.issue(None, NOW_MS)
    for text in (link, later):
        with pytest.raises(LoginRefusedError) as over:
            place.door.welcome(text, msgspec.structs.replace(person, email=BOB), PASSWORD, HERE, NOW_MS)
        assert over.value.code == "UNKNOWN_LINK"
    assert not place.links.redeem_first(later, found[0], SEALED, NOW_MS)
    me = found[0].id
    assert place.told() == [("accounts.create", me, me), ("accounts.login", me, me)]


def test_an_invitation_gives_a_password_and_a_session(place: Place) -> None:
    ana, link = place.desk.create(email=ANA, role="viewer", sites=("29",), now_ms=NOW_MS)
    assert ana.state == "invited"
    with pytest.raises(AccountFieldError, match="at least 12"):
        place.door.accept(link, "short", HERE, NOW_MS)
    opened = place.door.accept(link, PASSWORD, HERE, NOW_MS)
    assert place.door.session(opened.secret, NOW_MS) == (place.now(ana), opened.csrf)
    assert (place.now(ana).state, place.now(ana).last_login_ms) == ("active", NOW_MS)
    assert place.code(ANA, PASSWORD) == ""
    with pytest.raises(LoginRefusedError) as used:
        place.door.accept(link, PASSWORD, HERE, NOW_MS)
    assert used.value.code == "UNKNOWN_LINK"
    again = place.door.accept(place.desk.link(ana, NOW_MS), "another good password", HERE, NOW_MS)
    assert place.door.session(opened.secret, NOW_MS) is None, "a new password ends what was open"
    assert place.door.session(again.secret, NOW_MS) is not None
    actions = [action for action, _, _ in place.told()]
    assert actions == [
        f"accounts.{word}" for word in ("create", "password", "login", "login", "link", "password", "login")
    ]


def test_a_session_ends_when_nobody_comes_and_after_a_week_in_any_case(place: Place) -> None:
    ana = place.person(ANA)
    secret, _ = place.sessions.open(ana.id, NOW_MS)
    assert place.sessions.find(secret, NOW_MS + IDLE_MS - 1) is not None
    assert place.sessions.find(secret, NOW_MS + 2 * IDLE_MS - 2) is not None, "each use counts"
    assert place.sessions.find(secret, NOW_MS + 3 * IDLE_MS) is None
    secret, _ = place.sessions.open(ana.id, NOW_MS)
    for hour in range(0, LONGEST_MS // 3_600_000, 11):
        assert place.sessions.find(secret, NOW_MS + hour * 3_600_000) is not None
    assert place.sessions.find(secret, NOW_MS + LONGEST_MS - 1) is not None
    assert place.sessions.find(secret, NOW_MS + LONGEST_MS) is None


def test_what_is_no_session_opens_nothing(place: Place) -> None:
    ana = place.person(ANA)
    first, second, third = (place.sessions.open(ana.id, NOW_MS).secret for _ in range(3))
    place.sessions.close(first)
    assert [place.sessions.find(one, NOW_MS) is None for one in (first, second)] == [True, False]
    for text in ("", "x", "\u00e9" * 43, sessions.digest(second), second + "\n"):
        assert place.sessions.find(text, NOW_MS) is None
    place.sessions.close_all(ana.id)
    assert [place.sessions.find(one, NOW_MS) for one in (second, third)] == [None, None]


def test_a_disabled_or_removed_account_has_no_session(place: Place) -> None:
    ana, bob, cid = (place.person(email) for email in (ANA, BOB, "cid@example.org"))
    secrets = [place.sessions.open(one.id, NOW_MS).secret for one in (bob, cid)]
    place.desk.change(bob, msgspec.structs.replace(bob, disabled=True), NOW_MS)
    place.desk.remove(cid, NOW_MS)
    place.desk.change(place.now(bob), bob, NOW_MS)
    assert [place.sessions.find(one, NOW_MS) for one in secrets] == [None, None]
    assert place.sessions.find(place.sessions.open(ana.id, NOW_MS).secret, NOW_MS) is not None


def test_a_changed_password_ends_all_sessions_but_this(place: Place) -> None:
    place.person(ANA)
    here, there = (place.door.login(ANA, PASSWORD, HERE, NOW_MS).secret for _ in range(2))
    with pytest.raises(LoginRefusedError) as wrong:
        place.door.change_password(here, "not the password", "another good password", HERE, NOW_MS)
    assert wrong.value.code == "UNKNOWN_LOGIN"
    with pytest.raises(AccountFieldError):
        place.door.change_password(here, PASSWORD, "short", HERE, NOW_MS)
    place.door.change_password(here, PASSWORD, "another good password", HERE, NOW_MS)
    assert [place.door.session(one, NOW_MS) is None for one in (here, there)] == [False, True]
    assert [place.code(ANA, one) for one in (PASSWORD, "another good password")] == ["UNKNOWN_LOGIN", ""]


def test_an_address_that_is_wrong_too_often_has_to_wait(place: Place) -> None:
    place.person(ANA)
    said = {place.code(email, "not the password") for email in (ANA, BOB, "no address") for _ in range(BURST // 3)}
    assert said == {"UNKNOWN_LOGIN"}
    with pytest.raises(LoginRefusedError):
        place.door.look("no link", HERE, NOW_MS)
    assert place.code(ANA, PASSWORD) == "REQUEST_LIMIT_REACHED"
    assert place.code(ANA, PASSWORD, address="192.0.2.2") == ""
    assert place.code(ANA, PASSWORD, NOW_MS + EACH_MS) == ""


def test_logins_are_told_and_what_was_typed_is_not(place: Place) -> None:
    ana = place.person(ANA, "29")
    place.code(ANA, "hunter2 hunter2")
    place.code("hunter2 hunter2", "")
    secret = place.door.login(ANA, PASSWORD, HERE, NOW_MS).secret
    place.door.logout(secret, HERE, NOW_MS)
    place.door.logout(secret, HERE, NOW_MS)
    assert place.door.session(secret, NOW_MS) is None
    assert place.told()[1:] == [
        ("accounts.login_failed", "", ana.id),
        ("accounts.login_failed", "", ""),
        ("accounts.login", ana.id, ana.id),
        ("accounts.logout", ana.id, ana.id),
    ]
    entries = Activity(place.database).page("29", Sought(), 100)
    assert {one.address for one in entries if one.origin == "ui"} == {HERE}
    assert b"hunter2" not in msgspec.json.encode(entries)
    assert ANA.encode() not in msgspec.json.encode(entries)


def test_a_flood_of_failed_logins_does_not_fill_the_log(place: Place) -> None:
    for number in range(BURST + 5):
        place.code("eve@example.org", "", address=f"192.0.2.{number}")
    assert len(place.told()) == BURST


def test_a_session_whose_use_can_not_be_written_down_may_still_look(place: Place) -> None:
    secret = place.sessions.open(place.person(ANA).id, NOW_MS).secret
    with place.database.connection() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
    with pytest.raises(ControlUnavailableError):
        place.sessions.close(secret)
    assert place.sessions.find(secret, NOW_MS + IDLE_MS - 1) is not None
