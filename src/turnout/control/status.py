"""The state of the whole server, from facts and disk: what `/ready`, `/metrics` and `turnout status` show."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from turnout.control import factsfile
from turnout.model.config import EMPTY
from turnout.model.facts import Facts
from turnout.settings import Settings

PROCESSES = ("collector", "worker", "control")
SILENT_MS = 5_000


class Rates(msgspec.Struct, kw_only=True):
    """Events per second, measured between two looks."""

    collected: float = 0.0
    processed: float = 0.0
    delivered: dict[str, float] = {}
    """By destination."""


class Status(msgspec.Struct, kw_only=True):
    """`ready` exactly when `problems` is empty: then the server does what it is for.

    `warnings` are for the operator and leave it ready: a destination that fails or log files that were set
    aside. Each line says what and where.
    """

    ready: bool
    problems: list[str]
    warnings: list[str] = []
    processes: dict[str, Facts]
    silent: list[str] = []
    """Processes that should run and have said nothing for 5 s."""
    damage: list[str] = []
    """Parts of the log that had to be set aside."""
    disk_free_bytes: int
    log_bytes: int
    rates: Rates | None = None
    """Only where somebody took the time to look twice."""


def status(settings: Settings, now_ms: int) -> Status:
    """Look at everything. Reads small files only."""
    processes = factsfile.read(settings.data_dir)
    silent = [name for name in PROCESSES if not _speaks(processes.get(name), now_ms)]
    speaking = {name: facts for name, facts in processes.items() if name not in silent}
    folder = settings.data_dir if settings.data_dir.exists() else "."
    free = shutil.disk_usage(folder).free
    problems = [f"{name}: not running, or not answering" for name in silent]
    if silent and free < settings.reserve_bytes:
        # A disk that is completely full does not even take what the processes say of themselves.
        problems.append(f"only {free} bytes are free on the disk of {folder}: free some space, all goes on by itself")
    problems += _problems(speaking, settings.ready_lag)
    damage = _distinct(line for facts in processes.values() for line in facts.damage)
    return Status(
        ready=not problems,
        problems=problems,
        warnings=[*(f"log: {line}" for line in damage), *_warnings(speaking)],
        processes=processes,
        silent=silent,
        damage=damage,
        disk_free_bytes=free,
        log_bytes=_size(settings),
    )


def rates(before: Status, after: Status) -> Rates:
    """What happened per second between two looks. A process that was restarted in between counts as 0."""
    found = Rates()
    for name in ("collector", "worker"):
        first, second = before.processes.get(name), after.processes.get(name)
        if first is None or second is None or first.pid != second.pid or second.beat_ms <= first.beat_ms:
            continue
        seconds = (second.beat_ms - first.beat_ms) / 1000
        events = (sum(second.events.values()) - sum(first.events.values())) / seconds
        if name == "collector":
            found.collected = events
        else:
            found.processed = events
            found.delivered = {
                ref: max(0, _delivered(second, ref) - _delivered(first, ref)) / seconds for ref in second.destinations
            }
    return found


def _speaks(facts: Facts | None, now_ms: int) -> bool:
    return facts is not None and now_ms - facts.beat_ms <= SILENT_MS


def _problems(processes: Mapping[str, Facts], ready_lag: int) -> Iterator[str]:
    for name, facts in processes.items():
        if facts.trouble:
            yield f"{name}: {facts.trouble}"
        if facts.config_error and facts.config_version == EMPTY.version:
            yield f"{name}: there is no usable configuration: {facts.config_error}"
    worker = processes.get("worker")
    if worker is None:
        return
    if worker.lag > ready_lag:
        yield f"worker: {worker.lag} events wait to be processed, over {ready_lag}"
    for ref, destination in worker.destinations.items():
        if destination.drift:
            yield f"destination {ref}: the sums do not close by {destination.drift} events; run `turnout audit`"


def _warnings(processes: Mapping[str, Facts]) -> Iterator[str]:
    """What is no reason to turn clients away: the log keeps the events of a partner that fails, for example."""
    refused = {facts.config_error for facts in processes.values() if facts.config_version != EMPTY.version} - {""}
    yield from (f"the newest configuration is not in use: {error}" for error in sorted(refused))
    if len({facts.config_version for facts in processes.values()}) > 1:
        yield "not every process has the newest configuration yet"
    control, worker = processes.get("control"), processes.get("worker")
    if control is not None and control.inspector_trouble:
        yield f"inspector: {control.inspector_trouble}"
    for ref, destination in worker.destinations.items() if worker is not None else ():
        if destination.breaker != "closed":
            yield f"destination {ref}: breaker {destination.breaker.replace('_', ' ')}: {destination.trouble}"
        elif destination.trouble:
            yield f"destination {ref}: {destination.trouble}"


def _distinct(lines: Iterable[str]) -> list[str]:
    """Each damage once: two processes may tell of the same file, in different words."""
    found: dict[str, str] = {}
    for line in lines:
        aside = re.search(r"[^/]+/[^/]+\.damaged\.db", line)
        found.setdefault(aside[0] if aside else line, line)
    # Who only reads knows what is wrong; who set the file aside adds where it is.
    return [line for line in found.values() if not any(f"{line};" in other for other in found.values())]


def _delivered(facts: Facts, ref: str) -> int:
    destination = facts.destinations.get(ref)
    return destination.outcomes.get("delivered", 0) if destination is not None else 0


def _size(settings: Settings) -> int:
    """Bytes on disk: preallocated files count whole."""
    total = 0
    for folder, _, names in os.walk(settings.log_dir):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total
