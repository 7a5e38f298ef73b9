"""Time, handed in so that tests can own it."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives the wall-clock time in milliseconds since 1970."""


def now_ms() -> int:
    """The wall-clock time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
