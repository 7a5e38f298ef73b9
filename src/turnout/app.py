"""The only file that constructs parts and joins them: one coroutine per process.

Each runs until `stop`, publishes its facts twice a second, and follows the applied configuration. Heavy libraries are
imported by the process that needs them alone: the others, and every command, are smaller and start faster.
"""

import asyncio
import contextlib
import ipaddress
import math
import os
import resource
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from turnout.collect import tag
from turnout.collect.directory import Directory
from turnout.collect.endpoint import Endpoint
from turnout.collect.proxies import TrustedProxies
from turnout.collect.routes import Routes
from turnout.collect.server import COMMIT_BUCKETS_S, CollectServer, Limits, Surroundings
from turnout.collect.tls import Certificate
from turnout.control import applied, factsfile
from turnout.control.applied import Watcher
from turnout.control.configuration.secrets import Secrets
from turnout.deliver.worker import Deliverer
from turnout.destinations import mapped
from turnout.destinations.dry import DryDestination
from turnout.destinations.interface import Context, Event
from turnout.destinations.interface import Destination as OpenDestination
from turnout.log.interface import Commit, Log
from turnout.log.sqlite import SqliteLog
from turnout.model.clock import now_ms
from turnout.model.config import Destination, Snapshot, Source
from turnout.model.errors import LogUnavailableError
from turnout.model.event import ACCEPTED, PROCESSED, Processed
from turnout.model.facts import Facts
from turnout.model.outcome import Result
from turnout.model.trial import Verdict
from turnout.receipts.store import Store
from turnout.settings import Settings, address

if TYPE_CHECKING:
    from turnout.judge import Judged
    from turnout.model.person import Person

GROUPS = {ACCEPTED: ["process"], PROCESSED: ["deliver"]}
_FACTS_S = 0.5
_CONFIG_S = 0.2
_CERTIFICATE_S = 1.0
_MAINTAIN_S = 0.25
_PROBE_S = 5.0

log = structlog.get_logger("app")


def open_log(settings: Settings) -> Log:
    """The log of this data directory."""
    return SqliteLog(
        settings.log_dir,
        GROUPS,
        segment_bytes=settings.segment_bytes,
        keep_ms=settings.replay_ms,
        budget_bytes=settings.log_bytes,
        reserve_bytes=settings.reserve_bytes,
    )


