"""What the control process borrows from other stages; their libraries are imported when somebody asks."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from turnout.control.configuration.secrets import Secrets
from turnout.destinations import mapped
from turnout.destinations.interface import Context, Event
from turnout.model.clock import now_ms
from turnout.model.config import Destination, Snapshot, Source
from turnout.model.event import Processed
from turnout.model.outcome import Result
from turnout.model.person import Person
from turnout.model.trial import Trial, Verdict
from turnout.settings import Settings

if TYPE_CHECKING:
    from turnout.judge import Judged


def entries(settings: Settings, site: str, person: Person, dry_run: bool) -> int:
    """Erase what data stores have of somebody, or only count it; gives how many entries."""
    from turnout.process.enrichment.shelf import Shelf  # noqa: PLC0415

    if not settings.stores_path.exists():
        return 0
    with contextlib.closing(Shelf(settings.stores_path, Secrets(settings.secret_key_path))) as shelf:
        return shelf.erase(site, person.keys, person.matcher(), dry_run=dry_run)


def judge(snapshot: Snapshot, source: Source, body: bytes, now_ms: int) -> "tuple[int, list[Judged]]":
    """See `turnout.judge`."""
    from turnout import judge as judging  # noqa: PLC0415 - the standard catalogue, and only when somebody asks

    return judging.judge(snapshot, source, body, now_ms)


def attempt(snapshot: Snapshot, source: Source, body: bytes, now_ms: int) -> tuple[int, list[Trial]]:
    """See `turnout.trial.attempt`."""
    from turnout.trial import attempt  # noqa: PLC0415 - as above

    return attempt(snapshot, source, body, now_ms)


def preview(destination: Destination, event: Processed, now_ms: int) -> Verdict:
    """See `turnout.trial.verdict`."""
    from turnout.trial import verdict  # noqa: PLC0415 - as above

    return verdict(destination, event, now_ms)


def send(settings: Settings, destination: Destination, event: Processed) -> Result:
    """One attempt beside the worker's, in a thread of its own; nothing is recorded."""
    from turnout.deliver.http import HttpDestination, open_session  # noqa: PLC0415 - aiohttp, and only for this

    async def attempt() -> Result:
        async with open_session(settings.egress_private == "allow") as session:
            context = Context(
                destination.ref,
                settings.data_dir,
                lambda translator: HttpDestination(translator, session, now_ms),
                destination.delivery.batch_size,
                destination.delivery.timeout_ms,
                zone=destination.zone,
            )
            opened = mapped.open_destination(destination, context)
            try:
                (result,) = await opened.send([Event(event.event_id, event.name, event.payload, event.received_ms)])
            finally:
                await opened.close()
            return result

    return asyncio.run(attempt())
