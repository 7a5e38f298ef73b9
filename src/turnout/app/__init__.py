"""The only place that constructs parts and joins them: a module per process, each with one coroutine, `run`.

Each runs until `stop`, publishes its facts twice a second, and follows the applied configuration. A process imports its
own module alone, and heavy libraries where they are needed: it is smaller for that, and starts faster.
"""

import asyncio
import importlib

from turnout.log.interface import Log
from turnout.log.sqlite import SqliteLog
from turnout.model.event import ACCEPTED, PROCESSED
from turnout.settings import Settings

GROUPS = {ACCEPTED: ["process"], PROCESSED: ["deliver"]}


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


async def run(process: str, settings: Settings, stop: asyncio.Event) -> None:
    """Be this process ("collector", "worker", "control") until `stop`. Raises OSError if it can't listen."""
    await importlib.import_module(f"turnout.app.{process}").run(settings, stop)
