"""What a power cut may leave of a disk, worked out from a record of everything that was done to its files.

`recorder.c` is compiled and preloaded into the processes under test; it journals every change below one folder,
and every fsync. A prefix of that journal is a moment at which the power may fail. `Disk` plays the journal up to
there and makes the folder that a file system may then hold:

* What an fsync covered that had returned is there. The contents of a file and its entry in its folder are two
  things: each needs its own fsync, as POSIX has it.
* Of every other write any 512-byte sectors may be there or not, in any combination; a file may be shorter or longer.
* Of every other creation, renaming and removal in a folder any may have happened.
"""

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
_HEADER = struct.Struct("=IIQQQ")
_SOURCE = Path(__file__).with_name("recorder.c")


class Kind(IntEnum):
    """What was done; see `recorder.c`."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    RENAME = 4
    UNLINK = 5
    MKDIR = 6
    SYNC_START = 7
    SYNC_END = 8


class Operation(NamedTuple):
    """One entry of the journal; `end` is where the next one begins."""

    end: int
    kind: Kind
    thread: int
    inode: int
    offset: int
    data: bytes


def compile_recorder(folder: Path) -> Path:
    """The library to preload. Fails, saying what to install, where there is no C compiler."""
    compiler = shutil.which("gcc")
    assert compiler, "this test needs a C compiler: apt-get install gcc libc6-dev"
    library = folder / "recorder.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE, "-ldl", "-lpthread"], check=True)
    return library


def recording(library: Path, folder: Path, journal: Path) -> dict[str, str]:
    """The environment variables that make a process record what it does below `folder`."""
    return {"LD_PRELOAD": str(library), "DISK_ROOT": str(folder), "DISK_JOURNAL": str(journal)}


def operations(journal: Path) -> Iterator[Operation]:
    """Everything in the journal, in order."""
    end = 0
    with journal.open("rb") as file:
        while header := file.read(_HEADER.size):
            kind, thread, inode, offset, length = _HEADER.unpack(header)
            data = file.read(length)
            end += _HEADER.size + length
            yield Operation(end, Kind(kind), thread, inode, offset, data)


class _Change(NamedTuple):
    """What happened in a folder: the entry `gone` went, the entry `name` came. Numbered like operations."""

    number: int
    gone: str | None
    name: str | None
    file: "_File | None"


class _File:
    """A file or folder: what is durable of it, and what was done since."""

    def __init__(self, is_folder: bool) -> None:
        self.is_folder = is_folder
        self.durable = bytearray()
        self.writes: list[tuple[int, Operation]] = []
        self.entries: dict[str, _File] = {}
        self.changes: list[_Change] = []

    def settle(self, number: int) -> None:
        """What was done before operation `number` is durable."""
        while self.writes and self.writes[0][0] < number:
            _apply(self.durable, self.writes.pop(0)[1])
        while self.changes and self.changes[0].number < number:
            _enter(self.entries, self.changes.pop(0))


class Disk:
    """The files below `root`, played from a journal."""

    def __init__(self, root: Path) -> None:
        """`root` exists and is empty; its own name is durable."""
        self._root = root
        self._top = _File(is_folder=True)
        self._names = {str(root): self._top}
        self._inodes = {root.stat().st_ino: self._top}
        self._syncing: dict[tuple[int, int], int] = {}
        self._number = 0

    def play(self, operation: Operation) -> None:
        """Take in the next operation."""
        self._number += 1
        _, kind, thread, inode, _, data = operation
        if kind in (Kind.WRITE, Kind.TRUNCATE):
            self._inodes[inode].writes.append((self._number, operation))
        elif kind == Kind.SYNC_START:
            self._syncing[thread, inode] = self._number
        elif kind == Kind.SYNC_END:
            self._inodes[inode].settle(self._syncing.pop((thread, inode)))
        elif kind in (Kind.CREATE, Kind.MKDIR):
            made = self._inodes[inode] = _File(kind == Kind.MKDIR)
            self._change(None, data.decode(), made)
        elif kind == Kind.UNLINK:
            self._change(data.decode(), None, None)
        else:
            old, _, new = data.decode().partition("\0")
            self._change(old, new, self._names[old])

    def after_power_cut(self, target: Path, dice: random.Random, survival: float) -> None:
        """Make the folder `target` as a power cut now may leave it.

        `survival` is the probability of everything that was not made durable: 0 loses all of it, 1 nothing.
        """
        self._write(self._top, target, dice, survival)

    def _change(self, gone: str | None, name: str | None, file: _File | None) -> None:
        gone_folder, gone_name = os.path.split(gone) if gone else (None, None)
        folder, entry = os.path.split(name) if name else (gone_folder, None)
        assert folder is not None
        assert gone_folder in (None, folder), "renaming into another folder is not one change"
        if gone:
            self._names.pop(gone)
        if name and file:
            self._names[name] = file
        self._names[folder].changes.append(_Change(self._number, gone_name, entry, file))

    def _write(self, file: _File, target: Path, dice: random.Random, survival: float) -> None:
        if not file.is_folder:
            content = bytearray(file.durable)
            for _, operation in file.writes:
                for part in _sectors(operation, dice, survival):
                    _apply(content, part)
            target.write_bytes(content)
            return
        target.mkdir()
        entries = dict(file.entries)
        for change in file.changes:
            if dice.random() < survival:
                _enter(entries, change)
        for name, entry in entries.items():
            self._write(entry, target / name, dice, survival)


def _enter(entries: dict[str, _File], change: _Change) -> None:
    if change.gone is not None:
        entries.pop(change.gone, None)
    if change.name is not None and change.file is not None:
        entries[change.name] = change.file


def _apply(content: bytearray, operation: Operation) -> None:
    start, end = operation.offset, operation.offset + len(operation.data)
    size = start if operation.kind == Kind.TRUNCATE else end
    if len(content) < size:
        content.extend(bytes(size - len(content)))
    if operation.kind == Kind.TRUNCATE:
        del content[start:]
    else:
        content[start:end] = operation.data


def _sectors(operation: Operation, dice: random.Random, survival: float) -> Iterator[Operation]:
    """The parts of a write that reached the disk by chance."""
    if operation.kind == Kind.TRUNCATE or survival in (0, 1):
        if dice.random() < survival:
            yield operation
        return
    start, end = operation.offset, operation.offset + len(operation.data)
    while start < end:
        following = min(end, (start // SECTOR + 1) * SECTOR)
        if dice.random() < survival:
            data = operation.data[start - operation.offset : following - operation.offset]
            yield operation._replace(offset=start, data=data)
        start = following
