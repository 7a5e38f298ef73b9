"""Data stores on a real file: kept until they expire, unreadable without the key file, erased for good."""

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from turnout.control.configuration.secrets import Secrets
from turnout.process.enrichment.shelf import Shelf, StoreUnavailableError

DAY = 86_400_000
VALUE = {"items": [{"id": "P-1"}], "user": {"email": "ann.secret@example.org"}}


def json(value: object) -> bytes:
    return msgspec.json.encode(value)


def opened(place: Path) -> Shelf:
    return Shelf(place / "stores.db", Secrets(place / "keys"))


def everything(place: Path) -> bytes:
    return b"".join(path.read_bytes() for path in place.glob("stores.db*"))


def test_what_is_put_is_found_at_once_and_after_a_restart(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    shelf.put("29/carts", "ann", json(VALUE), 0, DAY)
    assert shelf.get("29/carts", "ann", 1) == VALUE
    shelf.flush(1)
    shelf.close()
    again = opened(tmp_path)
    assert again.get("29/carts", "ann", 1) == VALUE
    assert again.get("29/carts", "bob", 1) is None
    assert again.get("30/carts", "ann", 1) is None
    again.close()


def test_what_was_not_flushed_is_forgotten(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    shelf.put("29/carts", "ann", json(VALUE), 0, DAY)
    shelf.close()
    assert opened(tmp_path).get("29/carts", "ann", 1) is None


def test_the_last_one_wins_and_its_time_starts_anew(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    shelf.put("29/carts", "ann", json({"n": 1}), 0, DAY)
    shelf.flush(0)
    shelf.put("29/carts", "ann", json({"n": 2}), DAY // 2, DAY)
    shelf.flush(DAY // 2)
    assert shelf.get("29/carts", "ann", DAY) == {"n": 2}
    assert shelf.get("29/carts", "ann", DAY + DAY // 2) is None
    shelf.close()


def test_what_has_expired_goes_with_a_later_flush(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    shelf.put("29/carts", "ann", json(VALUE), 0, DAY)
    shelf.flush(0)
    shelf.put("29/carts", "bob", json(VALUE), 2 * DAY, DAY)
    shelf.flush(2 * DAY)
    with sqlite3.connect(tmp_path / "copy.db") as copy, sqlite3.connect(tmp_path / "stores.db") as source:
        source.backup(copy)
        assert copy.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    shelf.close()


def test_neither_key_nor_value_can_be_read_in_the_file(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    shelf.put("29/carts", "ann.secret@example.org", json(VALUE), 0, DAY)
    shelf.flush(0)
    assert b"ann.secret" not in everything(tmp_path)
    shelf.close()


def test_an_entry_opens_only_in_its_own_place(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    shelf.put("29/carts", "ann", json(VALUE), 0, DAY)
    shelf.put("29/carts", "bob", json({"n": 1}), 0, DAY)
    shelf.flush(0)
    shelf.close()
    with sqlite3.connect(tmp_path / "stores.db") as db:
        values = [row[0] for row in db.execute("SELECT value FROM entries ORDER BY key")]
        db.execute("UPDATE entries SET value=?", (values[0],))
    again = opened(tmp_path)
    read = 0
    for key in ("ann", "bob"):
        with contextlib.suppress(StoreUnavailableError):
            again.get("29/carts", key, 1)
            read += 1
    assert read == 1
    again.close()


def test_without_its_key_file_the_stores_can_not_be_used_and_say_so(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    shelf.put("29/carts", "ann", json(VALUE), 0, DAY)
    shelf.flush(0)
    shelf.close()
    (tmp_path / "keys").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailableError, match="keys is not there"):
        opened(tmp_path).get("29/carts", "ann", 1)


def test_after_a_rotation_new_entries_have_a_new_key_and_old_ones_are_found(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    shelf.put("29/carts", "ann", json(VALUE), 0, DAY)
    shelf.flush(0)
    Secrets(tmp_path / "keys").rotate()
    other = opened(tmp_path)
    other.put("29/carts", "bob", json({"n": 2}), 0, DAY)
    other.flush(0)
    assert other.get("29/carts", "ann", 1) == VALUE
    assert shelf.get("29/carts", "bob", 1) == {"n": 2}, "one that was open before knows the new key too"
    with sqlite3.connect(tmp_path / "copy.db") as copy, sqlite3.connect(tmp_path / "stores.db") as source:
        source.backup(copy)
        assert copy.execute("SELECT DISTINCT id FROM entries ORDER BY id").fetchall() == [(1,), (2,)]
    shelf.close()
    other.close()


def test_a_person_is_erased_for_good_and_nobody_else(tmp_path: Path) -> None:
    shelf = opened(tmp_path)
    for site in ("29", "2", "290"):
        shelf.put(f"{site}/carts", "ann", json(VALUE), 0, DAY)
    shelf.put("29/carts", "bob", json({"user": {"email": "bob@example.org"}}), 0, DAY)
    shelf.flush(0)
    shelf.put("29/visits", "ann", json({"page": "/"}), 0, DAY)
    shelf.flush(0)
    assert shelf.erase("29", ["ann"], lambda value: False) == 2
    assert shelf.erase("2", [], lambda value: value.get("user") == VALUE["user"]) == 1
    assert shelf.get("29/carts", "ann", 1) is None
    assert shelf.get("29/carts", "bob", 1) is not None
    assert shelf.sizes(1) == {"29/carts": 1, "290/carts": 1}
    shelf.close()


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "stores.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnavailableError, match=r"stores\.db"):
        opened(tmp_path).get("29/carts", "ann", 1)
