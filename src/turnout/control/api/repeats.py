"""Requests that may be sent twice and are done once: `Idempotency-Key` (`config-api.md` B7).

What must stay true: with one key at most one request is run, also when the process is killed in between; then
nobody knows how far it came, and whoever asks again is told so. An answer may hold a secret that is shown once, so
it is sealed with what only the asker has: the key and the token.
"""

import hashlib
import threading
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from turnout.control.access.database import Database
from turnout.control.access.tables import repeatable
from turnout.control.api.problems import ApiError, Fault, failure

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEPT_MS = 86_400_000
_LONGEST = 255
_CLEANED_EVERY_MS = 3_600_000
_NONCE = bytes(12)
"""Every row has a key of its own, used once."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


class Claim(msgspec.Struct, frozen=True):
    """The right to run a request. `id` names its row; `seal` is known to nobody else."""

    id: str
    seal: bytes


class Repeats:
    """Safe in threads. Raises `ControlUnavailableError` when the store can't be used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._clean_at_ms = 0

    def begin(self, key: str, credential: str, request: bytes, now_ms: int) -> Claim | Answer:
        """The answer if this request was done before, else the claim to do it now, to be given to `end`.

        `credential` is the token as it was sent, `request` everything that makes two requests the same. Raises
        `ApiError` 400 for what is no key, 409 where the key was used for something else, or its request is under
        way or was interrupted.
        """
        if not (key.isascii() and key.isprintable() and 0 < len(key) <= _LONGEST):
            detail = f"Idempotency-Key must be 1 to {_LONGEST} printable ASCII characters"
            raise failure(400, "INVALID_PARAMETER", detail)
        secret = f"{credential}\n{key}".encode()
        claim = Claim(hashlib.sha256(b"id\n" + secret).hexdigest(), hashlib.sha256(b"seal\n" + secret).digest())
        digest = hashlib.sha256(request).hexdigest()
        with self._lock:
            if claim.id in self._running:
                under_way = "a request with this Idempotency-Key is under way"
                raise ApiError(409, [Fault("CONFLICT", under_way)], {"Retry-After": "1"})
            found = self._claim(claim.id, digest, now_ms)
            if found is None:
                self._running.add(claim.id)
                return claim
        request_before, sealed = found
        if request_before != digest:
            raise failure(409, "CONFLICT", "this Idempotency-Key was used for another request: use a new one")
        if sealed is None:
            detail = (
                "the request with this Idempotency-Key was interrupted: look whether it was done, then use a new key"
            )
            raise failure(409, "CONFLICT", detail)
        return _opened(claim, sealed)

    def end(self, claim: Claim, answer: Answer | None) -> None:
        """Keep the answer for whoever asks again. None: nothing was done, so the key may be used again."""
        row = repeatable.c.id == claim.id
        try:
            with self._database.connection() as connection:
                if answer is None:
                    connection.execute(delete(repeatable).where(row))
                else:
                    sealed = _cipher(claim).encrypt(_NONCE, msgspec.msgpack.encode(answer), None)
                    connection.execute(update(repeatable).where(row).values(answer=sealed))
        finally:
            with self._lock:
                self._running.discard(claim.id)

    def _claim(self, claim_id: str, digest: str, now_ms: int) -> tuple[str, bytes | None] | None:
        """What is known of a claim; None: nothing, until now."""
        columns = repeatable.c
        try:
            with self._database.connection() as connection:
                gone = columns.at_ms < now_ms - KEPT_MS
                if now_ms >= self._clean_at_ms:
                    self._clean_at_ms = now_ms + _CLEANED_EVERY_MS
                    connection.execute(delete(repeatable).where(gone))
                connection.execute(delete(repeatable).where(gone, columns.id == claim_id))
                connection.execute(insert(repeatable).values(id=claim_id, request=digest, at_ms=now_ms))
            return None
        except IntegrityError:
            with self._database.connection() as connection:
                row = connection.execute(select(repeatable).where(columns.id == claim_id)).one()
            return row.request, row.answer


def _opened(claim: Claim, sealed: bytes) -> Answer:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as below

    try:
        answer = msgspec.msgpack.decode(_cipher(claim).decrypt(_NONCE, sealed, None), type=Answer)
    except (InvalidTag, msgspec.MsgspecError) as error:
        raise failure(409, "CONFLICT", "the answer to this Idempotency-Key can't be read any more") from error
    return msgspec.structs.replace(answer, headers={**answer.headers, "Idempotency-Replayed": "true"})


def _cipher(claim: Claim) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - megabytes, for few requests

    return AESGCM(claim.seal)
