"""What an answer of the server means for the events that were sent, and how long to wait before the next attempt."""

from email.utils import parsedate_to_datetime
from enum import Enum, auto

FIRST_S = 0.5
LONGEST_S = 30.0
OBEYED_S = 300.0
"""The longest `Retry-After` that is obeyed; a longer one is more likely a mistake than a wish."""


class Verdict(Enum):
    """The fate of a batch."""

    ACCEPTED = auto()
    REFUSED = auto()
    """The bytes are at fault: the same bytes will be refused again."""
    AGAIN = auto()
    """The server, or something on the way to it, is at fault: the same bytes later."""


def judge(status: int) -> Verdict:
    """From the status code.

    A collector says 400 for bytes alone (too large, not JSON), 200 to everything else, 503 when it can't store
    (`collect.md` §0, §4); 413 is how proxies say "too large". Anything else, a redirect or a 404 too, comes from
    a wrong or unfinished set-up that somebody will put right, so the events are kept.
    """
    if 200 <= status < 300:
        return Verdict.ACCEPTED
    return Verdict.REFUSED if status in (400, 413) else Verdict.AGAIN


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """The seconds that a `Retry-After` header asks for, as a number or a date; None if it is absent or unreadable.

    `now_s` is Unix time. Never negative, never over `OBEYED_S`.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        wanted = float(text[:9])
    else:
        try:
            wanted = parsedate_to_datetime(text).timestamp() - now_s
        except ValueError:
            return None
    return min(max(wanted, 0.0), OBEYED_S)


def backoff_s(failures: int, chance: float) -> float:
    """How long to wait after that many failures in a row (from 1 on): doubling, half of it left to chance (0 to 1)."""
    longest = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 16))
    return longest * (1 + chance) / 2


def halves(events: list[bytes]) -> list[list[bytes]]:
    """What to send instead of a refused batch: its two halves, in order. Nothing, if it was one event: that is the one.

    So one bad event among n costs about 2 log2 n requests, and its neighbours arrive, in order.
    """
    middle = len(events) // 2
    return [events[:middle], events[middle:]] if middle else []
