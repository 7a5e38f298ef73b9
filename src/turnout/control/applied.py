"""The applied configuration: one file in the data directory, replaced whole, watched by every process.

The text is kept as it was written: variables are resolved by each process from its own environment, so secrets
that come from there are not on disk.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from turnout.control import configfile
from turnout.model.config import EMPTY, Snapshot
from turnout.model.errors import ConfigError


def applied_path(data_dir: Path) -> Path:
    """Where the applied configuration is kept."""
    return data_dir / "config.yaml"


def store(data_dir: Path, text: str) -> None:
    """Replace the applied configuration atomically and durably. The caller has validated `text`."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = applied_path(data_dir)
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(data_dir, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Watcher:
    """Follows the applied configuration; keeps the last one that worked."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str]) -> None:
        self._path, self._environment = applied_path(data_dir), environment
        self._seen: tuple[int, int, int] | None = None
        self.snapshot = EMPTY
        self.error = ""
        """Why the newest text is not in use; empty when it is."""

    def refresh(self) -> Snapshot | None:
        """The new configuration if it has changed and is valid, else None. Costs one `stat` when unchanged."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            self.snapshot = configfile.load(self._path.read_text(encoding="utf-8"), self._environment)
        except (ConfigError, UnicodeDecodeError) as error:
            self.error = str(error)
            return None
        self.error = ""
        return self.snapshot
