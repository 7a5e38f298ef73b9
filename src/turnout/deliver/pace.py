"""A destination's `rate_per_second`: when the next events may be sent, and how much is passed in one step.

What must stay true: a step is recorded when all of it was sent. At a low rate a batch would take minutes, and a crash
would send all of it again; so a step takes about a second's worth.
"""

from collections.abc import Iterator, Sequence

from turnout.deliver.reader import DecodedBatch
from turnout.model.config import Destination
from turnout.route.plan import offered

_LATE_S = 0.1
"""So much of lost time may be made up for: waits are never exact."""


class Pace:
    """Gives each attempt its time, evenly spread. Pure: the time is handed in."""

    def __init__(self, rate_per_second: int) -> None:
        self._each_s = 1 / rate_per_second
        self._free_s = 0.0
        """When everything that was promised by now is sent."""

    def wait_s(self, events: int, now_s: float) -> float:
        """How long an attempt with so many events has to wait. Its time is taken: who asks next waits longer."""
        at_s = max(self._free_s, now_s - _LATE_S)
        self._free_s = at_s + events * self._each_s
        return max(0.0, at_s - now_s)


def portions(destination: Destination, batches: Sequence[DecodedBatch], most: int) -> Iterator[list[DecodedBatch]]:
    """The same events in order, in portions of which at most so many are offered to the destination."""
    portion: list[DecodedBatch] = []
    taken = 0
    for batch in batches:
        low = 0
        for position, record in enumerate(batch.records):
            if offered(destination, record) is not None:
                continue
            if taken == most:
                yield [*portion, batch.part(low, position)] if position > low else portion
                portion, taken, low = [], 0, position
            taken += 1
        portion.append(batch.part(low, len(batch.records)) if low else batch)
    if portion:
        yield portion
