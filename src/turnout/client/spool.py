"""The queue on disk: events that are not yet acknowledged survive a restart or kill -9 of the application.

Strategy. A folder of append-only segments, one event a line. `offer` ends with one write(2) to the newest segment,
so an event is in the spool **when `track` returns**: the kernel has it, whatever becomes of the process. A power
cut is another matter: `sync` (fsync) is called after every attempt that failed and when the client closes, so it
can cost what was tracked since then, and never what the server acknowledged. A segment is removed when all its
events are acknowledged, so after a crash at most one segment per process is sent twice, with the same ids.

Processes may share the folder, never a segment: each is locked (flock) by its process as long as that lives, and
gets its final name only once it is locked. An unlocked file has lost its process; whoever starts next takes it.

What must stay true: events leave in the order in which they came. So once the disk refuses an event, that one and
all after it wait in memory until the memory is empty again. Nothing is ever written behind a torn line.
"""

import fcntl
import json
import os
import time
from collections import deque
from pathlib import Path

from turnout.client.events import fits
from turnout.client.queue import MemoryQueue, Policy

SEGMENT_BYTES = 524_288
_NAME, _DRAFT = "turnout-{}.ndjson", "turnout-{}.new"


class _Segment:
    """A locked file. Lines from `read` to `size` are to be sent; what lies behind `size` is torn."""

    def __init__(self, path: Path, fd: int, size: int = 0, lines: int = 0) -> None:
        self.path, self.fd = path, fd
        self.size, self.lines, self.read, self.synced = size, lines, 0, size
        self.adopted = size > 0


class SpoolQueue:
    """See the module. A `Queue` bounded in bytes on disk; the memory beside it is for when the disk fails."""

    def __init__(
        self, folder: Path, policy: Policy, limit_bytes: int, memory: MemoryQueue, *, adopt: bool = True
    ) -> None:
        """`adopt`: take over what dead processes left. Never raises for the state of the disk: see `trouble`."""
        self.trouble, self.corrupt = "", 0
        self.accepted = self.settled = self.waiting_bytes = 0
        self._folder, self._policy, self._limit, self._memory = folder, policy, limit_bytes, memory
        self._segments: deque[_Segment] = deque()
        self._tail: _Segment | None = None
        self._disk_bytes = 0
        self._taken: tuple[int, int] | None = None
        """Lines and bytes of the head segment that `take` gave last; None if it took from the memory."""
        if adopt:
            for path in (*sorted(folder.glob(_NAME.format("*"))), *folder.glob(_DRAFT.format("*"))):
                try:
                    self._adopt(path)
                except (BlockingIOError, FileNotFoundError):
                    continue  # its process lives, or another one has finished it meanwhile
                except OSError as error:
                    self.trouble = f"{path}: {error}"

    def offer(self, event: bytes) -> bool:
        if not self._memory.waiting_bytes:
            line = event + b"\n"
            if self._disk_bytes + len(line) > self._limit:
                return False
            try:
                self._write(line)
            except OSError as error:
                self.trouble = f"{self._folder}: {error}"
            else:
                self._count(1, len(line))
                return True
        if not self._memory.offer(event):
            return False
        self._count(1, len(event))
        return True

    def take(self) -> list[bytes]:
        while self._segments:
            head = self._segments[0]
            lines = self._read(head)
            self._taken = (len(lines), sum(map(len, lines)) + len(lines))
            kept = [line for line in lines if _is_event(line)] if head.adopted else lines
            self.corrupt += len(lines) - len(kept)
            if kept:
                return kept
            self.acknowledge()
        self._taken = None
        return self._memory.take()

    def acknowledge(self) -> None:
        if self._taken is None:
            events, size = self._memory.settled, self._memory.waiting_bytes
            self._memory.acknowledge()
            self._count(events - self._memory.settled, self._memory.waiting_bytes - size)
            return
        lines, size = self._taken
        head = self._segments[0]
        head.lines -= lines
        head.read += size
        self._taken = (0, 0)
        self._count(-lines, -size)
        if head.read >= head.size:
            self._remove(head)

    def sync(self) -> None:
        """fsync the segments that need it, and the folder that names them."""
        try:
            for segment in self._segments.copy():
                size = segment.size
                if segment.synced < size:
                    os.fsync(segment.fd)
                    segment.synced = size
                    folder = os.open(self._folder, os.O_RDONLY)
                    try:
                        os.fsync(folder)
                    finally:
                        os.close(folder)
        except OSError as error:
            self.trouble = f"{self._folder}: {error}"

    def close(self) -> int:
        """Unlock the segments and leave them for the next start; what only the memory held is lost."""
        for segment in self._segments:
            os.close(segment.fd)
        self._segments.clear()
        self._tail = self._taken = None
        return self._memory.close()

    def fresh(self) -> "SpoolQueue":
        # Closing the child's copies does not unlock: the parent's are open.
        self.close()
        return SpoolQueue(self._folder, self._policy, self._limit, self._memory.fresh(), adopt=False)

    def _count(self, events: int, size: int) -> None:
        """Account for events that came in (or, negative, went out)."""
        self.accepted += max(0, events)
        self.settled += max(0, -events)
        self.waiting_bytes += size

    def _write(self, line: bytes) -> None:
        tail = self._tail
        if tail is None or tail.size + len(line) > SEGMENT_BYTES:
            tail = self._tail = self._open()
        if os.write(tail.fd, line) < len(line):
            self._tail = None
            raise OSError("no space for a whole line")
        tail.size += len(line)
        tail.lines += 1
        self._disk_bytes += len(line)

    def _open(self) -> _Segment:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{time.time_ns()}-{os.getpid()}"
        path, draft = self._folder / _NAME.format(name), self._folder / _DRAFT.format(name)
        fd = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(path)
        except (BlockingIOError, FileNotFoundError):
            os.close(fd)
            return self._open()  # another process, that just starts, took it for a dead one's before it was locked
        except OSError:
            os.close(fd)
            raise
        segment = _Segment(path, fd)
        self._segments.append(segment)
        return segment

    def _adopt(self, path: Path) -> None:
        """Take over a segment whose process is gone, up to its last whole line."""
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(fd), path.stat()):
                raise FileNotFoundError(path)
            data = path.read_bytes()
        except OSError:
            os.close(fd)
            raise
        segment = _Segment(path, fd, data.rfind(b"\n") + 1, data.count(b"\n"))
        self._segments.append(segment)
        self._disk_bytes += segment.size
        self._count(segment.lines, segment.size)
        if not segment.lines:
            self._remove(segment)

    def _read(self, segment: _Segment) -> list[bytes]:
        """The lines of the next batch. If the disk can't give them the segment is given up, and there are none."""
        try:
            data = os.pread(segment.fd, segment.size - segment.read, segment.read)
        except OSError as error:
            self.trouble = f"{segment.path}: {error}"
            data = b""
        lines = data.split(b"\n")[:-1]
        if not lines:
            self.corrupt += segment.lines
            self._count(-segment.lines, segment.read - segment.size)
            segment.read = segment.size
        return lines[: fits([len(line) for line in lines], self._policy.events)]

    def _remove(self, segment: _Segment) -> None:
        self._segments.remove(segment)
        self._disk_bytes -= segment.size
        if segment is self._tail:
            self._tail = None
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            self.trouble = f"{segment.path}: {error}"
        os.close(segment.fd)


def _is_event(line: bytes) -> bool:
    """Not so after a power cut: a file may come back longer than its data."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
