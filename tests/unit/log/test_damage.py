"""Damage is contained: whatever is broken, the log opens, names it, and gives everything else."""

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from turnout.log.interface import Commit
from turnout.log.segment import PAGE, segment_bases, segment_path
from turnout.log.sqlite import SqliteLog
from turnout.testing.log_suite import GROUPS, FakeClock, drain

BATCHES = 60
SIZE = 3_000


def opened(place: Path) -> SqliteLog:
    return SqliteLog(place, GROUPS, segment_bytes=50_000, reserve_bytes=0, clock=FakeClock())


def record(number: int) -> bytes:
    """A record that can be told from every other one; a batch takes several pages."""
    return b"%06d" % number + random.Random(number).randbytes(SIZE)


def filled(place: Path) -> list[bytes]:
    """A cleanly closed log with several segments; gives its records."""
    log = opened(place)
    records = []
    for number in range(BATCHES):
        batch = [record(2 * number), record(2 * number + 1)]
        log.append("accepted", batch)
        log.append("processed", [b"p"], Commit("accepted", "process", log.end("accepted")))
        log.maintain(0)
        records += batch
    log.close()
    return records


def segments(place: Path) -> list[Path]:
    return [segment_path(place / "accepted", base) for base in segment_bases(place / "accepted")]


def cut_short(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def break_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


def another_program(path: Path) -> None:
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE batches (x)")
    db.close()


class Row(NamedTuple):
    """How a file is broken, and whether it has to be set aside as a whole."""

    name: str
    harm: Callable[[Path], None]
    whole: bool


ROWS = [
    Row("cut short", cut_short, whole=False),
    Row("empty", empty, whole=True),
    Row("overwritten", overwrite, whole=True),
    Row("header broken", break_header, whole=True),
    Row("written by another program", another_program, whole=True),
]


@pytest.mark.parametrize("which", [0, 2, -1], ids=["oldest", "middle", "newest"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_broken_file_costs_only_itself(tmp_path: Path, row: Row, which: int) -> None:
    records = filled(tmp_path)
    path = segments(tmp_path)[which]
    row.harm(path)
    log = opened(tmp_path)
    base = log.append("accepted", [b"next"])
    found = drain(log.subscribe("accepted", None, 0))
    assert found[-1] == b"next"
    assert log.subscribe("accepted", None, base).fetch(1)[0].records == [b"next"]
    assert found[:-1] == [one for one in records if one in set(found)]
    lost = len(records) + 1 - len(found)
    assert 0 < lost <= 20
    assert any(str(path) in line for line in log.damage())
    aside = path.with_name(path.stem + ".damaged.db")
    if row.whole:
        assert aside.exists()
        assert not path.exists()
    log.close()
    assert [line for line in opened(tmp_path).damage() if str(aside) in line] or not aside.exists()


@pytest.mark.parametrize("seed", range(15))
def test_random_bytes_in_a_closed_log_cost_little(tmp_path: Path, seed: int) -> None:
    """Nothing wrong is ever given, the stream goes on, and what is lost is near what was hit."""
    dice = random.Random(seed)
    records = filled(tmp_path)
    for path in dice.sample(segments(tmp_path), dice.randint(1, 3)):
        with path.open("r+b") as file:
            for _ in range(dice.randint(1, 4)):
                file.seek(dice.randrange(path.stat().st_size))
                file.write(dice.randbytes(dice.choice((1, 16, 600))))
    log = opened(tmp_path)
    log.append("accepted", [b"next"])
    found = drain(log.subscribe("accepted", None, 0))
    assert found[-1] == b"next"
    assert found[:-1] == [one for one in records if one in set(found)]
    if len(found) <= len(records):
        assert log.damage()


def test_one_broken_page_costs_its_batches_and_not_the_file(tmp_path: Path) -> None:
    records = filled(tmp_path)
    path = segments(tmp_path)[1]
    content = bytearray(path.read_bytes())
    lost = record(2 * 12)
    at = content.index(lost[:500])
    page = at // PAGE * PAGE
    content[page : page + PAGE] = random.Random(0).randbytes(PAGE)
    path.write_bytes(content)
    log = opened(tmp_path)
    found = drain(log.subscribe("accepted", None))
    assert lost not in found
    assert len(found) >= len(records) - 4
    assert path.exists()
    assert any(str(path) in line for line in log.damage())


def test_damage_does_not_stop_a_group(tmp_path: Path) -> None:
    """A group commits behind damage and goes on there after a restart; retention removes what it passed."""
    filled(tmp_path)
    segments(tmp_path)[1].write_bytes(b"x" * 5000)
    groups = {"accepted": ["other"]}
    log = SqliteLog(tmp_path, groups, reserve_bytes=0)
    log.append("accepted", [b"next"])
    reader = log.subscribe("accepted", "other")
    assert drain(reader)[-1] == b"next"
    reader.commit(log.end("accepted"))
    log.close()
    log = SqliteLog(tmp_path, groups, reserve_bytes=0, budget_bytes=1)
    log.append("accepted", [])
    log.maintain(0)
    assert len(segments(tmp_path)) == 1
    assert drain(log.subscribe("accepted", "other")) == []
    log.append("accepted", [b"last"])
    log.close()


@pytest.mark.parametrize(
    "name", ["garbage", "1.db", "99999999999999999999.db", "x.db-wal", "00000000000000000007.db-wal"]
)
def test_files_that_are_not_of_the_log_are_passed_over(tmp_path: Path, name: str) -> None:
    records = filled(tmp_path)
    (tmp_path / "accepted" / name).write_bytes(b"\xff" * 3000)
    log = opened(tmp_path)
    log.append("accepted", [b"next"])
    log.maintain(0)
    assert drain(log.subscribe("accepted", None)) == [*records, b"next"]
    assert log.damage() == []


def test_a_broken_cursor_moves_back_never_ahead(tmp_path: Path) -> None:
    """The newest file of `processed` holds the cursor of `accepted`; without it an older one counts."""
    filled(tmp_path)
    before = opened(tmp_path)
    assert before.subscribe("accepted", "process").lag() == 0
    before.close()
    newest = segment_path(tmp_path / "processed", segment_bases(tmp_path / "processed")[-1])
    newest.write_bytes(b"")
    log = opened(tmp_path)
    again = drain(log.subscribe("accepted", "process"))
    assert 0 < len(again) <= 2 * BATCHES
    log.append("processed", [b"p"], Commit("accepted", "process", log.end("accepted")))
    assert drain(log.subscribe("accepted", "process")) == []


def test_a_broken_cursors_file_is_set_aside(tmp_path: Path) -> None:
    filled(tmp_path)
    log = opened(tmp_path)
    log.subscribe("processed", "deliver").commit(5)
    log.close()
    (tmp_path / "cursors.db").write_bytes(b"garbage" * 1000)
    log = opened(tmp_path)
    reader = log.subscribe("processed", "deliver")
    assert len(drain(reader)) == BATCHES
    reader.commit(log.end("processed"))
    assert drain(log.subscribe("processed", "deliver")) == []
    assert any("cursors" in line for line in log.damage())
    assert (tmp_path / "cursors.damaged.db").exists()
