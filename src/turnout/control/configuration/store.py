"""The versions of the configuration, and the one way to a new one for all who write: people, programs, the start.

`config.yaml` is what every process follows; a table in `control.db` holds its history.

What must stay true: whoever writes holds the lock, from what the change was made on to its last step, so that nobody's
change is lost unseen. A row is written before the file and counts once the file has its text: after a kill at any
moment the file is one whole version, and the history says which. A text that came into the file by hand becomes a
version by "file" when it is next looked at, if it is valid. What could not be recorded is not done.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from sqlalchemy import Row, delete, func, insert, select, update

from turnout.control import applied, configfile
from turnout.control.access.activity import Activity, Entry
from turnout.control.access.database import Database
from turnout.control.access.tables import configurations
from turnout.control.access.token import ALL_SITES
from turnout.control.configuration import difference
from turnout.control.configuration.edit import Editor
from turnout.control.configuration.seal import Sealed, sealed, sealed_anew
from turnout.control.configuration.secrets import Secrets
from turnout.model.config import Snapshot
from turnout.model.errors import (
    ConfigConflictError,
    ConfigError,
    ConfigRefusedError,
    ControlUnavailableError,
    Problem,
    SecretError,
)

KEPT = 1_000
"""Versions, the newest."""
BY_HAND = "file"
"""Author and origin of a text that somebody put into the data directory."""
_LOCK_S = 10.0
_RECORDED_CHANGES, _RECORDED_BYTES = 100, 1_000

Settle = Callable[[str], str]
"""Waits until the running processes have looked at the version with this hash; gives why one can't use it, or ""."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One state of the configuration: the whole text, and who made it when, from where. `hash` names the text."""

    number: int
    at_ms: int
    author: str
    """The id of a token, "cli:" and the user's name, or "file"."""
    origin: str
    """`api`, `cli`, `start` (of a server) or `file`."""
    note: str
    hash: str
    text: str


class Deed(NamedTuple):
    """What a new version is called in the activity log: "feature.action", whom it concerns, from where it was asked."""

    action: str
    subject: str = ""
    """The number of the version, if nothing else is said."""
    address: str = ""


_EDIT = Deed("configuration.edit")


