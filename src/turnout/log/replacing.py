"""Replacing records for good, from any process: old bytes are overwritten in the files and in what belongs to them.

Strategy. Full segments belong to nobody: SQLite lets one process change them while others read. The newest one is the
writer's, so if a record of it is to be replaced, the writer is asked to begin the next one.

What must stay true:
* Freed pages are zeroed (`secure_delete`), and the write-ahead log, which still has the pages as they were, is emptied
  before the call returns, also that of a segment which an earlier call has changed before it was killed.
* What does not count (a commit whose fsync failed) may hold the same records, so it is emptied.
* A segment that retention removes meanwhile leaves no file behind.
"""

import itertools
import sqlite3
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path

from turnout.log.segment import DamagedError, Segment, remove, segment_bases, segment_path, wal_path
from turnout.log.writer import rotation_request
from turnout.model.errors import LogUnavailableError

_ROTATION_S = 10.0
_POLL_S = 0.02
_TRIES = 100


def replace(folder: Path, records: Mapping[int, bytes], rotate: Callable[[], None]) -> int:
    """See `interface.Log.replace`. `rotate` returns when everything appended before is in full segments.

    Raises `LogUnavailableError`.
    """
    if not records:
        return 0
    bases = segment_bases(folder)
    if bases and max(records) >= bases[-1]:
        rotate()
        bases = segment_bases(folder)
    offsets = sorted(records)
    changed = 0
    for base, following in itertools.pairwise(bases):
        here = offsets[bisect_left(offsets, base) : bisect_left(offsets, following)]
        changed += _replace_in(segment_path(folder, base), {offset: records[offset] for offset in here}, following)
    return changed


def ask_for_rotation(folder: Path) -> None:
    """Have another process, the writer of this stream, begin the next segment; raises `LogUnavailableError`."""
    request = rotation_request(folder)
    request.touch()
    deadline = time.monotonic() + _ROTATION_S
    while request.exists():
        if time.monotonic() >= deadline:
            request.unlink(missing_ok=True)
            raise LogUnavailableError(f"nobody writes {folder} at the moment, or there is no room for the next segment")
        time.sleep(_POLL_S)


def _replace_in(path: Path, records: Mapping[int, bytes], following: int) -> int:
    try:
        with Segment(path, write=True) as segment:
            changed = segment.replace(records, following)
            _empty(segment)
        return changed
    except FileNotFoundError:
        return 0
    except DamagedError:
        # Readers skip it, say so, and set it aside.
        return 0
    except sqlite3.Error as error:
        raise LogUnavailableError(f"{path}: {error}") from error
    finally:
        if not path.exists():
            remove(path)


def _empty(segment: Segment) -> None:
    """Empty the write-ahead log. Readers, and the writer when it does the same, are in the way for moments only."""
    for _ in range(_TRIES):
        if not _size(wal_path(segment.path)) or segment.checkpoint("TRUNCATE"):
            return
        time.sleep(_POLL_S)
    raise LogUnavailableError(f"{segment.path}: something reads it all the time, its write-ahead log stays")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
