"""Collecting: single events and batches, durable before the 200; and collection while destinations are down."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.rig import LOAD_CORE, Row, config, nginx, processes, workplace, wrk

CONNECTIONS = 256
BATCH = 100
PORT, NGINX_PORT, RECEIVER_PORT, NOBODY_PORT = 18080, 18081, 18082, 18099


def single_and_batch(samples: int, seconds: int) -> list[Row]:
    """One core for the collector, one for wrk; nginx in the collector's place is the reference."""
    single = Row("single events, durable before the 200, one core", "requests/s", "nginx, no-op 200", 0.30, 0.45)
    batch = Row("batches of 100 events, durable", "events/s", "single events", 4.0, 8.0)
    for _ in range(samples):
        with _collecting() as (place, url):
            single.measured.append(wrk(place, url, seconds, CONNECTIONS))
        with _collecting() as (place, url):
            batch.measured.append(wrk(place, url, seconds, CONNECTIONS // 4, BATCH) * BATCH)
        with workplace() as place, nginx(place, NGINX_PORT):
            single.reference.append(wrk(place, f"http://127.0.0.1:{NGINX_PORT}", seconds, CONNECTIONS))
    batch.reference = single.measured
    return [single, batch]


def pixels(samples: int, seconds: int) -> list[Row]:
    """The same event by GET and by POST."""
    row = Row("pixels, durable before the GIF", "requests/s", "single events", 0.5, 0.7)
    for _ in range(samples):
        with _collecting() as (place, url):
            row.reference.append(wrk(place, url, seconds, CONNECTIONS))
        with _collecting() as (place, url):
            row.measured.append(wrk(place, url, seconds, CONNECTIONS, pixel=True))
    return [row]


def with_destinations_down(samples: int, seconds: int) -> list[Row]:
    """Collector and worker share core 0; ten webhooks answer, or nobody listens."""
    row = Row("collection while 10 destinations are down", "requests/s", "the same with all up", 0.95, 1.0)
    receiver = subprocess.Popen(
        ["taskset", "-c", LOAD_CORE, sys.executable, "-m", "bench.receiver", str(RECEIVER_PORT)]
    )
    try:
        for _ in range(samples):
            with _collecting(_webhooks(RECEIVER_PORT)) as (place, url):
                row.reference.append(wrk(place, url, seconds, CONNECTIONS))
            with _collecting(_webhooks(NOBODY_PORT)) as (place, url):
                row.measured.append(wrk(place, url, seconds, CONNECTIONS))
    finally:
        receiver.terminate()
        receiver.wait(10)
    return [row]


@contextlib.contextmanager
def _collecting(destinations: str = "") -> Iterator[tuple[Path, str]]:
    """A collector over a fresh directory; with destinations, a worker beside it."""
    names = ["collector", "worker"] if destinations else ["collector"]
    with (
        workplace() as place,
        processes(place / "data", config(destinations or "{}"), *names, TURNOUT_COLLECT=f"127.0.0.1:{PORT}"),
    ):
        yield place, f"http://127.0.0.1:{PORT}"


def _webhooks(port: int) -> str:
    settings = f'{{url: "http://127.0.0.1:{port}/"}}'
    hooks = (f"hook{i}: {{type: webhook, sources: [backend], settings: {settings}}}" for i in range(10))
    return "{" + ", ".join(hooks) + "}"
