"""The protocol's limits (`collect.md` §4), and the caps on what strangers may make us record."""

from collections import Counter

EVENT_BYTES = 32_768
BATCH_BYTES = 512_000
NESTING = 32
NAME_CHARACTERS = 256
EXCERPT_BYTES = 2_048
EARLIEST_MS, LATEST_MS = 10**11, 10**14
"""What an event's time lies between (the second excluded): 1973 to 5138 (§6)."""

_PER_SOURCE = (200.0, 2_000.0)
_STRANGERS = (20.0, 200.0)


class TokenBucket:
    """`rate` per second on average, `burst` at once. Time in ms, handed in."""

    __slots__ = ("_burst", "_level", "_rate", "_then_ms")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._level, self._then_ms = burst, 0

    def take(self, now_ms: int) -> bool:
        """Whether one more is within the limit now."""
        passed = max(0, now_ms - self._then_ms)
        self._level = min(self._burst, self._level + passed * self._rate / 1000)
        self._then_ms = now_ms
        if self._level < 1:
            return False
        self._level -= 1
        return True


class RefusalCap:
    """Caps how many refusals are recorded, per source and for all strangers together; the rest is counted.

    Anybody can provoke refusals, so they must fill neither the disk nor the inspector.
    """

    def __init__(self) -> None:
        self.suppressed: Counter[str] = Counter()
        """Refusals that were counted only, by reason."""
        self._buckets: dict[str, TokenBucket] = {}

    def records(self, source: str, reason: str, now_ms: int) -> bool:
        """Whether this refusal gets a record. `source` is "" where no source is known."""
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = TokenBucket(*(_PER_SOURCE if source else _STRANGERS))
        if bucket.take(now_ms):
            return True
        self.suppressed[reason] += 1
        return False


class RecentIds:
    """Remembers about the last 200,000 event ids for 24 to 48 hours, to flag repeats (`collect.md` §6).

    Two generations of hashes; the older is dropped when the younger is full or a day old. Forgotten at a restart.
    """

    def __init__(self, generation: int = 100_000, lifetime_ms: int = 86_400_000) -> None:
        self._generation, self._lifetime_ms = generation, lifetime_ms
        self._young: set[int] = set()
        self._old: set[int] = set()
        self._since_ms = 0

    def seen(self, source: str, event_id: str, now_ms: int) -> bool:
        """Whether this source sent this id before; it counts as sent from now on."""
        if len(self._young) >= self._generation or now_ms - self._since_ms >= self._lifetime_ms:
            recent = now_ms - self._since_ms < 2 * self._lifetime_ms
            self._old, self._young, self._since_ms = self._young if recent else set(), set(), now_ms
        key = hash((source, event_id))
        if key in self._young:
            return True
        self._young.add(key)
        return key in self._old

    def forget(self, source: str, event_id: str) -> None:
        """It was not stored after all: when it is sent again, that is not a repeat."""
        self._young.discard(hash((source, event_id)))
