"""The gate of one destination at work: counts filters that fail, and says so once."""

from collections.abc import Mapping
from datetime import UTC, tzinfo

import structlog

from turnout.model.clock import Clock
from turnout.model.outcome import Code
from turnout.model.requirement import Requirement
from turnout.route.gate import Gate

log = structlog.get_logger("deliver")


class Guard:
    """See the module. One per destination and configuration, so that its requirement is compiled once."""

    def __init__(self, destination: str, requirement: Requirement, clock: Clock, zone: tzinfo = UTC) -> None:
        """`destination` is its reference, `zone` its site's. Raises `FormulaError` if the filter is no formula."""
        self.requirement = requirement
        self.failures = 0
        """Events that were stopped because the filter could not be evaluated."""
        self._gate = Gate(requirement, zone)
        self.open = self._gate.open
        self._destination, self._clock = destination, clock
        self._last = ""

    @property
    def trouble(self) -> str:
        """What the filter fails at; empty when it does not."""
        return f"the filter failed for {self.failures} events, not sent: {self._last}" if self.failures else ""

    def stops(self, event: Mapping[str, object] | None) -> Code | None:
        """Why the event does not pass; None if it does. None for an event that can't be read."""
        verdict = self._gate.judge(event, self._clock())
        if verdict.failure:
            if not self.failures:
                log.warning("filter failed, event not sent", destination=self._destination, reason=verdict.failure)
            self.failures += 1
            self._last = verdict.failure
        return verdict.code
