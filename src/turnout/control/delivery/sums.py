"""Sums of outcomes, and what is made of them. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from turnout.model.outcome import Code

Weather = Literal["sunny", "cloudy", "rainy", "stormy", "none"]
RATE_DIGITS = 4


class Sums:
    """Events by their present outcome at some destinations; each (event, destination) pair counts once."""

    def __init__(self, codes: Mapping[Code, int] | None = None) -> None:
        self.codes = Counter(codes or {})

    def of(self, *codes: Code) -> int:
        """How many have one of these codes."""
        return sum(self.codes[code] for code in codes)

    @property
    def offered(self) -> int:
        return self.codes.total() - self.codes[Code.NOT_OFFERED]

    @property
    def delivered(self) -> int:
        return self.of(Code.DELIVERED, Code.DELIVERED_AFTER_RETRY)

    @property
    def not_delivered(self) -> int:
        return self.of(Code.REJECTED, Code.ERROR)

    @property
    def filtered(self) -> int:
        return self.of(*FILTERED, *OTHERWISE_FILTERED)

    @property
    def rate(self) -> float | None:
        """Delivered of delivered and not delivered; None when there are neither."""
        of = self.delivered + self.not_delivered
        return self.delivered / of if of else None


FILTERED = (Code.FILTERED_CONSENT, Code.FILTERED_CONDITION)
OTHERWISE_FILTERED = (Code.FILTERED_EVENT_NAME, Code.FILTERED_UNSUPPORTED)


def weather(rate: float | None) -> Weather:
    """The picture for a delivered rate: sunny above 95 %, cloudy from 90 %, rainy from 50 %, else stormy."""
    if rate is None:
        return "none"
    if rate > 0.95:
        return "sunny"
    return "cloudy" if rate >= 0.9 else "rainy" if rate >= 0.5 else "stormy"


def change(now: int, before: int) -> float | None:
    """By which part a count has grown; None from 0."""
    return round((now - before) / before, RATE_DIGITS) if before else None


def points(now: float | None, before: float | None) -> float | None:
    """By how much a rate has grown; None if there was none then or is none now."""
    return None if now is None or before is None else round(now - before, RATE_DIGITS)


def rounded(rate: float | None) -> float | None:
    """A rate as it is shown."""
    return None if rate is None else round(rate, RATE_DIGITS)