class Configurations:
    """Safe in threads and between processes. Every call raises `ControlUnavailableError` when the store can't be used.

    Each that writes raises `ConfigError` with all that is wrong, `ConfigConflictError` if the current hash is not the
    `expected` one, and `SecretError` if a secret can't be sealed; then nothing was changed. It returns when the new
    version is durable in `config.yaml`; the processes follow within a second.
    """

    def __init__(
        self, data_dir: Path, database: Database, environment: Mapping[str, str], secrets: Secrets, kept: int = KEPT
    ) -> None:
        self._data_dir, self._database = data_dir, database
        self._environment, self._secrets, self._kept = environment, secrets, kept
        self._activity = Activity(database)

    def current(self) -> Version | None:
        """What is applied; None if nothing ever was."""
        newest, is_pending = self._newest()
        if not is_pending and (newest.hash if newest is not None else None) == self._hash_of_file():
            return newest
        with self._alone() as current:
            return current

    def history(self, size: int, *, after: int | None = None, before: int | None = None) -> list[Version]:
        """Up to `size` versions, newest first: those just after (older than) a number, or just before."""
        self.current()
        table = configurations.c
        conditions = [] if after is None else [table.number < after]
        conditions += [] if before is None else [table.number > before]
        order = table.number if before is not None else table.number.desc()
        with self._database.connection() as connection:
            rows = connection.execute(select(configurations).where(*conditions).order_by(order).limit(size)).all()
        versions = [_version(row) for row in rows]
        return versions[::-1] if before is not None else versions

    def version(self, number: int) -> Version | None:
        """One version; None if there is none of this number, or none any more."""
        self.current()
        return self._find(number)

    def check(self, text: str) -> Snapshot:
        """What a text would configure. Changes nothing. Raises `ConfigError`."""
        return configfile.load(text, self._environment, self._secrets)

    def apply(
        self,
        text: str,
        author: str,
        origin: str,
        now_ms: int,
        *,
        expected: str | None = None,
        note: str = "",
        settle: Settle | None = None,
    ) -> Version:
        """Replace the whole configuration. Gives the current version if that has this text already.

        Raises `ConfigRefusedError` if `settle` says that a running process can't use it; then what was there before is
        back in its place.
        """
        with self._alone() as current:
            _check(current, expected)
            ready = sealed(text, self._environment, self._secrets)
            made = self._put(current, ready, Deed("configuration.apply"), author, origin, note, now_ms, settle)
            self._mark_from_file(made.number)
            return made

    def start(self, text: str, now_ms: int, note: str = "") -> tuple[Version, bool]:
        """Apply the text of the file that a server starts with, unless it brings nothing new.

        It does not if it is what was last applied from a file: then what was changed since, over the API or by going
        back, stays. Gives the current version, and whether it says something else than the file.
        """
        with self._alone() as current:
            ready = sealed(text, self._environment, self._secrets)
            in_place = current is not None and current.hash == self._hash_of_file()
            if current is not None and in_place and self._is_known_file(ready.text):
                return current, not self._alike(current.text, ready.text)
            made = self._put(current, ready, Deed("configuration.apply"), BY_HAND, "start", note, now_ms)
            self._mark_from_file(made.number)
            return made, False

    def edit(
        self,
        author: str,
        origin: str,
        now_ms: int,
        change: Callable[[Editor], None],
        expected: str | None = None,
        note: str = "",
        deed: Deed = _EDIT,
    ) -> Version:
        """Change the current configuration with an editor. `change` may raise: then nothing is done."""
        with self._alone() as current:
            _check(current, expected)
            editor = Editor(self._base(current))
            change(editor)
            ready = sealed(editor.text, self._environment, self._secrets)
            return self._put(current, ready, deed, author, origin, note, now_ms)

    def restore(
        self,
        number: int,
        author: str,
        origin: str,
        now_ms: int,
        *,
        expected: str | None = None,
        settle: Settle | None = None,
    ) -> Version:
        """Apply the text of an earlier version again, as a new one. Raises `ConfigError` if there is none."""
        with self._alone() as current:
            _check(current, expected)
            found = self._find(number)
            if found is None:
                raise ConfigError([Problem("", f"there is no version {number}", "see `turnout history`")])
            ready = sealed(found.text, self._environment, self._secrets)
            note = f"restored from version {number}"
            return self._put(current, ready, Deed("configuration.restore"), author, origin, note, now_ms, settle)

    def rotate(self, author: str, origin: str, now_ms: int) -> tuple[str, Version | None]:
        """Make a new key, and seal every secret of the current configuration with it; gives the key's name."""
        with self._alone() as current:
            self._activity.add(_entry(ALL_SITES, Deed("secrets.rotate"), author, origin, now_ms))
            key = self._secrets.rotate()
            if current is None:
                return key, None
            text = sealed_anew(self._base(current), self._secrets)
            ready = sealed(text, self._environment, self._secrets)
            note = f"sealed with the key {key}"
            return key, self._put(current, ready, Deed("configuration.apply"), author, origin, note, now_ms)

    def _put(
        self,
        current: Version | None,
        ready: Sealed,
        deed: Deed,
        author: str,
        origin: str,
        note: str,
        now_ms: int,
        settle: Settle | None = None,
    ) -> Version:
        """A new version, from the record of it to the last step."""
        before = applied.read(self._data_dir)
        if current is not None and current.text == ready.text == before:
            return current
        version = Version(
            number=(current.number if current is not None else 0) + 1,
            at_ms=now_ms,
            author=author,
            origin=origin,
            note=note,
            hash=ready.snapshot.version,
            text=ready.text,
        )
        self._record(deed, version, current)
        self._insert(version, is_pending=True)
        applied.store(self._data_dir, ready.text)
        refusal = settle(version.hash) if settle is not None else ""
        if refusal:
            applied.withdraw(self._data_dir, before)
            self._record(Deed("configuration.withdraw"), version, None, refusal)
            self._forget(version.number)
            raise ConfigRefusedError(refusal)
        self._confirm(version.number)
        return version

    def _base(self, current: Version | None) -> str:
        """The text to change. Raises `ConfigError` for one that was put there by hand and can't be used."""
        text = applied.read(self._data_dir)
        if text is None:
            return current.text if current is not None else ""
        if current is None or text != current.text:
            configfile.load(text, self._environment, self._secrets)
        return text

    def _find(self, number: int) -> Version | None:
        with self._database.connection() as connection:
            row = connection.execute(select(configurations).where(configurations.c.number == number)).one_or_none()
        return _version(row) if row is not None else None

    def _is_known_file(self, text: str) -> bool:
        """Whether this is the text that was last applied from a file."""
        table = configurations.c
        newest = select(table.text).where(table.is_from_file).order_by(table.number.desc()).limit(1)
        with self._database.connection() as connection:
            known = connection.scalar(newest)
        return known is not None and self._alike(known, text)

    def _alike(self, one: str, other: str) -> bool:
        """Whether two texts are the same, whatever keys sealed their secrets."""
        if one == other:
            return True
        try:
            return sealed_anew(one, self._secrets) == sealed_anew(other, self._secrets)
        except SecretError:
            return False

    def _mark_from_file(self, number: int) -> None:
        with self._database.connection() as connection:
            change = update(configurations).where(configurations.c.number == number)
            connection.execute(change.values(is_from_file=True))

    def _newest(self) -> tuple[Version | None, bool]:
        """The row with the highest number, and whether it is pending."""
        with self._database.connection() as connection:
            row = connection.execute(select(configurations).order_by(configurations.c.number.desc()).limit(1)).first()
        return (_version(row), bool(row.is_pending)) if row is not None else (None, False)

    def _hash_of_file(self) -> str | None:
        try:
            text = applied.read(self._data_dir)
        except UnicodeDecodeError:
            return ""
        return configfile.version(text) if text is not None else None

    @contextmanager
    def _alone(self) -> Iterator[Version | None]:
        """The right to write, with what is current once every trace of a killed writer is put right."""
        try:
            with self._locked():
                yield self._reconciled()
        except OSError as error:
            raise ControlUnavailableError(f"the configuration can't be written: {error}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._data_dir / "config.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + _LOCK_S
            while not _taken(lock):
                if time.monotonic() > deadline:
                    raise ControlUnavailableError(
                        f"the configuration was being changed by somebody else for {_LOCK_S:.0f} s: try again"
                    )
                time.sleep(0.01)
            yield
        finally:
            os.close(lock)

    def _reconciled(self) -> Version | None:
        newest, is_pending = self._newest()
        found = self._hash_of_file()
        if newest is not None and is_pending:
            if newest.hash == found:
                self._confirm(newest.number)
                return newest
            self._forget(newest.number)
            newest, _ = self._newest()
        if found is None or (newest is not None and newest.hash == found):
            return newest
        return self._adopted(newest)

    def _adopted(self, newest: Version | None) -> Version | None:
        """What somebody put into the file by hand, as a version; the newest one if it can't be used."""
        try:
            text = applied.read(self._data_dir) or ""
            ready = sealed(text, self._environment, self._secrets)
        except (ConfigError, SecretError, UnicodeDecodeError):
            return newest
        at_ms = applied.applied_path(self._data_dir).stat().st_mtime_ns // 1_000_000
        return self._put(newest, ready, Deed("configuration.adopt"), BY_HAND, BY_HAND, "", at_ms)

    def _insert(self, version: Version, *, is_pending: bool) -> None:
        row = {**msgspec.structs.asdict(version), "is_pending": is_pending, "is_from_file": False}
        with self._database.connection() as connection:
            connection.execute(insert(configurations).values(row))

    def _confirm(self, number: int) -> None:
        table = configurations.c
        with self._database.connection() as connection:
            connection.execute(update(configurations).where(table.number == number).values(is_pending=False))
            # What was last applied from a file is needed at the next start, however long ago that was.
            newest = select(func.max(table.number)).where(table.is_from_file).scalar_subquery()
            too_old = (table.number <= number - self._kept) & (table.number != func.coalesce(newest, 0))
            connection.execute(delete(configurations).where(too_old))

    def _forget(self, number: int) -> None:
        with self._database.connection() as connection:
            connection.execute(delete(configurations).where(configurations.c.number == number))

    def _record(self, deed: Deed, version: Version, before: Version | None, refusal: str = "") -> None:
        """For every site whose data changes; for all of them if only the form does."""
        found = difference.by_site(before.text if before is not None else "", version.text)
        for site, changes in (found or {ALL_SITES: []}).items():
            about: dict[str, object] = {"hash": version.hash, "note": version.note}
            if refusal:
                about["refusal"] = refusal
            else:
                about["changes"] = [_short(change) for change in changes[:_RECORDED_CHANGES]]
                about["changed"] = len(changes)
            self._activity.add(
                _entry(site, deed, version.author, version.origin, version.at_ms, str(version.number), about)
            )


def _check(current: Version | None, expected: str | None) -> None:
    found = current.hash if current is not None else ""
    if expected is not None and expected != found:
        raise ConfigConflictError(
            f"the configuration is {found or 'empty'} by now, not {expected}: read it again, and change that"
        )


def _entry(
    site: str,
    deed: Deed,
    author: str,
    origin: str,
    at_ms: int,
    number: str = "",
    about: Mapping[str, object] | None = None,
) -> Entry:
    """Tokens have a place of their own in the record; the names of other authors are in its properties."""
    is_token = author.startswith("tok_")
    return Entry(
        at_ms=at_ms,
        site=site,
        token=author if is_token else "",
        origin=origin,
        address=deed.address,
        feature=deed.action.partition(".")[0],
        action=deed.action,
        subject=deed.subject or number,
        properties={**({} if is_token else {"author": author}), **(about or {})},
    )


def _short(change: difference.Change) -> difference.Change:
    """A change without values that would swell the record."""
    values = {
        name: f"({len(text)} bytes)"
        for name in ("before", "after")
        if len(text := msgspec.json.encode(getattr(change, name) or None)) > _RECORDED_BYTES
    }
    return msgspec.structs.replace(change, **values)


def _version(row: Row[tuple[object, ...]]) -> Version:
    return Version(**{name: getattr(row, name) for name in Version.__struct_fields__})


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
