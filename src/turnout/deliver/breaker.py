"""The circuit breaker: stops reading for a destination that fails as a whole. Pure, time handed in.

closed: everything goes. open: nothing goes until `probe_ms`. half_open: one probe is under way; its success closes,
its failure opens again for twice as long.
"""

from typing import Literal

State = Literal["closed", "open", "half_open"]
THRESHOLD = 10
_FIRST_S, _LONGEST_S = 1.0, 60.0


class Breaker:
    """One destination's breaker. `THRESHOLD` failures in a row, without a success between, open it."""

    def __init__(self) -> None:
        self.state: State = "closed"
        self.probe_ms = 0
        """When the next probe may be made, while open."""
        self._failures = 0
        self._wait_s = _FIRST_S

    @property
    def closed(self) -> bool:
        return self.state == "closed"

    def succeeded(self) -> bool:
        """An attempt was answered well enough; whether this closed the breaker."""
        opened = self.state != "closed"
        self.state, self._failures, self._wait_s = "closed", 0, _FIRST_S
        return opened

    def failed(self, now_ms: int) -> None:
        """An attempt failed in a way that another may not."""
        self._failures += 1
        if self.state == "half_open":
            self._wait_s = min(self._wait_s * 2, _LONGEST_S)
        elif self._failures < THRESHOLD or self.state == "open":
            return
        self._open(now_ms)

    def trip(self, now_ms: int) -> None:
        """Open whatever the attempts say: the retry ledger is full."""
        if self.state == "closed":
            self._open(now_ms)

    def probe(self, now_ms: int) -> bool:
        """Whether to make a probe now; if so, its result must be reported."""
        if self.state != "open" or now_ms < self.probe_ms:
            return False
        self.state = "half_open"
        return True

    def _open(self, now_ms: int) -> None:
        self.state = "open"
        self.probe_ms = now_ms + int(self._wait_s * 1000)
