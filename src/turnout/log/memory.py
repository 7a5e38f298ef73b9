"""The log in memory: same promises but for durability. For tests, ours and users'."""

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

from turnout.log.interface import Batch, Commit
from turnout.model.clock import now_ms
from turnout.model.errors import LogFullError


class _Stream:
    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.next = 0
        self.bytes = 0


class MemoryLog:
    """See `interface.Log`. `groups` names, per stream, the groups that retention waits for."""

    def __init__(
        self,
        groups: Mapping[str, Sequence[str]],
        *,
        keep_ms: int = 7 * 86_400_000,
        budget_bytes: int = 1 << 30,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._groups = {stream: tuple(names) for stream, names in groups.items()}
        self._keep_ms, self._budget, self._clock = keep_ms, budget_bytes, clock
        self._streams = {stream: _Stream() for stream in groups}
        self._cursors: dict[tuple[str, str], int] = {}
        self._changed = threading.Condition()

    def append(self, stream: str, records: Sequence[bytes], commit: Commit | None = None) -> int:
        with self._changed:
            target = self._streams[stream]
            if not records and commit is None:
                return target.next
            if target.bytes > self._budget:
                raise LogFullError(f"{stream} is over its budget of {self._budget} bytes")
            base = target.next
            if records:
                target.batches.append(Batch(base, self._clock(), list(records)))
                target.next += len(records)
                target.bytes += sum(map(len, records))
                self._changed.notify_all()
            if commit is not None:
                self._cursors[commit.stream, commit.group] = commit.offset
            return base

    def subscribe(self, stream: str, group: str | None, start: int | None = None) -> "MemorySubscription":
        if start is None:
            start = self._cursors.get((stream, group), 0) if group else 0
        return MemorySubscription(self, stream, group, start)

    def end(self, stream: str) -> int:
        return self._streams[stream].next

    def replace(self, stream: str, records: Mapping[int, bytes]) -> int:
        changed = 0
        with self._changed:
            target = self._streams[stream]
            for number, batch in enumerate(target.batches):
                fresh = [records.get(offset, old) for offset, old in enumerate(batch.records, batch.base)]
                changed += sum(new != old for new, old in zip(fresh, batch.records, strict=True))
                target.bytes += sum(map(len, fresh)) - sum(map(len, batch.records))
                target.batches[number] = Batch(batch.base, batch.appended_ms, fresh)
        return changed

    def maintain(self, now_ms: int) -> None:
        with self._changed:
            for name, stream in self._streams.items():
                passed = min((self._cursors.get((name, group), 0) for group in self._groups[name]), default=0)
                while stream.batches and stream.batches[0].next <= passed:
                    oldest = stream.batches[0]
                    if stream.bytes <= self._budget and oldest.appended_ms >= now_ms - self._keep_ms:
                        break
                    stream.bytes -= sum(map(len, oldest.records))
                    del stream.batches[0]

    def damage(self) -> list[str]:
        return []

    def size(self, stream: str) -> int:
        return self._streams[stream].bytes

    def close(self) -> None:
        """Nothing to give back."""

    def _read(self, stream: str, position: int, max_records: int, wait_s: float) -> list[Batch]:
        deadline = time.monotonic() + wait_s
        with self._changed:
            while True:
                batches = self._streams[stream].batches
                first = bisect_right(batches, position, key=lambda batch: batch.next)
                found: list[Batch] = []
                count = 0
                for batch in batches[first:]:
                    found.append(batch)
                    count += len(batch.records)
                    if count >= max_records:
                        break
                remaining = deadline - time.monotonic()
                if found or remaining <= 0:
                    return found
                self._changed.wait(remaining)

    def _commit(self, stream: str, group: str, offset: int) -> None:
        with self._changed:
            self._cursors[stream, group] = offset


class MemorySubscription:
    """See `interface.Subscription`."""

    def __init__(self, log: MemoryLog, stream: str, group: str | None, start: int) -> None:
        self._log, self._stream, self._group, self._position = log, stream, group, start

    def fetch(self, max_records: int, wait_s: float = 0.0) -> list[Batch]:
        batches = self._log._read(self._stream, self._position, max_records, wait_s)
        if batches:
            self._position = batches[-1].next
        return batches

    def commit(self, offset: int) -> None:
        assert self._group is not None, "a visitor has no cursor to commit"
        self._log._commit(self._stream, self._group, offset)

    def lag(self) -> int:
        return self._log.end(self._stream) - self._position

    def close(self) -> None:
        """Nothing to give back."""
