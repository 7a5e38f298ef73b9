"""Versions of the configuration: each is whole, recorded before it is there, and nobody's change is lost unseen."""

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from turnout.control import applied
from turnout.control.access.activity import Activity, Entry, Sought
from turnout.control.access.database import Database
from turnout.control.access.tables import configurations
from turnout.control.configuration.edit import Editor
from turnout.control.configuration.secrets import Secrets
from turnout.control.configuration.store import Configurations, Version
from turnout.model.errors import ConfigConflictError, ConfigError, ConfigRefusedError, ControlUnavailableError

SHOP = ("sites", "29", "sources", "shop")


def text(*names: str) -> str:
    sources = "".join(f"      {name}: {{type: web, key: k-{name}}}\n" for name in names)
    return f"# ours\r\nsites:\n  '29':\n    sources:\n{sources}"


def adding(name: str) -> Callable[[Editor], None]:
    return lambda editor: editor.set(["sites", "29", "sources", name], {"type": "web", "key": f"k-{name}"})


class Place:
    """A data directory with its history."""

    def __init__(self, folder: Path, kept: int = 1_000) -> None:
        self.data = folder / "data"
        self.database = Database.of(self.data)
        self.secrets = Secrets(folder / "data.key")
        self.versions = Configurations(self.data, self.database, {"KEY": "k-env"}, self.secrets, kept)

    @property
    def file(self) -> str | None:
        return applied.read(self.data)

    def apply(self, written: str, at_ms: int = 1, **more: object) -> Version:
        return self.versions.apply(written, "cli:me", "cli", at_ms, **more)  # type: ignore[arg-type]

    def entries(self, site: str = "29") -> list[Entry]:
        return Activity(self.database).page(site, Sought(feature="configuration"), 100)[::-1]

    def check(self) -> None:
        """The file is the current version, and the newest of the history."""
        current = self.versions.current()
        assert self.file == (current.text if current is not None else None)
        assert self.versions.history(1) == ([current] if current is not None else [])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.database.close()


def test_nothing_is_current_before_the_first_version(place: Place) -> None:
    assert place.versions.current() is None
    assert place.versions.history(10) == []
    assert place.versions.version(1) is None


def test_what_is_applied_is_the_file_to_the_byte_and_a_version(place: Place) -> None:
    made = place.apply(text("a"), note="first")
    assert (made.number, made.author, made.origin, made.note, made.text) == (1, "cli:me", "cli", "first", text("a"))
    assert place.file == text("a")
    assert place.versions.current() == made
    place.check()


def test_applying_what_is_applied_changes_and_records_nothing(place: Place) -> None:
    first = place.apply(text("a"))
    assert place.apply(text("a"), at_ms=9) == first
    assert len(place.versions.history(10)) == len(place.entries()) == 1


def test_a_wrong_text_changes_nothing(place: Place) -> None:
    first = place.apply(text("a"))
    with pytest.raises(ConfigError, match="is not one of"):
        place.apply(text("a").replace("web", "wbe"))
    assert place.versions.current() == first
    assert len(place.entries()) == 1


def test_an_edit_changes_one_value_of_the_current_text(place: Place) -> None:
    place.apply(text("shop"))
    made = place.versions.edit("tok_1", "api", 2, lambda editor: editor.set([*SHOP, "type"], "mobile"))
    assert made.text == text("shop").replace("web", "mobile")
    assert (made.number, made.author) == (2, "tok_1")
    place.check()


def test_a_change_that_raises_leaves_everything_as_it_was(place: Place) -> None:
    first = place.apply(text("shop"))

    def change(editor: Editor) -> None:
        editor.set([*SHOP, "type"], "mobile")
        raise LookupError

    with pytest.raises(LookupError):
        place.versions.edit("tok_1", "api", 2, change)
    assert place.versions.current() == first
    place.check()


def test_the_first_source_can_be_made_by_an_edit(place: Place) -> None:
    made = place.versions.edit("tok_1", "api", 1, lambda editor: editor.set(SHOP, {"type": "web", "key": "k"}))
    assert "shop: {type: web, key: k}" in made.text
    place.check()


def test_who_changes_another_version_than_the_one_he_read_is_told(place: Place) -> None:
    first = place.apply(text("a"), expected="")
    second = place.apply(text("b"), expected=first.hash)
    for expected in (first.hash, ""):
        with pytest.raises(ConfigConflictError, match=f"is {second.hash} by now"):
            place.apply(text("c"), expected=expected)
        with pytest.raises(ConfigConflictError):
            place.versions.edit("tok_1", "api", 3, lambda editor: None, expected)
        with pytest.raises(ConfigConflictError):
            place.versions.restore(1, "tok_1", "api", 3, expected=expected)
    assert place.versions.current() == second


