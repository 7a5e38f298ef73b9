"""Keeps the processes of one server alive: starts them, restarts what dies, ends them together.

Each child holds the read end of a pipe from here. When this process dies, even by kill -9, the pipe closes and
the children drain and stop, so that the next start finds ports and data directory free.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

import structlog

from turnout.model.errors import TurnoutError

PROCESSES = ("collector", "worker", "control")
SUPERVISED = "TURNOUT_SUPERVISED"
FATAL_EXIT = 3
"""What a child exits with when starting it again can't help (a port in use, a foreign data directory)."""
_BACKOFF_S = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0)
_STABLE_S = 5.0
_DRAIN_S = 25.0

log = structlog.get_logger("supervisor")


class StartError(TurnoutError):
    """A process could not start and says that trying again would not help; its own message says why."""


async def supervise(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run all processes until SIGTERM or SIGINT; returns when every one has ended.

    `arguments` are those of `turnout serve`, without `--only`. Raises `StartError` if a process can't
    start; the others are ended first.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    children = [asyncio.create_task(_keep(name, arguments, environment, stop)) for name in PROCESSES]
    try:
        await asyncio.gather(*children)
    finally:
        stop.set()
        await asyncio.gather(*children, return_exceptions=True)


async def _keep(name: str, arguments: Sequence[str], environment: Mapping[str, str], stop: asyncio.Event) -> None:
    """One process: start, wait, start again later and later, until `stop`."""
    failures = 0
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started = loop.time()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "turnout",
            "serve",
            *arguments,
            "--only",
            name,
            stdin=asyncio.subprocess.PIPE,
            env={**environment, SUPERVISED: "1"},
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
