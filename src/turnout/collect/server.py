"""The collector's server: connections in, one commit for everything that arrived meanwhile, answers out.

Strategy. A request is decided at once (`endpoint.handle`, pure) and its records join the open group. When
no commit is under way, the group is handed to a thread that appends it to the log; requests that arrive
during that commit form the next group. So the batch is as large as the disk makes it, without a timer: one
request alone is committed at once, and thousands share one fsync. A request costs no task and no future.

What must stay true: an answer that says 200 leaves after the append that holds its records has returned;
if the append fails, every request with records in it gets 503 and none of them is stored; answers of a
connection leave in the order of its requests.
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import msgspec

from turnout.collect.answers import Answer, render
from turnout.collect.connection import Connection
from turnout.collect.endpoint import Decision, Endpoint, Request
from turnout.collect.limits import BATCH_BYTES, EVENT_BYTES
from turnout.collect.routes import Access, Directory, route
from turnout.model.clock import Clock, now_ms
from turnout.model.errors import LogUnavailableError
from turnout.model.event import encode

GROUP_BYTES = 8 << 20
TARGETS = 10_000
TARGET_BYTES = 1_024
"""Longer URLs and credentials are looked up every time, so that the cache stays within some megabytes."""
COMMIT_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Limits(msgspec.Struct, frozen=True):
    """What the server allows before it defends itself. Seconds and bytes."""

    connections: int = 10_000
    held_bytes: int = 256 << 20
    """Requests in hand: incomplete ones, and records that wait for their append."""
    head_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 75.0
    linger_s: float = 2.0


class Target(msgspec.Struct, frozen=True):
    """What a URL and its credentials mean: found once per configuration, then cached."""

    endpoint: str | None
    access: Access | None
    body_bytes: int


_ABSOLUTE = re.compile(r"^https?://[^/]*", re.IGNORECASE)
"""What the absolute form of a request target (RFC 9112, 3.2.2) has before the path."""
_NOWHERE = Target(None, None, BATCH_BYTES)
_Item = tuple[Connection, Sequence[bytes], Decision | None, bytes | None, bool, bool]
"""Who asked, what to store, what was decided (None: hang up), the request's `Origin`, keep-alive, HEAD."""


