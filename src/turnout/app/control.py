"""The control process: health, figures, the API, alerts, erasures, replays and the inspector."""

import asyncio
import os
import sys
import threading
from functools import partial

import structlog

from turnout.app import borrowed, open_log
from turnout.app.common import CONFIG_S, every, publish
from turnout.control.access.links import Links
from turnout.control.alerts.watch import Watch
from turnout.control.api.world import World
from turnout.control.applied import Watcher
from turnout.control.configuration.secrets import Secrets
from turnout.control.erasure.worker import ErasureWorker
from turnout.control.http import serve_control
from turnout.control.inspector.keeper import Keeper
from turnout.control.replay.worker import ReplayWorker
from turnout.model.clock import now_ms
from turnout.model.config import Snapshot
from turnout.model.errors import ControlUnavailableError
from turnout.model.facts import Facts
from turnout.settings import Settings

log = structlog.get_logger("app")


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Answer for health, figures and the API until `stop`."""
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
        settings,
        snapshot,
        lambda: open_log(settings),
        judge=borrowed.judge,
        attempt=borrowed.attempt,
        preview=borrowed.preview,
        send=partial(borrowed.send, settings),
    )
    _welcome(settings, world)
    keeper = Keeper(settings, world.inspector, lambda: open_log(settings), lambda: watcher.snapshot)

    def facts(found: Facts) -> None:
        found.inspector_lag, found.inspector_trouble = keeper.lag, keeper.trouble

    replaying = ReplayWorker(world.replays, world.receipts, world.snapshot, now_ms)
    erasing = ErasureWorker(
        world.erasures, world.events, world.inspector, partial(borrowed.entries, settings), world.snapshot, now_ms
    )
    with keeper.at_work():
        await asyncio.gather(
            serve_control(settings, world, stop),
            Watch(world).run(stop),
            erasing.run(stop),
            replaying.run(stop),
            every(CONFIG_S, stop, refresh),
            publish("control", settings, watcher, facts, stop),
        )
    world.close()


def _welcome(settings: Settings, world: World) -> None:
    """While nobody has an account: say where the first one is made. The link is another one at each start."""
    try:
        link = Links(world.database).first(now_ms())
    except ControlUnavailableError as error:
        log.warning("can't tell whether there are accounts", reason=str(error))
        return
    if link is not None:
        # For whoever has started the server, as its other first lines.
        sys.stderr.write(f"turnout: make the first account at {settings.control_url}/ui/welcome/{link}\n")
        sys.stderr.flush()
