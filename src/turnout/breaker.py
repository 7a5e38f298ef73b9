"""The circuit breaker: stops reading for a destination that fails as a whole. Pure, time handed in.

closed: everything goes. open: nothing goes until `probe_ms`. half_open: one probe is under way; its success closes,
its failure opens again for twice as long. `Retry-After` is a lower bound here too.
"""

from typing import Literal

State = Literal["closed", "open", "half_open"]
THRESHOLD = 10
_FIRST_S, _LONGEST_S = 1.0, 60.0
_LONGEST_ASKED_S = 86_400.0
"""A partner that asks for more is tried again after a day: nobody would notice a year."""


class Breaker:
    """One destination's breaker. `THRESHOLD` failures in a row, without a success between, open it."""

    def __init__(self) -> None:
        self.state: State = "closed"
        self.probe_ms = 0
        """When the next probe may be made, while open."""
        self._failures = 0
        self._wait_s = _FIRST_S
        self._asked_ms = 0

    @property
    def closed(self) -> bool:
        return self.state == "closed"

    def succeeded(self) -> bool:
        """An attempt was answered well enough; whether this closed the breaker."""
        opened = self.state != "closed"
        self.state, self._failures, self._wait_s, self._asked_ms = "closed", 0, _FIRST_S, 0
        return opened

    def failed(self, now_ms: int, retry_after_s: float | None = None) -> bool:
        """An attempt failed in a way that another may not; whether this opened the breaker."""
        self._failures += 1
        asked_s = min(retry_after_s or 0.0, _LONGEST_ASKED_S)
        self._asked_ms = max(self._asked_ms, now_ms + int(asked_s * 1000))
        if self.state == "open":
            self.probe_ms = max(self.probe_ms, self._asked_ms)
            return False
        if self.state == "half_open":
            self._wait_s = min(self._wait_s * 2, _LONGEST_S)
        elif self._failures < THRESHOLD:
            return False
        opened = self.state == "closed"
        self.state = "open"
        self.probe_ms = max(now_ms + int(self._wait_s * 1000), self._asked_ms)
        return opened

    def probe(self, now_ms: int) -> bool:
        """Whether to make a probe now; if so, its result must be reported."""
        if self.state != "open" or now_ms < self.probe_ms:
            return False
        self.state = "half_open"
        return True
