"""The state of the whole server, from facts and disk: what `/ready`, `/metrics` and `turnout status` show."""

import shutil

import msgspec

from turnout.control import factsfile
from turnout.model.facts import Facts
from turnout.settings import Settings

PROCESSES = ("collector", "worker", "control")
SILENT_MS = 5_000


class Status(msgspec.Struct, kw_only=True):
    """`ready` exactly when `problems` is empty; each problem says what and where."""

    ready: bool
    problems: list[str]
    processes: dict[str, Facts]
    disk_free_bytes: int
    log_bytes: int


def status(settings: Settings, now_ms: int) -> Status:
    """Look at everything. Reads small files only."""
    processes = factsfile.read(settings.data_dir)
    problems = []
    for name in PROCESSES:
        facts = processes.get(name)
        if facts is None or now_ms - facts.beat_ms > SILENT_MS:
            problems.append(f"{name}: not running, or not answering")
            continue
        if facts.trouble:
            problems.append(f"{name}: {facts.trouble}")
        if facts.config_error:
            problems.append(f"{name}: the newest configuration is not in use: {facts.config_error}")
    worker = processes.get("worker")
    if worker is not None:
        if worker.lag > settings.ready_lag:
            problems.append(f"worker: {worker.lag} events wait to be processed, over {settings.ready_lag}")
        problems += [
            f"destination {ref}: the sums do not close by {destination.drift} events; run `turnout audit`"
            for ref, destination in worker.destinations.items()
            if destination.drift
        ]
    folder = settings.data_dir if settings.data_dir.exists() else "."
    return Status(
        ready=not problems,
        problems=problems,
        processes=processes,
        disk_free_bytes=shutil.disk_usage(folder).free,
        log_bytes=_size(settings),
    )


def _size(settings: Settings) -> int:
    total = 0
    for path in settings.log_dir.glob("*/*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
