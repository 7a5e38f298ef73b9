"""The background thread: takes batches from the queue, posts them, backs off, counts.

Strategy. One lock guards the queue and the counters; it is held for memory operations and the spool's short file
operations, never for the network, fsync or logging. The thread starts with the first event and is a daemon: it
never keeps a process alive, `finish` gives it a bounded time instead. A batch leaves the queue when the server
has answered for every event in it; until then it is sent again.

What must stay true: every event that was offered ends as sent, as dropped under one reason, or in the spool.
"""

import logging
import random
import threading
import time
from collections import Counter
from concurrent.futures import Future

from turnout.client.answers import Verdict, backoff_s, halves, judge, retry_after_s
from turnout.client.queue import Policy, Queue
from turnout.client.transport import Transport, TransportError

REPORT_S = 60.0
"""Trouble and drops are logged at once, then at most this often."""
_log = logging.getLogger("turnout.client")


class Sender:
    """See the module. All methods may be called from any thread."""

    def __init__(self, queue: Queue, transport: Transport, policy: Policy) -> None:
        self._queue, self._transport, self._policy = queue, transport, policy
        self._stopped = False
        self._begin()
        if queue.accepted:
            with self.lock:
                self._start()

    def _begin(self) -> None:
        """The state that a process does not inherit."""
        self.lock = threading.Condition()
        self.sent = 0
        self._dropped: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._idle = False
        self._since = time.monotonic()
        self._urgent = self._flushes = 0
        self._failures = 0
        self._waiters: list[tuple[int, Future[bool]]] = []
        self._news = ""
        self._reported = -REPORT_S

    def after_fork(self) -> None:
        """In a forked child: an empty queue, no connection, no thread yet. The parent's events are the parent's."""
        self._queue, self._transport = self._queue.fresh(), self._transport.fresh()
        self._begin()

    @property
    def dropped(self) -> dict[str, int]:
        """Events given up, by reason."""
        with self.lock:
            return dict(self._dropped + Counter(corrupt=self._queue.corrupt))

    @property
    def waiting(self) -> int:
        """Events in the queue, those on their way included."""
        with self.lock:
            return self._queue.accepted - self._queue.settled

    def offer(self, event: bytes) -> bool:
        """Queue an event; False if it was dropped. Does not wait for anything but the lock."""
        with self.lock:
            if self._stopped:
                self._drop("closed", 1, "tracked after close")
                return False
            first = self._queue.accepted == self._queue.settled
            if not self._queue.offer(event):
                self._drop("queue_full", 1, "the queue is full")
                return False
            if first:
                self._since = time.monotonic()
            if first or self._due_in() == 0:
                self._wake()
            return True

    def drop(self, reason: str, why: str) -> None:
        """Count an event that never came into the queue."""
        with self.lock:
            self._drop(reason, 1, why)

    def flush(self) -> "Future[bool]":
        """Send what was offered before now, without waiting for the interval or a back-off of ours.

        The future becomes True once all of that has left the queue, False if the sender is stopped before.
        """
        future: Future[bool] = Future()
        future.set_running_or_notify_cancel()
        with self.lock:
            target = self._queue.accepted
            if self._queue.settled >= target or self._stopped:
                future.set_result(self._queue.settled >= target)
                return future
            if self._waiters and self._waiters[-1][0] == target:
                future = self._waiters[-1][1]
            else:
                self._waiters.append((target, future))
            self._urgent, self._failures = target, 0
            self._flushes += 1
            self._start()
            self.lock.notify_all()
        return future

    def stop(self) -> None:
        """Take and send no more. What is only in memory is dropped as `unsent`, what is in the spool stays there."""
        self._queue.sync()
        with self.lock:
            if self._stopped:
                return
            self._stopped = True
            unsent = self._queue.close()
            if unsent:
                self._drop("unsent", unsent, self._news or "closed before they could be sent")
            waiters, self._waiters = self._waiters, []
            self._reported = -REPORT_S
            self.lock.notify_all()
        for _, future in waiters:
            future.set_result(False)
        self._report()

    def finish(self, timeout_s: float) -> bool:
        """Flush for at most that long, then stop. True if nothing was left."""
        flushed = self.flush()
        try:
            return flushed.result(timeout_s)
        except TimeoutError:
            return False
        finally:
            self.stop()

    # under the lock

    def _drop(self, reason: str, events: int, why: str) -> None:
        self._dropped[reason] += events
        self._news = why
        if not self._stopped:
            self._wake()

    def _wake(self) -> None:
        self._start()
        if self._idle:
            self._idle = False
            self.lock.notify_all()

    def _start(self) -> None:
        if self._thread is None and not self._stopped:
            thread = threading.Thread(target=self._run, name="turnout-client", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # out of threads, or the interpreter is ending: the next event tries again
            self._thread = thread

    def _due_in(self) -> float | None:
        """Seconds until a batch must leave; None if there is nothing to send."""
        queue = self._queue
        events = queue.accepted - queue.settled
        if not events:
            return None
        if queue.settled < self._urgent:
            return 0.0
        return self._policy.due_in(events, queue.waiting_bytes, time.monotonic() - self._since)

    # in the thread

    def _run(self) -> None:
        while not self._stopped:
            self._report()
            batch = self._next()
            if not batch:
                continue
            try:
                self._settle(batch)
            except Exception:  # noqa: BLE001 - a defect must not end the thread: the batch is still in the queue
                _log.exception("turnout.client: unexpected failure")
                self._again(None)
        self._transport.close()

    def _next(self) -> list[bytes]:
        """Wait for the next batch; empty when there is something else to do."""
        with self.lock:
            while not self._stopped:
                due = self._due_in()
                if due == 0:
                    self._since = time.monotonic()
                    return self._queue.take()
                report = max(0.0, self._reported + REPORT_S - time.monotonic()) if self._news else None
                if report == 0:
                    break
                self._idle = True
                self.lock.wait(min((wait for wait in (due, report) if wait is not None), default=None))
                self._idle = False
        return []

    def _settle(self, batch: list[bytes]) -> None:
        """Send a batch until every event in it is accepted or refused, or the sender is stopped."""
        parts = [batch]
        sent = refused = 0
        while parts:
            part = parts.pop()
            verdict, wait_s = self._attempt(part)
            if verdict is Verdict.ACCEPTED:
                sent += len(part)
            elif verdict is Verdict.REFUSED:
                smaller = halves(part)
                refused += not smaller
                parts += reversed(smaller)
            else:
                parts.append(part)
                self._queue.sync()
                if not self._again(wait_s):
                    return
        with self.lock:
            if self._stopped:
                return
            self.sent += sent
            if refused:
                self._drop("refused", refused, "the server can't read them (400)")
            self._queue.acknowledge()
            done = [waiter for waiter in self._waiters if waiter[0] <= self._queue.settled]
            self._waiters = self._waiters[len(done) :]
        for _, future in done:
            future.set_result(True)

    def _attempt(self, events: list[bytes]) -> tuple[Verdict, float | None]:
        """One request: what became of it, and how long the server asks us to wait."""
        try:
            status, header = self._transport.post(events)
        except TransportError as error:
            verdict, wait_s, trouble = Verdict.AGAIN, None, str(error)
        else:
            verdict, wait_s, trouble = judge(status), retry_after_s(header, time.time()), f"it answers {status}"
        with self.lock:
            if verdict is Verdict.AGAIN:
                self._failures += 1
                self._news = trouble
            else:
                self._failures = 0
        return verdict, wait_s

    def _again(self, wait_s: float | None) -> bool:
        """Wait before the next attempt: as the server asks, else by our back-off, which a flush begins anew.

        False if the sender was stopped meanwhile.
        """
        self._report()
        with self.lock:
            own = wait_s is None
            flushes = self._flushes
            self.lock.wait_for(
                lambda: self._stopped or (own and self._flushes > flushes),
                backoff_s(max(1, self._failures), random.random()) if wait_s is None else wait_s,
            )
            return not self._stopped

    def _report(self) -> None:
        """Log what went wrong since the last time, unless that was a moment ago. Never the key, never an event."""
        with self.lock:
            news = self._queue.trouble or self._news
            if not news or time.monotonic() < self._reported + REPORT_S:
                return
            self._reported = time.monotonic()
            self._news = self._queue.trouble = ""
            waiting = self._queue.accepted - self._queue.settled
        dropped = ", ".join(f"{reason} {events}" for reason, events in self.dropped.items()) or "none"
        _log.warning(
            "events for %s: %s; %d waiting; dropped so far: %s", self._transport.server, news, waiting, dropped
        )
