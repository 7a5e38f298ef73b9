"""The control plane's own store: who may read the file, what is in it, what can't be changed in it."""

import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from turnout.control.access.activity import Activity, Entry, Sought
from turnout.control.access.database import Database
from turnout.control.access.desk import Desk
from turnout.control.access.integrations import Integrations
from turnout.control.access.tables import FORMAT, activity
from turnout.model.config import Destination, Snapshot, Source
from turnout.model.errors import ControlUnavailableError

DAY_MS = 86_400_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.of(tmp_path)
    yield made
    made.close()


def entry(at_ms: int, site: str = "29", action: str = "events.view", token: str = "tok_1") -> Entry:
    return Entry(at_ms=at_ms, site=site, token=token, feature="inspector", action=action, properties={"n": at_ms})


def configured(*names: str) -> Snapshot:
    """A site with a source and a destination of each name."""
    sources = [Source(site="29", name=name, type="web", environment="production", key=name) for name in names]
    destinations = [
        Destination(site="29", name=name, type="file", sources=frozenset(), settings=None) for name in names
    ]
    return Snapshot(
        version=",".join(names),
        sites=frozenset({"29"}),
        sources={one.ref: one for one in sources},
        destinations={one.ref: one for one in destinations},
    )


def test_only_the_owner_can_read_the_files(tmp_path: Path, database: Database) -> None:
    Activity(database).add(entry(1))
    files = sorted(tmp_path.glob("control.db*"))
    assert len(files) == 3, "the write-ahead log is open"
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_no_secret_is_in_the_files(tmp_path: Path, database: Database) -> None:
    token, made = Desk(database, "cli").issue(
        name="n", role="admin", scopes=(), sites=("29",), expires_ms=None, now_ms=1
    )
    content = b"".join(file.read_bytes() for file in tmp_path.glob("control.db*"))
    assert token.id.encode() in content
    assert made.secret.encode() not in content


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path, database: Database) -> None:
    desk = Desk(database, "cli")
    token, _ = desk.issue(
        name="ops é", role="custom", scopes=("sources:read",), sites=("29", "31"), expires_ms=5, now_ms=1
    )
    database.close()
    assert Desk(Database.of(tmp_path), "cli").all() == [token]


def test_a_file_of_a_newer_release_is_left_alone(tmp_path: Path, database: Database) -> None:
    Activity(database).add(entry(1))
    database.close()
    with sqlite3.connect(tmp_path / "control.db") as newer:
        newer.execute("UPDATE formats SET version=?", (FORMAT + 1,))
    with pytest.raises(ControlUnavailableError, match="was written by a newer release"):
        Activity(database).add(entry(2))


def test_a_file_that_is_no_store_is_told_with_its_name(tmp_path: Path, database: Database) -> None:
    (tmp_path / "control.db").write_bytes(b"this is no database, it is longer than a header " * 10)
    with pytest.raises(ControlUnavailableError, match=r"control\.db: file is not a database"):
        Desk(database, "cli").all()


def test_many_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def use() -> None:
        mine = Database.of(tmp_path)
        try:
            Activity(mine).add(entry(1))
        except ControlUnavailableError as error:
            failures.append(error)
        mine.close()

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(Activity(Database.of(tmp_path)).page("29", Sought(), 10)) == 6


def test_who_opens_a_new_store_waits_while_another_writes_to_it(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "control.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(time, "sleep", lambda _: other.close())
    Activity(database).add(entry(1))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        other.commit()


def test_the_record_can_be_added_to_but_not_changed(database: Database) -> None:
    log = Activity(database)
    log.add(entry(1))
    with pytest.raises(IntegrityError, match="append-only"), database.connection() as connection:
        connection.execute(update(activity).values(token="somebody else"))
    assert [one.token for one in log.page("29", Sought(), 10)] == ["tok_1"]


def test_the_record_is_kept_for_its_time_and_no_longer(database: Database) -> None:
    log = Activity(database, kept_ms=10 * DAY_MS)
    log.add(entry(0))
    log.add(entry(DAY_MS))
    log.add(entry(10 * DAY_MS))
    assert [one.at_ms for one in log.page("29", Sought(), 10)] == [10 * DAY_MS, DAY_MS, 0]
    log.add(entry(10 * DAY_MS + 3_600_000))
    assert [one.at_ms for one in log.page("29", Sought(), 10)] == [10 * DAY_MS + 3_600_000, 10 * DAY_MS, DAY_MS]


def test_the_record_is_read_by_site_and_by_what_is_sought(database: Database) -> None:
    log = Activity(database)
    log.add(entry(1))
    log.add(entry(2, site="31"))
    log.add(entry(3, site="*"))
    log.add(entry(4, action="tokens.create", token="tok_2"))

    def times(sought: Sought, site: str = "29") -> list[int]:
        return [one.at_ms for one in log.page(site, sought, 10)]

    assert times(Sought()) == [4, 3, 1]
    assert times(Sought(), "31") == [3, 2]
    assert times(Sought(action="tokens.create")) == [4]
    assert times(Sought(token="tok_1")) == [3, 1]
    assert times(Sought(feature="replay")) == []
    assert times(Sought(since_ms=3, until_ms=4)) == [3]


def test_pages_of_the_record_go_both_ways_and_miss_nothing(database: Database) -> None:
    log = Activity(database)
    for ms in range(1, 8):
        log.add(entry(ms))
    newest = log.page("29", Sought(), 3)
    older = log.page("29", Sought(), 3, after=newest[-1].seq)
    assert [one.at_ms for one in newest + older] == [7, 6, 5, 4, 3, 2]
    assert log.page("29", Sought(), 3, before=older[0].seq) == newest


def test_making_and_revoking_a_token_is_recorded_for_each_of_its_sites(database: Database) -> None:
    desk = Desk(database, "cli")
    token, made = desk.issue(name="n", role="viewer", scopes=(), sites=("29", "31"), expires_ms=None, now_ms=1)
    desk.revoke(token.id, 2)
    log = Activity(database)
    for site in token.sites:
        entries = log.page(site, Sought(), 10)
        assert [(one.action, one.subject, one.origin) for one in entries] == [
            ("tokens.revoke", token.id, "cli"),
            ("tokens.create", token.id, "cli"),
        ]
        assert made.secret not in str(entries)


def test_names_keep_their_numbers_for_good_and_share_one_row_of_them(tmp_path: Path, database: Database) -> None:
    numbers = Integrations(database)
    first = {key: one.id for key, one in numbers.of(configured("a", "b"), 1).items()}
    assert sorted(first.values()) == [1, 2, 3, 4]
    without = numbers.of(configured("b"), 2)
    assert {key: one.id for key, one in without.items()} == first
    database.close()
    later = Integrations(Database.of(tmp_path)).of(configured("c", "b", "a"), 3)
    assert {key: one.id for key, one in later.items() if key in first} == first
    assert {one.id for key, one in later.items() if key not in first} == {5, 6}


def test_two_processes_give_a_name_the_same_number(tmp_path: Path, database: Database) -> None:
    mine, other = Integrations(database), Integrations(Database.of(tmp_path))
    assert mine.of(configured("a"), 1) == other.of(configured("a"), 2)
    assert other.of(configured("a", "b"), 3) == mine.of(configured("a", "b"), 4)
