"""What every log engine promises, in five calls and one for erasing.

Strategy. A stream is a sequence of records (bytes), each with an offset: a whole number that only grows
(it may skip numbers, never go back). Records are stored and read in batches, as they were appended. Readers
do not delete: each keeps a cursor, the offset of the next record it wants, and retention removes what
every group has passed and nobody may want again.

What must stay true of every engine:

* **Durable on return.** When `append` returns, the whole batch survives kill -9 and power loss. When it
  raises, nothing of the batch is kept; the caller may call again.
* **Order.** A stream has one writer at a time. Batches are read in the order in which `append` returned.
* **At least once.** A reader that crashes before its `commit` sees those batches again. A group whose
  cursor moves with `append(..., commit=...)` repeats nothing: both happen, or neither.
* **Retention never overtakes a reader.** A batch is removed only when every group has committed past it
  *and* it is older than the replay window, or the byte budget demands it. If unread batches alone fill
  the budget, `append` raises `LogFullError` instead.
* **Damage is contained.** What can't be read is skipped, a file of which nothing can be read is set aside under a
  name that says so, and `damage()` reports both; everything else stays readable and the stream goes on.

Calls block; a stage that lives in an event loop runs `append` in a thread. Nothing outside `log/` may
know which engine runs.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Records appended together. Record `i` has offset `base + i`; `next` is the offset after the last."""

    base: int
    appended_ms: int
    records: list[bytes]

    @property
    def next(self) -> int:
        return self.base + len(self.records)


class Commit(NamedTuple):
    """A group's cursor on a stream: it has handled every record before `offset`."""

    stream: str
    group: str
    offset: int


class Subscription(Protocol):
    """One reader's position in a stream. Not for use by several threads at a time."""

    def fetch(self, max_records: int, wait_s: float = 0.0) -> list[Batch]:
        """The next whole batches, about `max_records` records of them (at least one batch if there is one).

        Waits up to `wait_s` seconds for the first; an empty list means nothing came. Each call goes on
        where the last one ended, committed or not. Raises `LogUnavailableError` if the log can't be read now.
        """
        ...

    def commit(self, offset: int) -> None:
        """Every record before `offset` is done: after a restart the group starts there, or a little before.

        Not durable against power loss on return (repeats are allowed), never ahead of the call. Only
        subscriptions with a group can commit. Raises `LogUnavailableError`; then the cursor stayed.
        """
        ...

    def lag(self) -> int:
        """How many offsets lie between this reader's position and the end; raises `LogUnavailableError`."""
        ...

    def close(self) -> None:
        """Give back files and connections. The cursor stays."""
        ...


class Log(Protocol):
    """The engine."""

    def append(self, stream: str, records: Sequence[bytes], commit: Commit | None = None) -> int:
        """Store `records` as one batch and give the offset of the first; durable on return.

        With `commit`, the cursor of a group (of any stream) moves in the same transaction: the way a
        stage reads one stream and writes another without repeats. `records` may be empty then. With neither, the
        call only takes the stream's write end, also when the log is full.
        Raises `LogFullError` or `LogUnavailableError`; then nothing was stored and nothing moved.
        Raises `LeaseLostError` if another process writes this stream.
        """
        ...

    def subscribe(self, stream: str, group: str | None, start: int | None = None) -> Subscription:
        """Read a stream from `start`, else from the group's cursor, else from the oldest batch kept.

        Without a group the reader is a visitor: retention does not wait for it. A `start` that retention
        has already removed moves up to the oldest batch kept. Raises `LogUnavailableError`.
        """
        ...

    def end(self, stream: str) -> int:
        """The offset the next record of this stream will get, or less while an `append` is under way.

        Raises `LogUnavailableError`.
        """
        ...

    def replace(self, stream: str, records: Mapping[int, bytes]) -> int:
        """Put other records in the place of those at these offsets, for good; gives how many are another now.

        Offsets and batches stay as they are. On return it is durable, and nothing of what was replaced is left in any
        file of the stream; what a reader has fetched before, it has. Offsets of which nothing is kept are passed over,
        so after a crash the call is made again. Any process may call it, beside the writer: appends go on. Records at
        or behind the end of the stream when it is called are not for it.
        Raises `LogUnavailableError`, also if the writer of the stream is not there; then call again later.
        """
        ...

    def maintain(self, now_ms: int) -> None:
        """Apply retention, prepare files, notice a full disk and its end.

        Called every second or so by the process that writes the stream. What it can't do now it does later.
        """
        ...

    def damage(self) -> list[str]:
        """What had to be set aside, a line each, for the health page and the operator."""
        ...

    def size(self, stream: str) -> int:
        """Bytes that the stream takes on disk."""
        ...

    def close(self) -> None:
        """Flush and close. The log can be opened again."""
        ...