def test_an_earlier_version_comes_back_as_a_new_one(place: Place) -> None:
    first = place.apply(text("a"))
    place.apply(text("b"))
    made = place.versions.restore(1, "cli:me", "cli", 3)
    assert (made.number, made.text, made.note) == (3, first.text, "restored from version 1")
    with pytest.raises(ConfigError, match="there is no version 9"):
        place.versions.restore(9, "cli:me", "cli", 4)
    place.check()


def test_history_is_paged_both_ways_and_bounded(tmp_path: Path) -> None:
    place = Place(tmp_path, kept=5)
    for number in range(1, 9):
        place.apply(text(f"s{number}"), at_ms=number)
    assert [one.number for one in place.versions.history(2)] == [8, 7]
    assert [one.number for one in place.versions.history(2, after=7)] == [6, 5]
    assert [one.number for one in place.versions.history(2, before=5)] == [7, 6]
    assert [one.number for one in place.versions.history(100)] == [8, 7, 6, 5, 4]
    assert place.versions.version(3) is None
    first = place.versions.current()
    for number in range(9, 16):
        place.versions.edit("tok_1", "api", number, adding(f"s{number}"))
    assert [one.number for one in place.versions.history(100)] == [15, 14, 13, 12, 11, 8]
    assert first is not None
    assert place.versions.start(first.text, 16)[1], "what was last applied from a file is still known"
    place.database.close()


def test_every_change_is_recorded_for_its_site_alone_without_keys(place: Place) -> None:
    both = text("a") + "  '31': {sources: {x: {type: web, key: k-x}}}\n"
    place.apply(text("a"))
    place.apply(both, at_ms=2)
    place.versions.edit("tok_1", "api", 3, lambda editor: editor.set(["sites", "31", "sources", "x", "key"], "k-y"))
    assert [(one.action, one.subject, one.token) for one in place.entries("31")] == [
        ("configuration.apply", "2", ""),
        ("configuration.edit", "3", "tok_1"),
    ]
    (first,) = place.entries("29")
    assert first.properties["author"] == "cli:me"
    assert place.entries("31")[-1].properties["changes"] == [
        {"path": 'sites."31".sources.x.key', "before": "***", "after": "***"}
    ]
    assert "k-" not in str(place.entries("31")) + str(place.entries("29")).replace("sk-", "")


