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
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import msgspec
import structlog

from turnout.collect import ga4, pixel
from turnout.collect.answers import Answer, render
from turnout.collect.connection import Connection
from turnout.collect.directory import Access, Directory, parameters
from turnout.collect.endpoint import Decision, Endpoint, Request
from turnout.collect.limits import BATCH_BYTES, EVENT_BYTES
from turnout.collect.pages import page
from turnout.collect.pixel import Decoded, IsArray
from turnout.collect.proxies import TrustedProxies, client, host_of, location_of
from turnout.collect.routes import RouteName, Routes
from turnout.collect.tls import Certificate, Listener
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
    unsent_bytes: int = 64 << 20
    """Answers that clients do not read, of those that let them pile up."""
    head_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 75.0
    linger_s: float = 2.0


class Target(msgspec.Struct, frozen=True):
    """What a request's URL and its credentials mean."""

    route: RouteName | None
    body_bytes: int
    access: Access | None = None
    """Only where a POST brings events: found once per configuration, then cached."""
    hit: ga4.Split | None = None
    """The same, for a hit of the GA4 bridge."""
    query: bytes = b""
    """Only where no POST brings events."""


class Surroundings(msgspec.Struct, frozen=True):
    """What stands around the server and is fixed when it starts."""

    routes: Routes = Routes()
    trusted: TrustedProxies | None = None
    """Whose headers are believed; None: nobody's."""
    proxy_protocol: bool = False
    """Whether these begin their connections with a header of the PROXY protocol."""
    is_array: IsArray = lambda _: False
    """Which paths of an event the catalogue types as arrays."""


