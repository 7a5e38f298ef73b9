"""File: one processed event per line of NDJSON, and nothing else on the line.

What must stay true:

* A batch is reported delivered after one write and one fsync; anything less is reported as `retry`, and what
  was written of it is cut off again.
* A file ends with a complete line. What a crash tore (the last line; after a power cut, any part of the last
  batch) is cut when the file is opened: it was never reported, so its events come again.
* After a failed write or fsync the file is closed and opened anew: the kernel may forget what it failed to
  store, so the old descriptor proves nothing.
* One writer: the open file is locked, and a second destination on the same path gets `file_in_use`.

Each open file has a thread of its own, so that a slow disk delays neither the event loop nor other work.
"""

import asyncio
import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Flag
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta

from turnout.destinations import rotation
from turnout.destinations.interface import Context, Destination, Event
from turnout.model.clock import Clock, now_ms
from turnout.model.errors import Problem
from turnout.model.outcome import DELIVERED, Result

TYPE = "file"
CATEGORY = "Files"

_BATCH_SIZE = 1000
_MODE = 0o640
_TAIL_BYTES = 64 * 1024
_UNSYNCED_BYTES = 64 << 20
"""More than one batch has: what lies before was on disk before the last batch was begun."""
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))

_log = structlog.get_logger(__name__)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a file destination.

    By default a file is closed at 1 GiB, a size that tools still open, and never by time: whoever looks
    for today's events finds them under the name in the configuration.
    """

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description="The file to append to; a relative path starts at the data directory.",
            examples=["out/events.ndjson"],
        ),
    ]
    rotate_bytes: Annotated[
        int | None,
        Meta(
            description="Close the file before it grows beyond this many bytes; null never does."
            " A single batch is not divided.",
            examples=[1_073_741_824],
        ),
    ] = 1_073_741_824
    rotate_seconds: Annotated[
        int | None,
        Meta(
            description="Close the file with the first event after each such period, counted in UTC"
            " (86400: days, 3600: hours); null never does.",
            examples=[86_400],
        ),
    ] = None
    gzip: Annotated[bool, Meta(description="Pack closed files, in the background.", examples=[True])] = False


def check(config: Config) -> list[Problem]:
    """What the types of `Config` cannot say; paths are relative to the settings."""
    problems = []
    if config.path.endswith(("/", "/.", "/..")) or config.path in {".", ".."} or "\0" in config.path:
        problems.append(Problem("path", "is not the name of a file", "for example out/events.ndjson"))
    if "{{" in config.path:
        problems.append(Problem("path", "is one file, whatever the event: it takes no {{ }}", "give it a name"))
    if config.path.endswith(".gz"):
        problems.append(Problem("path", "the open file is never packed", "drop .gz, and set gzip: true"))
    for name, value in (("rotate_bytes", config.rotate_bytes), ("rotate_seconds", config.rotate_seconds)):
        if value is not None and value < 1:
            problems.append(Problem(name, "must be 1 or more", "null switches it off"))
    return problems


def open_destination(config: Config, context: Context) -> Destination:
    """A file destination. The file itself is opened by the first batch, so that a bad path is a result."""
    return FileDestination(config, context)


class FileDestination:
    """The asynchronous shell around one `AppendFile`."""

    concurrency = 1

    def __init__(self, config: Config, context: Context, clock: Clock = now_ms) -> None:
        self.batch_size = context.delivery_batch_size or _BATCH_SIZE
        self._file = AppendFile(context.data_dir / config.path, config)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "file-destination")

    async def send(self, events: Sequence[Event]) -> Sequence[Result]:
        """Append the events; delivered means on disk."""
        lines = b"\n".join([event.payload for event in events]) + b"\n"
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._thread, self._append, lines)
        return [result] * len(events)

    async def close(self) -> None:
        """Wait for a write under way, then close. A packing under way is given up; the next start does it."""
        await asyncio.to_thread(self._thread.shutdown)
        await asyncio.to_thread(self._file.close)

    def _append(self, lines: bytes) -> Result:
        try:
            self._file.append(lines, self._clock())
        except BlockingIOError:
            return Result("retry", "file_in_use", f"{self._file.path}: another destination or process writes it")
        except OSError as error:
            reason = "disk_full" if error.errno in _NO_ROOM else "io_error"
            return Result("retry", reason, f"{self._file.path}: {error.strerror or error}")
        return DELIVERED


class AppendFile:
    """A file that grows by whole batches of lines. Blocks; for one thread at a time."""

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self._config = config
        self._descriptor: int | None = None
        self._size = 0
        self._period = 0
        self._stop = Flag()
        self._packer = ThreadPoolExecutor(1, "file-packer") if config.gzip else None

    def append(self, lines: bytes, now_ms: int) -> None:
        """Add `lines` (each ended by a newline) durably, or raise `OSError` and leave the file as it was.

        Raises `BlockingIOError` when another writer holds the file.
        """
        descriptor = self._ready(len(lines), now_ms)
        if self._size == 0:
            self._period = self._period_of(now_ms)
        try:
            _write_all(descriptor, lines)
            os.fsync(descriptor)
        except OSError:
            self._give_up(descriptor)
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Give back the file and the lock. May be called again, and before anything was opened."""
        self._stop.set()
        if self._packer is not None:
            self._packer.shutdown(cancel_futures=True)
        self._close_file()

    def _ready(self, coming: int, now_ms: int) -> int:
        """The descriptor to write to: opened, and rotated if this batch belongs in the next file."""
        if self._descriptor is not None and not _is_at(self._descriptor, self.path):
            self._close_file()
        descriptor = self._open() if self._descriptor is None else self._descriptor
        if not self._is_due(coming, now_ms):
            return descriptor
        name = rotation.closed_name(self.path, now_ms, os.listdir(self.path.parent))
        self.path.rename(self.path.with_name(name))
        self._close_file()
        return self._open()

    def _is_due(self, coming: int, now_ms: int) -> bool:
        if self._size == 0:
            return False
        limit = self._config.rotate_bytes
        full = limit is not None and self._size + coming > limit
        return full or self._period != self._period_of(now_ms)

    def _period_of(self, now_ms: int) -> int:
        seconds = self._config.rotate_seconds
        return 0 if seconds is None else now_ms // (seconds * 1000)

    def _open(self) -> int:
        _make_directory(self.path.parent)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        try:
            _lock(descriptor, self.path)
            self._size = _cut_torn_end(descriptor)
            rotation.sync_directory(self.path.parent)
            self._period = self._period_of(os.fstat(descriptor).st_mtime_ns // 1_000_000)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._pack_closed_files()
        return descriptor

    def _give_up(self, descriptor: int) -> None:
        """Cut a failed batch off again and close; the next call opens the file anew."""
        try:
            os.ftruncate(descriptor, self._size)
        except OSError as error:
            # What stays are events that come again: repeats, and a torn line that opening cuts.
            _log.warning("file_not_cut_back", path=str(self.path), error=str(error))
        self._close_file()

    def _close_file(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _pack_closed_files(self) -> None:
        if self._packer is not None:
            for file in rotation.unpacked(self.path):
                self._packer.submit(self._pack, file)

    def _pack(self, file: Path) -> None:
        try:
            if not self._stop.is_set() and file.exists():
                rotation.pack(file, self._stop)
        except OSError as error:
            _log.warning("file_not_packed", path=str(file), error=str(error))


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _lock(descriptor: int, path: Path) -> None:
    """Become the one writer of the file at `path`; raises `BlockingIOError` while there is another."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "is not a regular file")
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not _is_at(descriptor, path):
        raise BlockingIOError(errno.EAGAIN, "was renamed by its writer just now")


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether `path` still names the open file: it may have been moved or deleted under us."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _cut_torn_end(descriptor: int) -> int:
    """Cut what a crash left of a batch that was never reported; gives the size of the file then.

    That is what follows the last newline; and, after a power cut, whatever follows a hole in what was not yet on
    disk: a hole reads as NUL bytes, which JSON never has.
    """
    size = os.fstat(descriptor).st_size
    end = _before_hole(descriptor, max(0, size - _UNSYNCED_BYTES), size)
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
        os.fsync(descriptor)
    return end


def _before_hole(descriptor: int, start: int, size: int) -> int:
    """Where the first NUL byte from `start` on is, else `size`."""
    while start < size:
        chunk = os.pread(descriptor, _TAIL_BYTES, start)
        hole = chunk.find(b"\0")
        if hole >= 0 or not chunk:
            return start + max(hole, 0)
        start += len(chunk)
    return size


def _make_directory(directory: Path) -> None:
    """Create a directory and its parents, each durably entered in its parent."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    rotation.sync_directory(directory.parent)
