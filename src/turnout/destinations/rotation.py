"""Closed files of the file destination: how they are named, and packing them.

A closed file is `<stem>-<UTC time>-<number><suffix>`; names sort in the order of closing, whatever the clock
does. Packing writes `<name>.gz` under a temporary name, makes it durable, and only then removes the plain
file: a crash at any point leaves the plain file, a complete .gz, or both, and the next start goes on.
"""

import gzip
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

_CHUNK_BYTES = 1024 * 1024
_LEVEL = 6


def closed_name(path: Path, now_ms: int, existing: Iterable[str]) -> str:
    """The name for `path` when it is closed at `now_ms`; sorts behind every closed name in `existing`."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    stamp = f"{moment:%Y%m%dT%H%M%S}.{now_ms % 1000:03d}Z"
    last = max((match.groups() for name in existing if (match := _match(path, name))), default=("", "0"))
    # The clock stands still or went back: stay at the last time and count on.
    stamp, number = (last[0], int(last[1]) + 1) if stamp <= last[0] else (stamp, 1)
    return f"{path.stem}-{stamp}-{number:06d}{path.suffix}"


def unpacked(path: Path) -> list[Path]:
    """The closed files of `path` that are not packed yet, the oldest first."""
    return sorted(file for file in path.parent.iterdir() if _match(path, file.name) and not file.name.endswith(".gz"))


def pack(file: Path, stop: Event) -> None:
    """Replace a closed file by its .gz. Ends early, with the file as it was, once `stop` is set.

    Blocks. Raises `OSError`; the plain file is then still there.
    """
    target = file.with_name(f"{file.name}.gz")
    temporary = target.with_name(f"{target.name}.tmp")
    with file.open("rb") as source, temporary.open("wb") as sink:
        os.fchmod(sink.fileno(), os.fstat(source.fileno()).st_mode & 0o777)
        with gzip.GzipFile(file.name, "wb", _LEVEL, sink) as packer:
            while not stop.is_set() and (chunk := source.read(_CHUNK_BYTES)):
                packer.write(chunk)
        sink.flush()
        os.fsync(sink.fileno())
    if stop.is_set():
        temporary.unlink()
        return
    temporary.rename(target)
    sync_directory(file.parent)
    file.unlink()


def sync_directory(directory: Path) -> None:
    """Make created and renamed entries of a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _match(path: Path, name: str) -> re.Match[str] | None:
    pattern = rf"{re.escape(path.stem)}-(\d{{8}}T\d{{6}}\.\d{{3}}Z)-(\d{{6,}}){re.escape(path.suffix)}(?:\.gz)?"
    return re.fullmatch(pattern, name)