log = structlog.get_logger("collect")

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
        surroundings: Surroundings = Surroundings(),  # noqa: B008 - frozen
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
        self._routes, self._trusted = surroundings.routes, surroundings.trusted
        self._proxy_protocol, self._is_array = surroundings.proxy_protocol, surroundings.is_array
        self._targets: dict[tuple[bytes, bytes | None], Target] = {}
        self._connections: set[Connection] = set()
        self._handshakes: set[Connection] = set()
        self._held = 0
        self._owed = 0
        self._told = float("-inf")
        self._group: list[_Item] = []
        self._group_bytes = 0
        self._append_bytes = 0
        self._busy = False
        self._thread = ThreadPoolExecutor(1, "append")
        self._server: asyncio.Server | Listener | None = None

    async def start(self, host: str, port: int, certificate: Certificate | None = None) -> int:
        """Listen, with a certificate for TLS alone; gives the port (useful with port 0)."""
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time()
        if certificate is not None:
            self._server = Listener(self, certificate, host, port)
        else:
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
        return len(self._connections) + len(self._handshakes)

    @property
    def held(self) -> int:
        """Bytes in hand: incomplete requests, and records that wait for their append or are in it."""
        return self._held + self._group_bytes + self._append_bytes

    # called by connections

    def admit(self, connection: Connection) -> bool:
        """Count a new connection; False if there are too many."""
        self._handshakes.discard(connection)
        self._connections.add(connection)
        return self.connections <= self.limits.connections and not self.draining

    @property
    def crowded(self) -> bool:
        """So many connections over the limit that they don't even get an answer."""
        return self.connections > self.limits.connections * 1.1 + 10

    def greet(self, connection: Connection) -> bool:
        """Count a connection that begins with a TLS handshake; False if there are too many."""
        self._handshakes.add(connection)
        return self.connections <= self.limits.connections and not self.draining

    def greeted(self, connection: Connection) -> None:
        """Its handshake has succeeded or failed."""
        self._handshakes.discard(connection)

    def announced(self, peer: str) -> bool:
        """Whether a connection from this address must begin with a header of the PROXY protocol."""
        return self._proxy_protocol and self._trusted is not None and peer in self._trusted

    def forget(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def hold(self, size: int) -> bool:
        """Account for bytes of incomplete requests (negative: given back); False if there is no room."""
        if size > 0 and self._held + size > self.limits.held_bytes:
            return False
        self._held += size
        return True

    def owe(self, size: int) -> bool:
        """Account for answers that are not read (negative: they were, after all); False if there is no room."""
        if size > 0 and self._owed + size > self.limits.unsent_bytes:
            return False
        self._owed += size
        return True

    def surprise(self, what: str, **details: str) -> None:
        """Tell the operator of something that strangers can't provoke, once a minute at most."""
        if self.now >= self._told + 60.0:
            self._told = self.now
            log.warning(what, **details)

    def target(self, url: bytes, authorization: bytes | None, method: bytes = b"POST") -> Target:
        """What this URL with these credentials addresses."""
        if method != b"POST":
            # No two are alike, so there is nothing to remember; and its event is decoded when it is complete.
            route, query = self._routes.find(url)
            return Target(route, EVENT_BYTES, query=query)
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
        access = target.access
        endpoint: str = target.route or "other"
        by_get = method == b"GET" and endpoint == "events"
        if access is None and not by_get:
            decision = Decision(endpoint, [], page(method, target.route, target.query, headers))
            self._put(connection, decision, origin, keep_alive, head=method == b"HEAD")
            return
        if self.held > self.limits.held_bytes:
            # The disk does not keep up; what we can't hold we must not take.
            decision = Decision("pixel" if by_get else endpoint, [], Answer.UNAVAILABLE)
            self._put(connection, decision, origin, keep_alive)
            return
        hit, decoded = target.hit, None
        size = refused_bytes if refused_bytes >= 0 else len(body)
        if access is None:
            access, decoded, hit = self._asked(target.query, headers.get("authorization"))
            endpoint, body, size = "pixel", b"", len(target.query)
            refused_bytes = size if size > EVENT_BYTES else -1
        location = None
        if self._trusted is not None and connection.peer in self._trusted:
            ip, host, secure = client(connection.peer, headers, self._trusted, secure=True)
            location = location_of(headers)
        else:
            ip, secure = connection.peer, True
            host = host_of(headers.get("host", b"")) if access.domains else ""
        decision = self._endpoint.handle(
            Request(
                endpoint,
                access,
                body,
                headers.get("content_type"),
                headers.get("content_encoding"),
                origin,
                headers.get("user_agent"),
                ip,
                self._clock(),
                refused_bytes >= 0,
                size,
                decoded,
                hit,
                headers.get("cookie"),
                host,
                secure,
                location,
            )
        )
        self.figures["bytes"] += size
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
            if not self.trouble:
                log.warning("log not writable", reason=str(error))
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
            answer, cookie = (decision.answer, decision.cookie) if done else (Answer.UNAVAILABLE, "")
            if origin is None and keep_alive and not cookie and isinstance(answer, Answer):
                data = answer.usual
            else:
                data = render(answer, origin, keep_alive, cookie)
            if head:
                data = data[: data.index(b"\r\n\r\n") + 4]
            connection.answer(data, not keep_alive)

    def _find(self, url: bytes, authorization: bytes | None) -> Target:
        route, query = self._routes.find(url)
        if route not in ("events", "events/batch"):
            return Target(route, EVENT_BYTES, query=query)
        text = query.decode("utf-8", "replace")
        hit = ga4.split(text) if ga4.NAME in query else None
        access = self._directory.resolve(parameters(hit.ours if hit else text), authorization, hit is not None)
        return Target(route, EVENT_BYTES if route == "events" else BATCH_BYTES, access, hit)

    def _asked(self, query: bytes, authorization: bytes | None) -> tuple[Access, Decoded | None, ga4.Split | None]:
        """Who sends the event in a query, and the event or what the bridge makes one of."""
        hit = ga4.split(query.decode("utf-8", "replace")) if ga4.NAME in query else None
        if hit is not None:
            return self._directory.resolve(parameters(hit.ours), authorization, True), None, hit
        decoded = pixel.decode(query, self._is_array)
        return self._directory.resolve(decoded.credentials, authorization), decoded, None

    def _sweep(self) -> None:
        self.now = self._loop.time()
        for connection in list(self._connections):
            if connection.deadline < self.now:
                connection.sweep()