async def run_collector(settings: Settings, stop: asyncio.Event) -> None:
    """Take requests until `stop`, then drain. Raises OSError if it can't listen."""
    from turnout.process.arrays import is_array  # noqa: PLC0415 - the standard catalogue

    _raise_file_limit()
    tag.load()
    certificate = Certificate(Path(settings.tls_cert), Path(settings.tls_key)) if settings.tls_cert else None
    stream = open_log(settings)
    watcher = Watcher(settings.data_dir, os.environ, Secrets(settings.secret_key_path))
    watcher.refresh()
    endpoint = Endpoint(is_array=is_array)
    limits = Limits(
        connections=settings.max_connections,
        head_s=settings.head_seconds,
        body_s=settings.body_seconds,
        idle_s=settings.idle_seconds,
    )
    surroundings = Surroundings(
        routes=Routes(settings.prefixes),
        trusted=TrustedProxies(settings.proxies) if settings.proxies else None,
        proxy_protocol=settings.proxy_protocol == "on",
        is_array=is_array,
    )
    directory = Directory(watcher.snapshot, now_ms())
    server = CollectServer(
        lambda records: stream.append(ACCEPTED, records),
        endpoint,
        directory,
        limits=limits,
        surroundings=surroundings,
    )
    # Takes the stream's write end now: a second server on this data directory must not start to listen.
    stream.append(ACCEPTED, [])
    await server.start(*address(settings.collect), certificate)
    if certificate is None and not settings.proxies and not _is_loopback(settings.collect):
        log.warning("collecting without TLS, and from no trusted proxy", address=settings.collect)

    def refresh() -> None:
        nonlocal directory
        if watcher.refresh() is not None or now_ms() >= directory.until_ms:
            directory = Directory(watcher.snapshot, now_ms())
            server.configure(directory)

    def renew() -> None:
        if certificate is not None:
            certificate.refresh()

    def facts(found: Facts) -> None:
        found.trouble = server.trouble
        found.connections = server.connections
        found.requests = {f"{name} {code}": n for (name, code), n in endpoint.requests.items()}
        found.events = {f"{source or '-'} {status}": n for (source, status), n in endpoint.events.items()}
        found.refusals = dict(endpoint.refusals)
        found.suppressed = dict(endpoint.cap.suppressed)
        found.empty_batches = dict(endpoint.empty_batches)
        found.bytes_in = server.figures["bytes"]
        found.commit_seconds = server.figures["commit_us"] / 1e6
        found.commits = {str(bound): server.commits[bound] for bound in (*COMMIT_BUCKETS_S, math.inf)}
        found.damage = stream.damage()

    with _maintained(stream):
        await asyncio.gather(
            server.run(stop),
            _every(_CONFIG_S, stop, refresh),
            _every(_CERTIFICATE_S, stop, renew),
            _probe(stream, server, stop),
            _publish("collector", settings, watcher, facts, stop),
        )
    stream.close()


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Process and deliver until `stop`, then finish what is in hand."""
    from turnout.deliver.http import HttpDestination, open_session  # noqa: PLC0415 - aiohttp
    from turnout.process.chain import Chain, Tally  # noqa: PLC0415
    from turnout.process.enrichment.enricher import Enricher  # noqa: PLC0415
    from turnout.process.enrichment.shelf import Shelf  # noqa: PLC0415
    from turnout.process.stage import ProcessStage  # noqa: PLC0415

    stream = open_log(settings)
    stream.append(PROCESSED, [])
    store = Store(settings.state_path)
    watcher = Watcher(settings.data_dir, os.environ, Secrets(settings.secret_key_path))
    session = open_session(settings.egress_private == "allow")
    mapping_warnings: Counter[str] = Counter()

    def open_one(destination: Destination) -> OpenDestination:
        context = Context(
            destination.ref,
            settings.data_dir,
            lambda translator: (
                DryDestination(translator, now_ms)
                if destination.dry_mode
                else HttpDestination(translator, session, now_ms)
            ),
            destination.delivery.batch_size,
            destination.delivery.timeout_ms,
            lambda warned: mapping_warnings.update({destination.ref: len(warned)}),
            destination.dry_mode,
        )
        return mapped.open_destination(destination, context)

    deliverer = Deliverer(stream, store, open_one, now_ms, settings.replay_ms)
    tally = Tally()
    shelf = Shelf(settings.stores_path, Secrets(settings.secret_key_path))
    enricher = Enricher(shelf, session, now_ms)
    chain = enricher.chain(watcher.snapshot, tally)

    def refresh() -> Chain:
        nonlocal chain
        if (snapshot := watcher.refresh()) is not None:
            chain = enricher.chain(snapshot, tally)
            deliverer.apply(snapshot)
            with _tolerated("configuration not kept for the next start"):
                applied.remember(settings.data_dir, watcher.text)
        return chain

    refresh()
    stage = ProcessStage(stream, refresh, deliverer.wake, enricher.keep, enricher.prepare)

    def facts(found: Facts) -> None:
        found.trouble = stage.trouble
        found.lag = stage.lag()
        found.events = {f"{source or '-'} {status}": n for (source, status), n in stage.events.items()}
        found.damage = stream.damage()
        found.cleansing = {" ".join(rule): n for rule, n in tally.hits.items()}
        found.enrichments = {f"{site} {status} {label}": n for (site, label, status), n in tally.enrichments.items()}
        found.cleansing_warnings = {" ".join(rule): n for rule, n in tally.warnings.items()}
        found.attempts_lost = deliverer.attempts_lost()
        found.destinations = deliverer.facts()
        for ref, figures in found.destinations.items():
            figures.mapping_warnings = mapping_warnings[ref]

    with _maintained(stream):
        await asyncio.gather(stage.run(stop), deliverer.run(stop), _publish("worker", settings, watcher, facts, stop))
    await session.close()
    shelf.close()
    store.close()
    stream.close()


async def run_control(settings: Settings, stop: asyncio.Event) -> None:
    """Answer for health, figures and the API until `stop`."""
    from turnout.control.alerts.watch import Watch  # noqa: PLC0415 - SQLAlchemy
    from turnout.control.api.world import World  # noqa: PLC0415
    from turnout.control.erasure.worker import ErasureWorker  # noqa: PLC0415
    from turnout.control.http import serve_control  # noqa: PLC0415 - Litestar
    from turnout.control.inspector.keeper import Keeper  # noqa: PLC0415
    from turnout.control.replay.worker import ReplayWorker  # noqa: PLC0415

    watcher = Watcher(settings.data_dir, os.environ, Secrets(settings.secret_key_path))

    looking = threading.Lock()

    def refresh() -> None:
        with looking:
            before = watcher.error
            watcher.refresh()
            if watcher.error and watcher.error != before:
                log.warning("configuration not in use", reason=watcher.error)

    def snapshot() -> Snapshot:
        """What is applied now: who has changed something over the API sees it with the next request."""
        refresh()
        return watcher.snapshot

    refresh()
    world = World(
        settings, snapshot, lambda: open_log(settings), judge=_judge, preview=_preview, send=partial(_send, settings)
    )
    keeper = Keeper(settings, world.inspector, lambda: open_log(settings), lambda: watcher.snapshot)

    def facts(found: Facts) -> None:
        found.inspector_lag, found.inspector_trouble = keeper.lag, keeper.trouble

    replaying = ReplayWorker(world.replays, world.receipts, world.snapshot, now_ms)
    erasing = ErasureWorker(world.erasures, world.events, world.inspector, _entries(settings), world.snapshot, now_ms)
    with keeper.at_work():
        await asyncio.gather(
            serve_control(settings, world, stop),
            Watch(world).run(stop),
            erasing.run(stop),
            replaying.run(stop),
            _every(_CONFIG_S, stop, refresh),
            _publish("control", settings, watcher, facts, stop),
        )
    world.close()


RUN: dict[str, Callable[[Settings, asyncio.Event], Coroutine[object, object, None]]] = {
    "collector": run_collector,
    "worker": run_worker,
    "control": run_control,
}


def _entries(settings: Settings) -> "Callable[[str, Person, bool], int]":
    """For erasures: what data stores have of somebody."""

    def erase(site: str, person: "Person", dry_run: bool) -> int:
        from turnout.process.enrichment.shelf import Shelf  # noqa: PLC0415 - only when somebody is erased

        if not settings.stores_path.exists():
            return 0
        with contextlib.closing(Shelf(settings.stores_path, Secrets(settings.secret_key_path))) as shelf:
            return shelf.erase(site, person.keys, person.matcher(), dry_run=dry_run)

    return erase


def _judge(snapshot: Snapshot, source: Source, body: bytes, now_ms: int) -> "tuple[int, list[Judged]]":
    from turnout.judge import judge  # noqa: PLC0415 - the standard catalogue, and only when somebody asks

    return judge(snapshot, source, body, now_ms)


def _preview(destination: Destination, event: Processed, now_ms: int) -> Verdict:
    from turnout.trial import verdict  # noqa: PLC0415 - as above

    return verdict(destination, event, now_ms)


def _send(settings: Settings, destination: Destination, event: Processed) -> Result:
    """One attempt beside the worker's, in a thread of its own; nothing is recorded."""
    from turnout.deliver.http import HttpDestination, open_session  # noqa: PLC0415 - aiohttp, and only for this

    async def attempt() -> Result:
        async with open_session(settings.egress_private == "allow") as session:
            context = Context(
                destination.ref,
                settings.data_dir,
                lambda translator: HttpDestination(translator, session, now_ms),
                destination.delivery.batch_size,
                destination.delivery.timeout_ms,
            )
            opened = mapped.open_destination(destination, context)
            try:
                (result,) = await opened.send([Event(event.event_id, event.name, event.payload, event.received_ms)])
            finally:
                await opened.close()
            return result

    return asyncio.run(attempt())


