"""`Client` and `AsyncClient`: the same sender, waited for in two ways.

The asynchronous client sends from the thread as well: looking up names and fsync would block a loop, and a loop
that is busy or ends early would hold events back.
"""

import atexit
import os
import threading
import time
import uuid
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from turnout.client.events import BATCH_BYTES, UnsendableError, encode
from turnout.client.queue import MemoryQueue, Policy, Queue
from turnout.client.sender import Sender
from turnout.client.transport import Transport


class _Tracker:
    """What both clients are; see their docstrings."""

    def __init__(
        self,
        url: str,
        *,
        site: str,
        key: str,
        spool: str | os.PathLike[str] | None = None,
        interval_s: float = 1.0,
        batch_events: int = 500,
        queue_bytes: int = 16 << 20,
        spool_bytes: int = 64 << 20,
        timeout_s: float = 10.0,
        exit_timeout_s: float = 5.0,
    ) -> None:
        """Starts nothing yet, but what an earlier process left in the spool begins to leave at once.

        `url`: where the collector is, with the path in front of `/events`, if any. `site`, `key`: the id of the
        site (`tc_s`) and the key of the source (`token`). `spool`: a folder for events that are not acknowledged
        yet; one per source, shared by its processes. `interval_s`, `batch_events`: a batch leaves at the latest
        that long after its first event, and has at most that many. `queue_bytes`: events in memory, per process;
        `spool_bytes`: events in the spool, per process. `timeout_s`: for each wait on the network.
        `exit_timeout_s`: for the last flush when the interpreter ends.
        Raises `ValueError` for values that can't be right.
        """
        if batch_events < 1 or interval_s < 0 or min(queue_bytes, spool_bytes) < BATCH_BYTES or timeout_s <= 0:
            raise ValueError(f"batch_events from 1, interval_s from 0, timeout_s over 0, bytes from {BATCH_BYTES}")
        transport = Transport(url, str(site), key, timeout_s)
        policy = Policy(batch_events, interval_s)
        memory = MemoryQueue(policy, queue_bytes)
        queue = memory if spool is None else _spool(Path(spool), policy, spool_bytes, memory)
        self._exit_timeout_s = exit_timeout_s
        self._sender = Sender(queue, transport, policy)
        with _forking:
            _senders.add(self._sender)
        atexit.register(self._at_exit)

    def track(
        self,
        event_name: str,
        properties: Mapping[str, object] | None = None,
        *,
        user: Mapping[str, object] | None = None,
        context: Mapping[str, object] | None = None,
        event_id: str | None = None,
        timestamp_ms: int | None = None,
    ) -> str | None:
        """Queue one event; gives its id, or None if it was dropped and counted.

        `properties` are the root of the event, standard and custom properties alike; `user` and `context` are its
        two objects. The id is a new UUID and the timestamp (Unix ms) is now, unless given here or in `context`.
        Values may be dates, `Decimal`, `UUID`, enums, sets and mappings besides what JSON has. Everything is
        encoded before this returns: the caller may change it afterwards.

        Never blocks: no network, no waiting for one. With a spool it writes one line to a local file, so that the
        event survives the death of the process from the moment this returns. Never raises, except `TypeError`
        for arguments that it does not have: an event that can't be sent is counted in `dropped`, and logged.
        """
        try:
            identity, event = encode(
                event_name,
                properties,
                user,
                context,
                event_id,
                timestamp_ms,
                fresh_id=str(uuid.uuid4()),
                now_ms=time.time_ns() // 1_000_000,
            )
        except UnsendableError as error:
            self._sender.drop(error.reason, f"{_named(event_name)}: {error}")
            return None
        except Exception as error:  # noqa: BLE001 - values have methods of their own, and may fail in any way
            self._sender.drop("invalid", f"{_named(event_name)}: {type(error).__name__} while it was encoded")
            return None
        return identity if self._sender.offer(event) else None

    @property
    def sent(self) -> int:
        """Events that the server has acknowledged, in this process."""
        return self._sender.sent

    @property
    def waiting(self) -> int:
        """Events that are queued or on their way."""
        return self._sender.waiting

    @property
    def dropped(self) -> dict[str, int]:
        """Events given up in this process, by reason; reasons that did not occur are not in it.

        `invalid`, `too_large`: the event can't be sent (see the log). `queue_full`: memory or spool are at their
        bound. `refused`: the server answered 400 to this very event. `closed`: tracked after `close`. `unsent`:
        still in memory when the client was closed; the server may have taken the last batch of them.
        `corrupt`: damaged in the spool.
        """
        return self._sender.dropped

    def _at_exit(self) -> None:
        self._sender.finish(self._exit_timeout_s)


class Client(_Tracker):
    """Sends events from any thread. Make one per process, or one before forking; share it; close it at the end.

    A context manager. Not closed, it flushes when the interpreter ends, for at most `exit_timeout_s`.
    A forked child starts with an empty queue and its own thread.
    """

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Send everything tracked before now. True once none of it waits any more, False if time is up.

        What the server refused is not waiting either: see `dropped`.
        """
        try:
            return self._sender.flush().result(timeout_s)
        except TimeoutError:
            return False

    def close(self, timeout_s: float = 10.0) -> bool:
        """Flush, then stop for good. What is left after `timeout_s` stays in the spool, or is dropped as `unsent`."""
        atexit.unregister(self._at_exit)
        return self._sender.finish(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Tracker):
    """As `Client`, for asyncio: `track` stays a plain call, `flush` and `close` are awaited. Bound to no loop."""

    async def flush(self, timeout_s: float = 10.0) -> bool:
        """As `Client.flush`."""
        return await _awaited(self._sender.flush(), timeout_s)

    async def close(self, timeout_s: float = 10.0) -> bool:
        """As `Client.close`."""
        atexit.unregister(self._at_exit)
        try:
            return await _awaited(self._sender.flush(), timeout_s)
        finally:
            self._sender.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _awaited(future: "Future[bool]", timeout_s: float) -> bool:
    import asyncio  # noqa: PLC0415 - whoever awaits this has it; nobody else shall pay for it

    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), timeout_s)
    except TimeoutError:
        return False


def _spool(folder: Path, policy: Policy, limit_bytes: int, memory: MemoryQueue) -> Queue:
    from turnout.client.spool import SpoolQueue  # noqa: PLC0415 - needs flock, which Windows has not

    return SpoolQueue(folder, policy, limit_bytes, memory)


def _named(event_name: object) -> str:
    return repr(event_name[:64]) if isinstance(event_name, str) else f"a {type(event_name).__name__}"


_senders: "weakref.WeakSet[Sender]" = weakref.WeakSet()
_held: list[Sender] = []
_forking = threading.Lock()


def _before_fork() -> None:
    """So that the child finds every queue between two operations, not in the middle of one."""
    _forking.acquire()
    _held.extend(_senders)
    for sender in _held:
        sender.lock.acquire()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().lock.release()
    _forking.release()


def _after_fork_in_child() -> None:
    while _held:
        _held.pop().after_fork()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