class CollectServer:
    """See the module. Runs in one event loop; `append` runs in a thread of its own."""

    def __init__(
        self,
        append: Callable[[Sequence[bytes]], object],
        endpoint: Endpoint,
        directory: Directory,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        clock: Clock = now_ms,
    ) -> None:
        """`append` stores records durably, or raises `LogUnavailableError` having stored nothing."""
        self.limits = limits
        self.now = 0.0
        self.draining = False
        self.trouble = ""
        """Why the last append failed; empty when it did not."""
        self.commits: Counter[float] = Counter()
        """How many appends took at most that many seconds (upper bounds, `inf` for the rest)."""
        self.figures: Counter[str] = Counter()
        self._append, self._endpoint, self._directory, self._clock = append, endpoint, directory, clock
        self._targets: dict[tuple[bytes, bytes | None], Target] = {}
        self._connections: set[Connection] = set()
        self._held = 0
        self._group: list[_Item] = []
        self._group_bytes = 0
        self._append_bytes = 0
        self._busy = False
        self._thread = ThreadPoolExecutor(1, "append")
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port (useful with port 0)."""
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time()
        self._server = await self._loop.create_server(
            lambda: Connection(self), host, port, backlog=4096, reuse_address=True
        )
        bound: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return bound[1]

    async def run(self, stop: asyncio.Event, drain_s: float = 10.0) -> None:
        """Enforce deadlines until `stop` is set; then stop listening, finish what is in hand, close."""
        assert self._server is not None
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.5)
            self._sweep()
        self.draining = True
        self._server.close()
        deadline = self._loop.time() + drain_s
        while (self._connections or self._group or self._busy) and self._loop.time() < deadline:
            for connection in list(self._connections):
                connection.stop()
            self._sweep()
            await asyncio.sleep(0.02)
        self._thread.shutdown(wait=True)

    def configure(self, directory: Directory) -> None:
        """Take over a new configuration, from the next request on."""
        self._directory = directory
        self._targets.clear()

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def held(self) -> int:
        """Bytes in hand: incomplete requests, and records that wait for their append or are in it."""
        return self._held + self._group_bytes + self._append_bytes

    # called by connections

    def admit(self, connection: Connection) -> bool:
        """Count a new connection; False if there are too many."""
        self._connections.add(connection)
        return len(self._connections) <= self.limits.connections and not self.draining

    @property
    def crowded(self) -> bool:
        """So many connections over the limit that they don't even get an answer."""
        return len(self._connections) > self.limits.connections * 1.1 + 10

    def forget(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def hold(self, size: int) -> bool:
        """Account for bytes of incomplete requests (negative: given back); False if there is no room."""
        if size > 0 and self._held + size > self.limits.held_bytes:
            return False
        self._held += size
        return True

    def target(self, url: bytes, authorization: bytes | None) -> Target:
        """What this URL with these credentials addresses."""
        key = (url, authorization)
        target = self._targets.get(key)
        if target is None:
            target = self._find(url, authorization)
            if len(url) + len(authorization or b"") <= TARGET_BYTES:
                if len(self._targets) >= TARGETS:
                    self._targets.clear()
                self._targets[key] = target
        return target

    def request(
        self,
        connection: Connection,
        method: bytes,
        target: Target,
        headers: dict[str, bytes],
        body: bytes,
        refused_bytes: int,
        keep_alive: bool,
    ) -> None:
        """One complete request. `refused_bytes` is the size of a body that was too large, else -1."""
        origin = headers.get("origin")
        if method != b"POST" or target.access is None or target.endpoint is None:
            answer = _elsewhere(method, target)
            decision = Decision(target.endpoint or "other", [], answer)
            self._put(connection, decision, origin, keep_alive, head=method == b"HEAD")
            return
        if self.held > self.limits.held_bytes:
            # The disk does not keep up; what we can't hold we must not take.
            self._put(connection, Decision(target.endpoint, [], Answer.UNAVAILABLE), origin, keep_alive)
            return
        decision = self._endpoint.handle(
            Request(
                endpoint=target.endpoint,
                access=target.access,
                body=body,
                content_type=headers.get("content_type"),
                content_encoding=headers.get("content_encoding"),
                origin=origin,
                user_agent=headers.get("user_agent"),
                client_ip=connection.peer,
                received_ms=self._clock(),
                too_large=refused_bytes >= 0,
                size=refused_bytes if refused_bytes >= 0 else len(body),
            )
        )
        self.figures["bytes"] += len(body)
        self._put(connection, decision, origin, keep_alive)

    def refuse(self, connection: Connection, answer: Answer | None) -> None:
        """An answer to what was not a request (None: no answer); the connection ends with it."""
        self._put(connection, None if answer is None else Decision("other", [], answer), None, False)

    # the group commit

    def _put(
        self,
        connection: Connection,
        decision: Decision | None,
        origin: bytes | None,
        keep_alive: bool,
        head: bool = False,
    ) -> None:
        records = [encode(record) for record in decision.records] if decision is not None else []
        item = (connection, records, decision, origin, keep_alive, head)
        if not records and connection.pending == 1:
            # Nothing to wait for, neither a commit nor an earlier answer.
            self._answer((item,), stored=True)
            return
        group = self._group
        group.append(item)
        for record in records:
            self._group_bytes += len(record)
        if len(group) == 1 and not self._busy:
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        group = self._take()
        if not group:
            return
        records = [record for item in group for record in item[1]]
        if not records:
            self._answer(group, stored=True)
            if self._group:
                self._loop.call_soon(self._commit)
            return
        self._busy = True
        future = self._loop.run_in_executor(self._thread, self._store, records)
        future.add_done_callback(lambda done: self._committed(group, done))

    def _take(self) -> list[_Item]:
        """The open group, or as much of it as one append should hold."""
        group = self._group
        if self._group_bytes <= GROUP_BYTES:
            self._append_bytes = self._group_bytes
            self._group, self._group_bytes = [], 0
            return group
        size = taken = 0
        while size <= GROUP_BYTES:
            size += sum(map(len, group[taken][1]))
            taken += 1
        self._append_bytes = size
        self._group = group[taken:]
        self._group_bytes -= size
        return group[:taken]

    def _store(self, records: list[bytes]) -> tuple[bool, float]:
        """In the thread: append, and how long it took (s)."""
        start = perf_counter()
        try:
            self._append(records)
        except LogUnavailableError as error:
            self.trouble = str(error)
            return False, perf_counter() - start
        self.trouble = ""
        return True, perf_counter() - start

    def _committed(self, group: list[_Item], done: "asyncio.Future[tuple[bool, float]]") -> None:
        self._busy = False
        if done.exception() is not None:
            # Not a failure the log has a name for, so nobody knows what was stored: never say 200.
            self.trouble = repr(done.exception())
            stored = False
        else:
            stored, seconds = done.result()
            bound = next((bucket for bucket in COMMIT_BUCKETS_S if seconds <= bucket), float("inf"))
            self.commits[bound] += 1
            self.figures["commit_us"] += int(seconds * 1e6)
        self._append_bytes = 0
        if self._group:
            # Before the answers, so that the disk works while we write them.
            self._loop.call_soon(self._commit)
        self._answer(group, stored=stored)

    def _answer(self, group: Sequence[_Item], *, stored: bool) -> None:
        settle = self._endpoint.settle
        for connection, records, decision, origin, keep_alive, head in group:
            if decision is None:
                connection.answer(b"", close=True)
                continue
            done = stored or not records
            settle(decision, done)
            answer = decision.answer if done else Answer.UNAVAILABLE
            data = answer.usual if origin is None and keep_alive else render(answer, origin, keep_alive)
            if head:
                data = data[: data.index(b"\r\n\r\n") + 4]
            connection.answer(data, not keep_alive)

    def _find(self, url: bytes, authorization: bytes | None) -> Target:
        path, _, query = url.decode("latin-1").partition("?")
        if not path.startswith("/"):
            path = _ABSOLUTE.sub("", path)
        endpoint = route(path)
        if endpoint is None:
            return Target("healthy", None, 0) if path in ("/healthy", "/healthy/") else _NOWHERE
        body_bytes = EVENT_BYTES if endpoint == "events" else BATCH_BYTES
        return Target(endpoint, self._directory.resolve(query, authorization), body_bytes)

    def _sweep(self) -> None:
        self.now = self._loop.time()
        for connection in list(self._connections):
            if connection.deadline < self.now:
                connection.sweep()


def _elsewhere(method: bytes, target: Target) -> Answer:
    """The answer to what is not a POST to a collect endpoint (`collect.md` §1)."""
    if target.endpoint is None:
        return Answer.NOT_FOUND
    if method == b"OPTIONS":
        return Answer.PREFLIGHT
    if target.endpoint == "healthy":
        return Answer.HEALTHY if method in (b"GET", b"HEAD") else Answer.HEALTHY_NOT_ALLOWED
    return Answer.METHOD_NOT_ALLOWED
