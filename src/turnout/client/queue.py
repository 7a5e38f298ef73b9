"""Events on their way: the interface of a queue, its twin in memory, and when a batch is due. No I/O, no locks."""

from collections import deque
from itertools import islice
from typing import NamedTuple, Protocol, Self

from turnout.client.events import BATCH_BYTES, fits


class Policy(NamedTuple):
    """When a batch leaves: at `events` events, at the protocol's bytes, or `interval_s` after the first one."""

    events: int
    interval_s: float

    def due_in(self, events: int, size: int, age_s: float) -> float:
        """Seconds until these waiting events must leave, the oldest of them `age_s` old; 0 is now."""
        if events >= self.events or size >= BATCH_BYTES:
            return 0.0
        return max(0.0, self.interval_s - age_s)


class Queue(Protocol):
    """First in, first out, and bounded. Used under the sender's lock, so it needs none.

    An event stays in the queue until it is acknowledged: what `take` gave is given again until then.
    """

    trouble: str
    """What last went wrong with the queue's storage. Whoever reports it empties it."""
    corrupt: int
    """Events that ever were lost because the storage did not give them back."""

    @property
    def accepted(self) -> int:
        """Events that ever came in."""

    @property
    def settled(self) -> int:
        """Events that went out again: acknowledged, or lost."""

    @property
    def waiting_bytes(self) -> int:
        """The size of the events that are in the queue."""

    def offer(self, event: bytes) -> bool:
        """Add an event; False if there is no room. Never raises."""

    def take(self) -> list[bytes]:
        """The next batch, in order, without removing it; empty if there is none."""

    def acknowledge(self) -> None:
        """Remove what `take` gave last."""

    def sync(self) -> None:
        """Make what is in the queue survive a power cut, if it can. The only call made without the lock."""

    def close(self) -> int:
        """Let go of everything held; gives the number of events lost by it."""

    def fresh(self) -> Self:
        """An empty queue of the same kind, for a forked child; this one is not to be used there any more."""


class MemoryQueue:
    """Bounded in bytes. Lost when the process dies."""

    def __init__(self, policy: Policy, limit_bytes: int) -> None:
        self.trouble, self.corrupt = "", 0
        self.accepted = self.settled = self.waiting_bytes = 0
        self._policy, self._limit = policy, limit_bytes
        self._events: deque[bytes] = deque()
        self._taken = 0

    def offer(self, event: bytes) -> bool:
        if self.waiting_bytes + len(event) > self._limit:
            return False
        self._events.append(event)
        self.waiting_bytes += len(event)
        self.accepted += 1
        return True

    def take(self) -> list[bytes]:
        first = list(islice(self._events, self._policy.events))
        self._taken = fits([len(event) for event in first], self._policy.events)
        return first[: self._taken]

    def acknowledge(self) -> None:
        for _ in range(self._taken):
            self.waiting_bytes -= len(self._events.popleft())
        self.settled += self._taken
        self._taken = 0

    def sync(self) -> None:
        """Memory does not survive."""

    def close(self) -> int:
        lost = len(self._events)
        self._events.clear()
        self.settled += lost
        self.waiting_bytes = self._taken = 0
        return lost

    def fresh(self) -> "MemoryQueue":
        return MemoryQueue(self._policy, self._limit)
