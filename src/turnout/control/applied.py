"""The applied configuration: one file in the data directory, replaced whole, watched by every process.

The text is kept as it was written: variables are resolved by each process from its own environment, so secrets
that come from there are not on disk.

What must stay true: a wrong text never replaces a working configuration, whoever wrote it. A running process
stays with what it has. One that starts reads the copy of the last text that worked (`remember`).
"""

import os
from collections.abc import Mapping
from pathlib import Path

from turnout.control import configfile
from turnout.control.configuration.secrets import Secrets
from turnout.model.config import EMPTY, Snapshot
from turnout.model.errors import ConfigError


def applied_path(data_dir: Path) -> Path:
    """Where the applied configuration is kept."""
    return data_dir / "config.yaml"


def working_path(data_dir: Path) -> Path:
    """Where the last applied configuration that a worker could use is kept."""
    return data_dir / "config.working.yaml"


def store(data_dir: Path, text: str) -> None:
    """Replace the applied configuration atomically and durably. The caller has validated `text`."""
    _replace(applied_path(data_dir), text)


def withdraw(data_dir: Path, before: str | None) -> None:
    """Put back what was applied before; None: nothing was."""
    if before is None:
        applied_path(data_dir).unlink(missing_ok=True)
    else:
        store(data_dir, before)


def remember(data_dir: Path, text: str) -> None:
    """Keep `text` as the configuration to start with should a later one be wrong. Raises OSError."""
    path = working_path(data_dir)
    if not path.exists() or _read(path) != text:
        _replace(path, text)


def read(data_dir: Path) -> str | None:
    """The applied configuration as written; None if none was ever applied. Raises OSError, UnicodeDecodeError."""
    path = applied_path(data_dir)
    return _read(path) if path.exists() else None


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Watcher:
    """Follows the applied configuration; keeps the last one that worked."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str], secrets: Secrets | None = None) -> None:
        self._data_dir, self._environment, self._secrets = data_dir, environment, secrets
        self._stamp: object = None
        self.snapshot = EMPTY
        self.text = ""
        """What `snapshot` was read from."""
        self.seen = ""
        """Version of the newest text, in use or not."""
        self.error = ""
        """Why the newest text is not in use; empty when it is."""

    def refresh(self) -> Snapshot | None:
        """The new configuration if it has changed and is valid, else None. Costs two `stat` when unchanged.

        It is read again when the key file has changed: a secret may be readable now. At start, while nothing has
        worked yet, a wrong text gives the last configuration that did.
        """
        path = applied_path(self._data_dir)
        try:
            status = path.stat()
            keys = self._secrets.stamp() if self._secrets is not None else None
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size, keys)
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            text = _read(path)
            self.seen = configfile.version(text)
            self._take(text)
        except FileNotFoundError:
            return None
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            self.error = str(error)
            return self._fall_back()
        self.error = ""
        return self.snapshot

    def _take(self, text: str) -> None:
        self.snapshot, self.text = configfile.load(text, self._environment, self._secrets), text

    def _fall_back(self) -> Snapshot | None:
        if self.snapshot is not EMPTY:
            return None
        try:
            self._take(_read(working_path(self._data_dir)))
        except (ConfigError, OSError, UnicodeDecodeError):
            return None
        return self.snapshot
