"""`turnout bench`: what this machine and this disk can do, in half a minute."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Annotated

import msgspec
import typer
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from turnout.cli import load
from turnout.cli.options import Json, opened
from turnout.cli.output import FAILED, console, errors, fail, print_json
from turnout.control import factsfile
from turnout.receipts.audit import audit as recount

_KEY = "bench"
_QUERY = f"tc_s=bench&token={_KEY}"
_CONFIG = f"""
sites:
  bench:
    sources: {{load: {{type: server, key: {_KEY}}}}}
    destinations: {{archive: {{type: file, sources: [load], settings: {{path: out.ndjson}}}}}}
"""
_SINGLES, _BATCHES, _BATCH = 200_000, 2_000, 100
_CONNECTIONS = 256
_START_S, _DRAIN_S = 30.0, 120.0


class Figures(msgspec.Struct, kw_only=True):
    """What was measured on this machine; `_s` per second, `_ms` milliseconds."""

    fsync_ms: float
    single_events_s: float
    single_p50_ms: float
    single_p99_ms: float
    batch_events_s: float
    delivered_s: float
    events: int
    sums_close: bool


def add(app: typer.Typer) -> None:
    """Register this command."""
    app.command()(bench)


def bench(
    directory: Annotated[
        Path, typer.Option("--dir", help="Where to put the server's files while it is measured: the disk matters.")
    ] = Path(),
    json: Json = False,
) -> None:
    """Measure what this machine can do, in half a minute. Exit 1 if the sums do not close afterwards.

    Starts a server of its own on free ports of this machine, over a temporary directory, and loads it over loopback;
    load generator and server share the cores, so a server that is alone does a little better.
    """
    if not directory.is_dir():
        fail(f"--dir {directory}: there is no such directory")
    progress = Progress(SpinnerColumn(), TextColumn("{task.description}"), console=errors, transient=True)
    with tempfile.TemporaryDirectory(prefix="turnout-bench-", dir=directory) as place, progress:
        task = progress.add_task("starting a server …")
        figures = _measure(Path(place), lambda text: progress.update(task, description=text))
    if json:
        print_json(figures)
    else:
        _show(figures)
    raise SystemExit(0 if figures.sums_close else FAILED)


def _measure(place: Path, say: Callable[[str], object]) -> Figures:
    fsync_ms = _fsync_ms(place)
    with _server(place) as (data, port):
        say(f"single events over {_CONNECTIONS} connections …")
        single = load.run(port, _QUERY, connections=_CONNECTIONS, requests=_SINGLES)
        _drained(data, _SINGLES)
        say(f"batches of {_BATCH} events, and their delivery to a file …")
        total = _SINGLES + _BATCHES * _BATCH
        start = time.monotonic()
        batches = load.run(port, _QUERY, connections=8, requests=_BATCHES, batch=_BATCH, first=_SINGLES)
        _drained(data, total)
        delivered_s = batches.events / (time.monotonic() - start)
        say("counting everything again …")
        with opened(str(data)) as (_, log, store):
            report = recount(log, store)
        delivered = sum(one.outcomes.get("delivered", 0) for one in report.destinations)
    return Figures(
        fsync_ms=fsync_ms,
        single_events_s=single.rate,
        single_p50_ms=single.wait_ms(0.5),
        single_p99_ms=single.wait_ms(0.99),
        batch_events_s=batches.rate,
        delivered_s=delivered_s,
        events=total,
        sums_close=report.closes and delivered == total,
    )


def _show(figures: Figures) -> None:
    table = Table("what", "measured", box=None)
    table.add_row("one fsync of 4 KiB", f"{figures.fsync_ms:.2f} ms")
    table.add_row("single events, on disk before the 200", f"{figures.single_events_s:,.0f} events/s")
    waits = f"{figures.single_p50_ms:.1f} ms, {figures.single_p99_ms:.1f} ms"
    table.add_row(f"  median and p99 wait of {_CONNECTIONS} clients at full load", waits)
    table.add_row(f"batches of {_BATCH} events, on disk before the 200", f"{figures.batch_events_s:,.0f} events/s")
    table.add_row("  the same, until delivered to a file", f"{figures.delivered_s:,.0f} events/s")
    console.print(table)
    closing = "all delivered, the sums close" if figures.sums_close else "the sums do NOT close"
    console.print(f"{figures.events:,} events sent; {closing}", markup=False)


def _fsync_ms(place: Path) -> float:
    file = os.open(place / "fsync", os.O_CREAT | os.O_WRONLY)
    try:
        waits = []
        for number in range(100):
            os.pwrite(file, bytes(4096), number * 4096)
            start = time.perf_counter()
            os.fdatasync(file)
            waits.append(time.perf_counter() - start)
    finally:
        os.close(file)
    return median(waits) * 1000


@contextmanager
def _server(place: Path) -> Iterator[tuple[Path, int]]:
    """A server of its own; gives its data directory and the collector's port."""
    data, file = place / "data", place / "turnout.yaml"
    file.write_text(_CONFIG)
    port, control = _free_ports(2)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TURNOUT_")}
    command = [
        *(sys.executable, "-m", "turnout", "serve", "--data", str(data), "--config", str(file)),
        *("--collect", f"127.0.0.1:{port}", "--control", f"127.0.0.1:{control}"),
    ]
    with (place / "stderr").open("w+b") as output:
        server = subprocess.Popen(command, env=environment, stderr=output)
        try:
            _wait(lambda: {"collector", "worker"} <= set(factsfile.read(data)), _START_S, "the server to start")
            yield data, port
        except TimeoutError as error:
            output.seek(0)
            fail(f"{error}; the server said:\n{output.read().decode('utf-8', 'replace')}", FAILED)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def _drained(data: Path, events: int) -> None:
    """Wait until so many events are delivered, by the worker's own figures."""

    def delivered() -> int:
        worker = factsfile.read(data).get("worker")
        return sum(one.outcomes.get("delivered", 0) for one in worker.destinations.values()) if worker else 0

    _wait(lambda: delivered() >= events, _DRAIN_S, f"{events} events to be delivered")


def _wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
