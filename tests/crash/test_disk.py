"""The disk that loses what was not fsynced: its rules, shown on small programs that really run."""

import random
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.crash.disk import Disk, compile_recorder, operations, recording

PRELUDE = """
import os
def write(name, data, flags=os.O_CREAT | os.O_WRONLY, at=0):
    global file
    file = os.open(name, flags)
    os.pwrite(file, data, at)
def sync(name=None):
    fd = os.open(name, os.O_RDONLY) if name else file
    os.fsync(fd)
"""


class Row(NamedTuple):
    """A program, and what a power cut leaves when it takes all it may."""

    name: str
    program: str
    left: dict[str, bytes]


ROWS = [
    Row("nothing synced", "write('a', b'1')", {}),
    Row("contents without the entry", "write('a', b'1'); sync()", {}),
    Row("entry without the contents", "write('a', b'1'); sync('.')", {"a": b""}),
    Row("contents and entry", "write('a', b'1'); sync(); sync('.')", {"a": b"1"}),
    Row("written after the sync", "write('a', b'1'); sync(); sync('.'); write('a', b'2')", {"a": b"1"}),
    Row("truncated after the sync", "write('a', b'1'); sync(); sync('.'); os.ftruncate(file, 0)", {"a": b"1"}),
    Row("renamed, folder not synced", "write('a', b'1'); sync(); sync('.'); os.rename('a', 'b')", {"a": b"1"}),
    Row("renamed, folder synced", "write('a', b'1'); sync(); os.rename('a', 'b'); sync('.')", {"b": b"1"}),
    Row("removed, folder not synced", "write('a', b'1'); sync(); sync('.'); os.unlink('a')", {"a": b"1"}),
    Row("removed, folder synced", "write('a', b'1'); sync(); sync('.'); os.unlink('a'); sync('.')", {}),
    Row("in a folder without an entry", "os.mkdir('d'); write('d/a', b'1'); sync(); sync('d')", {}),
    Row("in a folder with one", "os.mkdir('d'); sync('.'); write('d/a', b'1'); sync(); sync('d')", {"d/a": b"1"}),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_recorder(tmp_path_factory.mktemp("recorder"))


def played(library: Path, place: Path, program: str) -> Disk:
    """The disk after the program."""
    root, journal = place / "root", place / "journal"
    root.mkdir()
    code = PRELUDE + program.replace("'.'", f"'{root}'").replace("'a'", f"'{root}/a'").replace("'b'", f"'{root}/b'")
    code = code.replace("'d'", f"'{root}/d'").replace("'d/a'", f"'{root}/d/a'")
    subprocess.run([sys.executable, "-c", code], check=True, env=recording(library, root, journal))
    disk = Disk(root)
    for operation in operations(journal):
        disk.play(operation)
    return disk


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_only_what_an_fsync_covered_is_certain(library: Path, tmp_path: Path, row: Row) -> None:
    disk = played(library, tmp_path, row.program)
    disk.after_power_cut(tmp_path / "left", random.Random(), 0)
    assert files(tmp_path / "left") == row.left


def test_of_the_rest_any_sectors_may_be_there(library: Path, tmp_path: Path) -> None:
    disk = played(library, tmp_path, "write('a', bytes(2048)); sync(); sync('.'); write('a', b'x' * 1500, at=300)")
    seen = set()
    for number in range(300):
        disk.after_power_cut(tmp_path / f"left{number}", random.Random(number), 0.5)
        seen.add(files(tmp_path / f"left{number}")["a"])
    # The write touches four sectors: 300-512, 512-1024, 1024-1536, 1536-1800.
    assert len(seen) == 16
    assert all(len(content) == 2048 for content in seen)
