"""Data stores in one file, `stores.db`: what events said, under a key, until it expires.

Strategy. What is put stays in memory until `flush`, which the process stage calls before it appends what it made of
those events: an entry is durable before anything follows from its event. After a crash the events come again and put
the same entries.

What must stay true: values are encrypted (AES-256-GCM) with keys that are themselves sealed with the key file, which
is not in the data directory; entries are found by a keyed hash, so that ids and addresses are nowhere in the file.
"""

import base64
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from turnout.model.errors import SecretError, TurnoutError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Value = Mapping[str, object]

_TABLES = """
CREATE TABLE IF NOT EXISTS keys (id INTEGER PRIMARY KEY, token TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (store TEXT, key BLOB, id INTEGER, value BLOB, stored_ms INTEGER,
    expires_ms INTEGER, PRIMARY KEY (store, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_age ON entries (expires_ms);
"""
_KEY_BYTES, _NONCE_BYTES = 32, 12
_EXPIRED_PORTION = 1_000
_MOST_WAITING = 10_000
"""Entries that wait for a file that can't be written; more are dropped, all at once."""

_decode = msgspec.json.Decoder(dict[str, object]).decode


class StoreUnavailableError(TurnoutError):
    """The file can't be used at the moment; its text says why."""


class Sealing(Protocol):
    """The key file: `open(seal(text)) == text`, and equal texts give equal tokens. Both raise `SecretError`."""

    def seal(self, text: str) -> str: ...

    def open(self, token: str) -> str: ...


class Shelf:
    """All stores of a server. Opened by its first use. Not for several threads at a time."""

    def __init__(self, path: Path, sealing: Sealing) -> None:
        self._path, self._sealing = path, sealing
        self._db: sqlite3.Connection | None = None
        self._ciphers: dict[int, AESGCM] = {}
        self._newest = 0
        self._salt = b""
        self._waiting: dict[tuple[str, bytes], tuple[bytes, int, int]] = {}
        """What `flush` has to write: JSON, when it was stored and when it expires (ms)."""

    def get(self, store: str, key: str, now_ms: int) -> dict[str, object] | None:
        """What a store has under a key; None if there is nothing, or it has expired. Raises `StoreUnavailableError`."""
        db = self._opened()
        place = (store, self._digest(key))
        if (waiting := self._waiting.get(place)) is not None:
            return _decode(waiting[0]) if waiting[2] > now_ms else None
        try:
            row = db.execute("SELECT id, value, expires_ms FROM entries WHERE store=? AND key=?", place).fetchone()
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"{self._path}: {error}") from error
        if row is None or row[2] <= now_ms:
            return None
        return _decode(self._decrypted(row[0], row[1], place))

    def put(self, store: str, key: str, value: bytes, now_ms: int, keep_ms: int) -> None:
        """Keep a value, an object as JSON, under a key instead of what was there. Raises `StoreUnavailableError`."""
        self._opened()
        self._waiting[store, self._digest(key)] = (value, now_ms, now_ms + keep_ms)

    def flush(self, now_ms: int) -> None:
        """Make durable what was put, and forget some of what has expired.

        Raises `StoreUnavailableError`; what was put waits for the next call then, unless it is too much.
        """
        if self._db is None or not self._waiting:
            return
        rows = [
            (*place, self._newest, self._encrypted(value, place), stored_ms, expires_ms)
            for place, (value, stored_ms, expires_ms) in self._waiting.items()
        ]
        try:
            with self._db as db:
                db.executemany("INSERT OR REPLACE INTO entries VALUES (?,?,?,?,?,?)", rows)
                old = "SELECT store, key FROM entries WHERE expires_ms<=? LIMIT ?"
                db.execute(f"DELETE FROM entries WHERE (store, key) IN ({old})", (now_ms, _EXPIRED_PORTION))
        except sqlite3.Error as error:
            if len(self._waiting) > _MOST_WAITING:
                self._waiting = {}
            raise StoreUnavailableError(f"{self._path}: {error}") from error
        self._waiting = {}

    def sizes(self, now_ms: int) -> dict[str, int]:
        """How many entries each store has. Raises `StoreUnavailableError`."""
        sql = "SELECT store, count(*) FROM entries WHERE expires_ms>? GROUP BY store"
        try:
            return dict(self._opened().execute(sql, (now_ms,)).fetchall())
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"{self._path}: {error}") from error

    def erase(self, site: str, keys: Iterable[str], matches: Callable[[Value], bool], *, dry_run: bool = False) -> int:
        """Remove the entries of a site under these keys, and those whose value matches, for good; gives how many.

        What waits for `flush` here or in another process is not seen. Raises as `get` does.
        """
        db = self._opened()
        digests = {self._digest(key) for key in keys}
        try:
            gone = [
                (store, key)
                for store, key, number, value in db.execute(
                    "SELECT store, key, id, value FROM entries WHERE store>=? AND store<?", (f"{site}/", f"{site}0")
                )
                if key in digests or matches(_decode(self._decrypted(number, value, (store, key))))
            ]
            if not dry_run:
                with db:
                    db.executemany("DELETE FROM entries WHERE store=? AND key=?", gone)
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"{self._path}: {error}") from error
        return len(gone)

    def close(self) -> None:
        """Give back the file. What was not flushed is forgotten."""
        if self._db is not None:
            self._db.close()
        self._db, self._waiting = None, {}

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            try:
                self._db = self._open()
            except (sqlite3.Error, OSError, SecretError) as error:
                raise StoreUnavailableError(f"{self._path}: {error}") from error
        return self._db

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, check_same_thread=False, timeout=2)
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                db.execute(f"PRAGMA {pragma}")
            db.executescript(_TABLES)
            self._take_keys(db)
        except BaseException:
            db.close()
            raise
        return db

    def _take_keys(self, db: sqlite3.Connection) -> None:
        """Open the keys; if there is none, or the newest is not sealed with the key file's newest, add one."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - only where there are stores

        tokens = dict(db.execute("SELECT id, token FROM keys"))
        clear = {number: self._sealing.open(token) for number, token in tokens.items()}
        newest = max(tokens, default=0)
        if not tokens or self._sealing.seal(clear[newest]) != tokens[newest]:
            newest += 1
            clear[newest] = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
            with db:
                db.execute("INSERT INTO keys VALUES (?,?)", (newest, self._sealing.seal(clear[newest])))
        keys = {number: base64.b64decode(text) for number, text in clear.items()}
        self._ciphers = {number: AESGCM(key) for number, key in keys.items()}
        self._newest = newest
        # Entries must be found again, whatever key their values have.
        self._salt = blake2b(keys[min(keys)], digest_size=32, person=b"turnout stores").digest()

    def _digest(self, key: str) -> bytes:
        return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, key=self._salt).digest()

    def _encrypted(self, value: bytes, place: tuple[str, bytes]) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[self._newest].encrypt(nonce, value, _bound(place))

    def _decrypted(self, number: int, value: bytes, place: tuple[str, bytes]) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - only where there are stores

        if number not in self._ciphers and self._db is not None:
            # Another process has added one.
            self._take_keys(self._db)
        try:
            return self._ciphers[number].decrypt(value[:_NONCE_BYTES], value[_NONCE_BYTES:], _bound(place))
        except (KeyError, InvalidTag) as error:
            raise StoreUnavailableError(f"{self._path}: an entry of {place[0]} can't be opened") from error


def _bound(place: tuple[str, bytes]) -> bytes:
    """What a value is bound to, so that it opens only in its own place."""
    return place[0].encode() + place[1]