@contextlib.contextmanager
def _maintained(stream: Log) -> Iterator[None]:
    """Look after the log in a thread while the body runs."""
    done = threading.Event()

    def maintain() -> None:
        told = 0
        while not done.wait(_MAINTAIN_S):
            stream.maintain(now_ms())
            for line in (damage := stream.damage())[told:]:
                log.error("log damaged", what=line)
            told = len(damage)

    thread = threading.Thread(target=maintain, name="maintain", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


async def _probe(stream: Log, server: CollectServer, stop: asyncio.Event) -> None:
    """Keep `server.trouble` true while no request tells: write to the log now and then when nobody else does.

    Without it a collector that nobody asks would find out too late that it can't store, and one in trouble would
    stay so for ever, because nobody sends to a server that is not ready.
    """
    waited, commits = 0.0, 0
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _FACTS_S)
        waited += _FACTS_S
        if server.commits.total() != commits and not server.trouble:
            waited, commits = 0.0, server.commits.total()
        elif server.trouble or waited >= _PROBE_S:
            waited, before = 0.0, server.trouble
            server.trouble = await asyncio.to_thread(_writable, stream)
            if bool(server.trouble) != bool(before):
                log.warning("log not writable" if server.trouble else "log writable again", reason=server.trouble)


def _writable(stream: Log) -> str:
    """Why the log takes nothing; empty when it does. Commits for a group that nobody reads with."""
    try:
        stream.append(ACCEPTED, [], Commit(ACCEPTED, "probe", 0))
    except LogUnavailableError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def _tolerated(surprise: str) -> Iterator[None]:
    """Go on after an OSError, with a line in the log."""
    try:
        yield
    except OSError as error:
        log.warning(surprise, error=str(error))


async def _every(seconds: float, stop: asyncio.Event, call: Callable[[], None]) -> None:
    while not stop.is_set():
        call()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


async def _publish(
    process: str, settings: Settings, watcher: Watcher, fill: Callable[[Facts], None], stop: asyncio.Event
) -> None:
    """Write this process's facts twice a second. A full disk costs the facts, not the process."""
    started_ms = now_ms()
    pid = os.getpid()
    failing = False

    def publish() -> None:
        nonlocal failing
        facts = Facts(
            process=process,
            pid=pid,
            started_ms=started_ms,
            beat_ms=now_ms(),
            config_version=watcher.snapshot.version,
            config_seen=watcher.seen,
            config_error=watcher.error,
            rss_bytes=_rss_bytes(),
        )
        fill(facts)
        try:
            factsfile.publish(settings.data_dir, facts)
        except OSError as error:
            if not failing:
                log.warning("facts not written", error=str(error))
            failing = True
        else:
            failing = False

    await _every(_FACTS_S, stop, publish)
    with _tolerated("facts not withdrawn"):
        factsfile.withdraw(settings.data_dir, process)


def _is_loopback(listener: str) -> bool:
    host, _ = address(listener)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _rss_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