def test_what_cannot_be_recorded_is_not_done(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = place.apply(text("a"))

    def fail(*_: object) -> None:
        raise ControlUnavailableError("disk full")

    monkeypatch.setattr(Activity, "add", fail)
    with pytest.raises(ControlUnavailableError):
        place.apply(text("b"))
    assert place.versions.current() == first
    place.check()


def test_a_full_disk_changes_nothing_and_hurts_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = place.apply(text("a"))

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(applied, "store", fail)
        with pytest.raises(ControlUnavailableError, match=r"can't be written: .*No space left"):
            place.apply(text("b"))
    assert place.versions.current() == first
    place.check()
    assert place.apply(text("b")).number == 2


@pytest.mark.parametrize("first", [None, text("a")])
def test_a_version_that_a_running_process_refuses_is_withdrawn(place: Place, first: str | None) -> None:
    if first is not None:
        place.apply(first)
    seen: list[str | None] = []

    def settle(version: str) -> str:
        seen.append(place.file)
        return "worker: no"

    with pytest.raises(ConfigRefusedError, match="worker: no"):
        place.apply(text("b"), settle=settle)
    assert seen == [text("b")]
    assert place.file == first
    assert place.entries()[-1].action == "configuration.withdraw"
    place.check()


def test_a_file_that_was_put_there_by_hand_becomes_a_version(place: Place) -> None:
    applied.store(place.data, text("a"))
    first = place.versions.current()
    assert first is not None
    assert (first.number, first.author, first.origin, first.text) == (1, "file", "file", text("a"))
    applied.store(place.data, text("b"))
    second = place.versions.edit("tok_1", "api", 9, adding("shop"))
    assert [one.author for one in place.versions.history(9)] == ["tok_1", "file", "file"]
    assert second.number == 3
    place.check()


def test_secrets_that_were_put_there_by_hand_are_sealed_when_the_file_is_next_looked_at(place: Place) -> None:
    hook = "    destinations: {d: {type: webhook, sources: [a], settings: {url: 'https://x', secret: hush-hush}}}\n"
    applied.store(place.data, text("a") + hook)
    current = place.versions.current()
    assert current is not None
    assert "hush-hush" not in current.text
    for path in place.data.glob("*"):
        assert b"hush-hush" not in path.read_bytes()
    place.check()


def test_a_wrong_file_by_hand_is_no_version_and_nothing_is_built_on_it(place: Place) -> None:
    first = place.apply(text("a"))
    applied.applied_path(place.data).write_text("sites: {")
    assert place.versions.current() == first
    with pytest.raises(ConfigError, match="not readable as YAML"):
        place.versions.edit("tok_1", "api", 2, lambda editor: None)
    assert place.apply(text("a"), at_ms=3).number == 2
    place.check()


def test_a_file_that_was_removed_is_there_again_after_the_next_change(place: Place) -> None:
    place.apply(text("shop"))
    applied.applied_path(place.data).unlink()
    made = place.versions.edit("tok_1", "api", 2, lambda editor: editor.set([*SHOP, "type"], "mobile"))
    assert made.text == text("shop").replace("web", "mobile")
    place.check()


def edit(place: Place, name: str) -> Version:
    return place.versions.edit("tok_1", "api", 5, adding(name))


def test_a_start_with_the_file_that_was_applied_keeps_what_was_changed_since(place: Place) -> None:
    first, differs = place.versions.start(text("a"), 1, "at the start")
    assert (first.author, first.origin, first.note, differs) == ("file", "start", "at the start", False)
    assert place.versions.start(text("a"), 2) == (first, False)
    edited = edit(place, "b")
    assert place.versions.start(text("a"), 3) == (edited, True)
    place.versions.rotate("cli:me", "cli", 4)
    assert place.versions.start(text("a"), 5)[0].text == edited.text
    back = place.versions.restore(1, "cli:me", "cli", 6)
    assert place.versions.start(text("a"), 7) == (back, False)
    place.check()


def test_a_start_with_another_file_than_was_last_applied_applies_it(place: Place) -> None:
    place.versions.start(text("a"), 1)
    place.apply(text("b"), at_ms=2)
    edit(place, "c")
    assert place.versions.start(text("b"), 3)[0].text != text("b")
    again, differs = place.versions.start(text("a"), 4)
    assert (again.text, differs) == (text("a"), False)
    place.check()


def test_what_was_exported_and_applied_again_counts_as_the_file(place: Place) -> None:
    place.versions.start(text("a"), 1)
    exported = edit(place, "b").text
    place.apply(exported, at_ms=2)
    edited = edit(place, "c")
    assert place.versions.start(exported, 3) == (edited, True)


@pytest.mark.parametrize("found", [None, "sites: {"])
def test_a_start_puts_the_file_in_place_of_nothing_and_of_what_can_not_be_used(place: Place, found: str | None) -> None:
    place.versions.start(text("a"), 1)
    applied.applied_path(place.data).unlink()
    if found is not None:
        applied.applied_path(place.data).write_text(found)
    place.versions.start(text("a"), 2)
    assert place.file == text("a")
    place.check()


@pytest.mark.parametrize("written", [True, False])
def test_a_writer_that_died_leaves_the_version_that_the_file_has(place: Place, written: bool) -> None:
    place.apply(text("a"))
    second = place.apply(text("b"))
    with place.database.connection() as connection:
        connection.execute(update(configurations).where(configurations.c.number == 2).values(is_pending=True))
    if not written:
        applied.store(place.data, text("a"))
    current = place.versions.current()
    assert current is not None
    assert current.text == (text("b") if written else text("a"))
    assert [one.number for one in place.versions.history(9)] == ([2, 1] if written else [1])
    assert current == second or not written
    with place.database.connection() as connection:
        assert not any(row.is_pending for row in connection.execute(select(configurations)))
    place.check()


def test_edits_at_the_same_time_all_count(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.apply(text("shop"))

    def write(number: int) -> None:
        other = Configurations(place.data, Database.of(place.data), {}, place.secrets)
        for step in range(3):
            other.edit("tok_1", "api", 1, adding(f"s{number}-{step}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    current = place.versions.current()
    assert current is not None
    assert current.number == 13
    assert all(f"s{number}-{step}:" in current.text for number in range(4) for step in range(3))
    place.check()


def test_of_two_that_read_the_same_version_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path)
    first = place.apply(text("a"))
    won: list[str] = []
    told: list[str] = []

    def write(name: str) -> None:
        other = Configurations(place.data, Database.of(place.data), {}, place.secrets)
        try:
            other.apply(text(name), name, "api", 1, expected=first.hash)
        except ConfigConflictError:
            told.append(name)
        else:
            won.append(name)

    threads = [threading.Thread(target=write, args=(f"n{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(told)) == (1, 3)
    assert place.file == text(won[0])
    place.check()
