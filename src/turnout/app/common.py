"""What every process does: look after its log, follow the configuration, say how it is."""

import asyncio
import contextlib
import os
import resource
import threading
from collections.abc import Callable, Iterator

import structlog

from turnout.control import factsfile
from turnout.control.applied import Watcher
from turnout.log.interface import Log
from turnout.model.clock import now_ms
from turnout.model.facts import Facts
from turnout.settings import Settings

FACTS_S = 0.5
CONFIG_S = 0.2
_MAINTAIN_S = 0.25

log = structlog.get_logger("app")


@contextlib.contextmanager
def maintained(stream: Log) -> Iterator[None]:
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


@contextlib.contextmanager
def tolerated(surprise: str) -> Iterator[None]:
    """Go on after an OSError, with a line in the log."""
    try:
        yield
    except OSError as error:
        log.warning(surprise, error=str(error))


async def every(seconds: float, stop: asyncio.Event, call: Callable[[], None]) -> None:
    """Call now, and then each time that so long has passed, until `stop`."""
    while not stop.is_set():
        call()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


async def publish(
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

    await every(FACTS_S, stop, publish)
    with tolerated("facts not withdrawn"):
        factsfile.withdraw(settings.data_dir, process)


def _rss_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
