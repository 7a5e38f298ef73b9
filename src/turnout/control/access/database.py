"""Opening `control.db`, the control plane's own store: 0600, and made when it is first used.

Writes are durable on return. Everything here raises `ControlUnavailableError` when the store can't be used.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from turnout.control.access.tables import FORMAT, formats, metadata
from turnout.model.errors import ControlUnavailableError

_PART = "control"
_PATIENCE_S = 20
"""How long to wait for others who write: one on a slow disk may take seconds, and to wait is better than to fail."""
_PAUSE_S = 0.01
_creating = threading.Lock()


class Database:
    """A store that is opened by its first use, so that a broken one costs the API and not the health page."""

    def __init__(self, url: str) -> None:
        """`url` in SQLAlchemy's form."""
        self._url = sqlalchemy.make_url(url)
        self._engine: Engine | None = None
        self._opening = threading.Lock()

    @classmethod
    def of(cls, data_dir: Path) -> "Database":
        """The one of a data directory."""
        return cls(f"sqlite:///{data_dir / 'control.db'}")

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """One transaction: kept if the body ends, forgotten if it raises. `IntegrityError` is the caller's."""
        try:
            with self._opened().begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        """Give back what is open. It opens again when used."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None

    def purge(self) -> None:
        """Leave nothing of what was deleted or overwritten in any file; raises if it can't be done now."""
        engine = self._opened()
        if engine.dialect.name != "sqlite":
            return
        with engine.connect() as connection:
            (busy, _, _) = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        if busy:
            raise ControlUnavailableError(f"{self._url.database}: something reads it all the time")

    def _opened(self) -> Engine:
        with self._opening:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def _open(self) -> Engine:
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            _create(Path(self._url.database))
        engine = create_engine(self._url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _prepare)
        try:
            _make(engine)
            self._check_format(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _check_format(self, engine: Engine) -> None:
        with engine.connect() as connection:
            found = connection.scalar(select(formats.c.version).where(formats.c.part == _PART)) or 0
        if found > FORMAT:
            raise ControlUnavailableError(
                f"{self._url.database} was written by a newer release (format {found}, this one reads up to {FORMAT}): "
                "start that release, or give this one another data directory"
            )

    def _unavailable(self, error: Exception) -> ControlUnavailableError:
        reason = error.orig if isinstance(error, DBAPIError) else error
        return ControlUnavailableError(f"{self._url.database}: {reason}")


def _create(path: Path) -> None:
    """An empty file for its owner alone; SQLite gives the files beside it the same mode.

    Nothing is done to a file that is there: to close it would drop the locks that SQLite holds on it in this process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _creating:
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _make(engine: Engine) -> None:
    """The tables that are not there yet; somebody else may make them at the same moment."""
    known = set(sqlalchemy.inspect(engine).get_table_names())
    if metadata.tables.keys() <= known:
        return
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        metadata.create_all(connection)
        if connection.scalar(select(formats.c.version).where(formats.c.part == _PART)) is None:
            connection.execute(insert(formats).values(part=_PART, version=FORMAT))


def _prepare(connection: sqlalchemy.engine.interfaces.DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_PATIENCE_S * 1000}", "synchronous=FULL", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    _write_ahead(cursor)
    cursor.close()


def _write_ahead(cursor: sqlalchemy.engine.interfaces.DBAPICursor) -> None:
    """Let readers and a writer work side by side. Of several who do this to a new file, SQLite lets one do it and
    tells the others that it is locked, without the wait that it grants elsewhere."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)
