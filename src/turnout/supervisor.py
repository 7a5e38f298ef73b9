"""Keeps the processes of one server alive: starts them, restarts what dies, ends them together.

Each child holds the read end of a pipe from here. When this process dies, even by kill -9, the pipe closes and
the children drain and stop, so that the next start finds ports and data directory free. One server holds a data
directory (`hold`), and each of its processes holds it too: it is free when the last has ended.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from turnout.log.segment import make_folder
from turnout.model.errors import LeaseLostError, TurnoutError

PROCESSES = ("collector", "worker", "control")
SUPERVISED = "TURNOUT_SUPERVISED"
MODULE = "turnout.processes"
"""What runs a process: `python -m turnout.processes NAME`."""
FATAL_EXIT = 3
"""What a child exits with when starting it again can't help (a port in use, a foreign data directory)."""
_BACKOFF_S = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0)
_STABLE_S = 5.0
_DRAIN_S = 25.0
_ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "262144", "MALLOC_MMAP_THRESHOLD_": "262144"}
"""For glibc: give back at once what a big batch needed; about 20 MB less. What the operator has set wins."""

log = structlog.get_logger("supervisor")


class StartError(TurnoutError):
    """A process could not start and says that trying again would not help; its own message says why."""


def hold(data_dir: Path) -> int:
    """Take a data directory for this server; gives the descriptor that holds it, for `supervise`.

    Waits for what a killed server has left: its processes are draining. Raises `LeaseLostError` at once if
    that server lives.
    """
    make_folder(data_dir)
    lease = os.open(data_dir / "server.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + _DRAIN_S
    waiting = False
    while not _taken(lease):
        if _lives(os.pread(lease, 20, 0)) or time.monotonic() > deadline:
            os.close(lease)
            raise LeaseLostError(f"{data_dir} is in use by another server: stop it, or use another data directory")
        if not waiting:
            log.warning("waiting for the processes of a killed server to end", data=str(data_dir))
            waiting = True
        time.sleep(0.05)
    os.pwrite(lease, f"{os.getpid():<20}".encode(), 0)
    return lease


def _taken(lease: int) -> bool:
    try:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: bytes) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


async def supervise(environment: Mapping[str, str], lease: int) -> None:
    """Run all processes until SIGTERM or SIGINT; returns when every one has ended.

    `environment` holds their settings; `lease` is what `hold` gave. Raises `StartError` if a process can't start; the
    others are ended first.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    children = [asyncio.create_task(_keep(name, environment, lease, stop)) for name in PROCESSES]
    try:
        await asyncio.gather(*children)
    finally:
        stop.set()
        await asyncio.gather(*children, return_exceptions=True)


async def _keep(name: str, environment: Mapping[str, str], lease: int, stop: asyncio.Event) -> None:
    """One process: start, wait, start again later and later, until `stop`."""
    failures = 0
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started = loop.time()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            MODULE,
            name,
            stdin=asyncio.subprocess.PIPE,
            env={**_ALLOCATOR, **environment, SUPERVISED: "1"},
            pass_fds=(lease,),
            start_new_session=True,
        )
        ended = asyncio.create_task(child.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            await _end(name, child, ended)
            return
        if child.returncode == FATAL_EXIT:
            raise StartError(f"{name} could not start (its message is above)")
        failures = 0 if loop.time() - started > _STABLE_S else failures + 1
        wait_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
        log.error("process ended, starting it again", name=name, exit=child.returncode, wait_s=wait_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait_s)


async def _end(name: str, child: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        await asyncio.wait_for(asyncio.shield(ended), _DRAIN_S)
    except TimeoutError:
        log.warning("process did not drain in time, killing it", name=name, seconds=_DRAIN_S)
        child.kill()
        await ended


def stop_with_parent(stop: asyncio.Event) -> None:
    """In a child: set `stop` on SIGTERM and SIGINT, and when the supervisor is gone."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if os.environ.get(SUPERVISED) != "1":
        return

    def parent_gone() -> None:
        if not os.read(0, 1):
            loop.remove_reader(0)
            stop.set()

    loop.add_reader(0, parent_gone)
