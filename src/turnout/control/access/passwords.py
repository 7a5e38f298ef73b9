"""Passwords: what may be one, and how it is kept. People choose them, so a guess has to be dear: scrypt.

As text: `scrypt$N$R$P$SALT$HASH`, the last two in Base64, so that what is kept stays readable when the numbers change.
"""

import base64
import hashlib
import hmac
import secrets
import threading
import unicodedata

SHORTEST, LONGEST = 12, 1_024
_N, _R, _P = 2**15, 8, 1
"""A guess takes 32 MB and about a tenth of a second of a core."""
_BYTES = 32
_one_at_a_time = threading.Lock()
"""So that a flood of logins takes neither the memory nor all cores."""


def problem(password: str) -> str:
    """Why this can't be a password; empty if it can."""
    length = len(_normal(password))
    if length < SHORTEST:
        return f"a password has at least {SHORTEST} characters; this one has {length}"
    return f"a password has at most {LONGEST:,} characters; this one has {length:,}" if length > LONGEST else ""


def sealed(password: str) -> str:
    """What is kept of a password: another text each time."""
    salt = secrets.token_bytes(16)
    return _written(salt, _hash(password, salt, _N, _R, _P))


def same(password: str, kept: str) -> bool:
    """Whether this is the password of which that is kept. What can't be one costs the same work."""
    _, n, r, p, salt, digest = kept.split("$")
    found = _hash(password if len(password) <= 4 * LONGEST else "", base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(digest))


def _hash(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    with _one_at_a_time:
        written = _normal(password).encode("utf-8", "surrogatepass")
        return hashlib.scrypt(written, salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r, dklen=_BYTES)


def _normal(password: str) -> str:
    """The same text from every keyboard: an é may come as one character or as two."""
    return unicodedata.normalize("NFKC", password)


def _written(salt: bytes, digest: bytes) -> str:
    return "$".join(("scrypt", str(_N), str(_R), str(_P), *(base64.b64encode(one).decode() for one in (salt, digest))))


NOBODYS = _written(bytes(16), bytes(_BYTES))
"""What no password has: to compare with where there is none, for the same work."""
