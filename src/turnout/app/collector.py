"""The collector: takes requests, answers once they are in the log."""

import asyncio
import contextlib
import ipaddress
import math
import os
import resource
from pathlib import Path

import structlog

from turnout.app import open_log
from turnout.app.common import CONFIG_S, FACTS_S, every, maintained, publish
from turnout.collect import tag
from turnout.collect.directory import Directory
from turnout.collect.endpoint import Endpoint
from turnout.collect.proxies import TrustedProxies
from turnout.collect.routes import Routes
from turnout.collect.server import COMMIT_BUCKETS_S, CollectServer, Limits, Surroundings
from turnout.collect.tls import Certificate
from turnout.control.applied import Watcher
from turnout.control.configuration.secrets import Secrets
from turnout.log.interface import Commit, Log
from turnout.model.clock import now_ms
from turnout.model.errors import LogUnavailableError
from turnout.model.event import ACCEPTED
from turnout.model.facts import Facts
from turnout.process.arrays import is_array
from turnout.settings import Settings, address

_CERTIFICATE_S = 1.0
_PROBE_S = 5.0

log = structlog.get_logger("app")


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Take requests until `stop`, then drain. Raises OSError if it can't listen."""
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

    with maintained(stream):
        await asyncio.gather(
            server.run(stop),
            every(CONFIG_S, stop, refresh),
            every(_CERTIFICATE_S, stop, renew),
            _probe(stream, server, stop),
            publish("collector", settings, watcher, facts, stop),
        )
    stream.close()


async def _probe(stream: Log, server: CollectServer, stop: asyncio.Event) -> None:
    """Keep `server.trouble` true while no request tells: write to the log now and then when nobody else does.

    Without it a collector that nobody asks would find out too late that it can't store, and one in trouble would
    stay so for ever, because nobody sends to a server that is not ready.
    """
    waited, commits = 0.0, 0
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), FACTS_S)
        waited += FACTS_S
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


def _is_loopback(listener: str) -> bool:
    host, _ = address(listener)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
