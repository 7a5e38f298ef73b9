"""The applied configuration: a wrong text never replaces a working one, whoever wrote it, also at start."""

from pathlib import Path

import pytest

from turnout.control.applied import Watcher, applied_path, read, remember, store, withdraw, working_path
from turnout.model.config import EMPTY, Snapshot


def text(name: str) -> str:
    return f"sites: {{{name}: {{sources: {{a: {{type: web, key: k}}}}}}}}\n"


GOOD, BETTER, WRONG = text("one"), text("two"), "sites: {one: {sourcs: 1}}\n"


def sites(snapshot: Snapshot | None) -> set[str] | None:
    return set(snapshot.sites) if snapshot is not None else None


def test_without_a_file_there_is_nothing_and_nothing_wrong(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, {})
    assert watcher.refresh() is None
    assert (watcher.snapshot, watcher.error) == (EMPTY, "")


def test_each_new_text_is_given_once(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, {})
    store(tmp_path, GOOD)
    assert sites(watcher.refresh()) == {"one"}
    assert watcher.refresh() is None
    store(tmp_path, BETTER)
    assert sites(watcher.refresh()) == {"two"}
    assert (watcher.text, watcher.seen) == (BETTER, watcher.snapshot.version)


@pytest.mark.parametrize(
    "wrong", [WRONG.encode(), b"a: \xff", b"", b"a: [", b"&a [*a]"], ids=["field", "utf-8", "empty", "yaml", "loop"]
)
def test_a_wrong_text_leaves_what_works_and_says_why(tmp_path: Path, wrong: bytes) -> None:
    watcher = Watcher(tmp_path, {})
    store(tmp_path, GOOD)
    watcher.refresh()
    applied_path(tmp_path).write_bytes(wrong)
    assert watcher.refresh() is None
    assert sites(watcher.snapshot) == {"one"}
    assert watcher.error
    store(tmp_path, BETTER)
    assert sites(watcher.refresh()) == {"two"}
    assert watcher.error == ""


def test_the_newest_text_is_known_also_when_it_is_not_in_use(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, {})
    store(tmp_path, GOOD)
    watcher.refresh()
    store(tmp_path, WRONG)
    watcher.refresh()
    assert watcher.seen != watcher.snapshot.version


def test_a_process_that_starts_on_a_wrong_text_takes_the_last_that_worked(tmp_path: Path) -> None:
    remember(tmp_path, GOOD)
    store(tmp_path, WRONG)
    watcher = Watcher(tmp_path, {})
    assert sites(watcher.refresh()) == {"one"}
    assert "sourcs" in watcher.error
    assert watcher.refresh() is None


def test_a_start_without_anything_that_works_says_why(tmp_path: Path) -> None:
    store(tmp_path, WRONG)
    watcher = Watcher(tmp_path, {})
    assert watcher.refresh() is None
    assert (watcher.snapshot, "sourcs" in watcher.error) == (EMPTY, True)


def test_variables_come_from_each_process_own_environment(tmp_path: Path) -> None:
    store(tmp_path, "sites: {one: {sources: {a: {type: web, key: '${KEY}'}}}}")
    with_key, without = Watcher(tmp_path, {"KEY": "k-1"}), Watcher(tmp_path, {})
    with_key.refresh()
    without.refresh()
    assert with_key.snapshot.sources["one/a"].key == "k-1"
    assert "the variable KEY is not set" in without.error
    assert "k-1" not in applied_path(tmp_path).read_text()


def test_what_is_applied_is_kept_as_written_for_the_owner_alone(tmp_path: Path) -> None:
    written = "# comment \u2026\r\n" + GOOD
    store(tmp_path / "new", written)
    assert read(tmp_path / "new") == written
    assert applied_path(tmp_path / "new").stat().st_mode & 0o777 == 0o600
    remember(tmp_path, written)
    assert working_path(tmp_path).stat().st_mode & 0o777 == 0o600


def test_remembering_the_same_text_again_writes_nothing(tmp_path: Path) -> None:
    remember(tmp_path, GOOD)
    before = working_path(tmp_path).stat().st_ino
    remember(tmp_path, GOOD)
    assert working_path(tmp_path).stat().st_ino == before
    remember(tmp_path, BETTER)
    assert working_path(tmp_path).read_text() == BETTER


@pytest.mark.parametrize("before", [None, GOOD])
def test_withdrawing_puts_back_what_was_there(tmp_path: Path, before: str | None) -> None:
    if before is not None:
        store(tmp_path, before)
    store(tmp_path, BETTER)
    withdraw(tmp_path, before)
    assert read(tmp_path) == before
