"""Identifiers that sort by the time they were made."""

import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARACTERS, _RANDOM_CHARACTERS = 10, 8
LENGTH = _TIME_CHARACTERS + _RANDOM_CHARACTERS


def fresh(prefix: str, now_ms: int) -> str:
    """A new id: `prefix`, the time, and 40 random bits. Not a secret."""
    time = "".join(_ALPHABET[now_ms >> 5 * place & 31] for place in reversed(range(_TIME_CHARACTERS)))
    return prefix + time + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))
