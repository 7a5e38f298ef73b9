"""The worker: processes what came in, and delivers it."""

import asyncio
import os
from collections import Counter

from turnout.app import open_log
from turnout.app.common import maintained, publish, tolerated
from turnout.control import applied
from turnout.control.applied import Watcher
from turnout.control.configuration.secrets import Secrets
from turnout.deliver.http import HttpDestination, open_session
from turnout.deliver.worker import Deliverer
from turnout.destinations import mapped
from turnout.destinations.dry import DryDestination
from turnout.destinations.interface import Context
from turnout.destinations.interface import Destination as OpenDestination
from turnout.model.clock import now_ms
from turnout.model.config import Destination
from turnout.model.event import PROCESSED
from turnout.model.facts import Facts
from turnout.process.chain import Chain, Tally
from turnout.process.enrichment.enricher import Enricher
from turnout.process.enrichment.shelf import Shelf
from turnout.process.stage import ProcessStage
from turnout.receipts.store import Store
from turnout.settings import Settings


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Process and deliver until `stop`, then finish what is in hand."""
    stream = open_log(settings)
    stream.append(PROCESSED, [])
    store = Store(settings.state_path)
    watcher = Watcher(settings.data_dir, os.environ, Secrets(settings.secret_key_path))
    session = open_session(settings.egress_private == "allow")
    mapping_warnings: Counter[str] = Counter()

    def open_one(destination: Destination) -> OpenDestination:
        context = Context(
            destination.ref,
            settings.data_dir,
            lambda translator: (
                DryDestination(translator, now_ms)
                if destination.dry_mode
                else HttpDestination(translator, session, now_ms)
            ),
            destination.delivery.batch_size,
            destination.delivery.timeout_ms,
            lambda warned: mapping_warnings.update({destination.ref: len(warned)}),
            destination.dry_mode,
            destination.zone,
        )
        return mapped.open_destination(destination, context)

    deliverer = Deliverer(stream, store, open_one, now_ms, settings.replay_ms, settings.dead_letter_bytes)
    tally = Tally()
    shelf = Shelf(settings.stores_path, Secrets(settings.secret_key_path))
    enricher = Enricher(shelf, session, now_ms)
    chain = enricher.chain(watcher.snapshot, tally)

    def refresh() -> Chain:
        nonlocal chain
        if (snapshot := watcher.refresh()) is not None:
            chain = enricher.chain(snapshot, tally)
            deliverer.apply(snapshot)
            with tolerated("configuration not kept for the next start"):
                applied.remember(settings.data_dir, watcher.text)
        return chain

    refresh()
    stage = ProcessStage(stream, refresh, deliverer.wake, enricher.keep, enricher.prepare)

    def facts(found: Facts) -> None:
        found.trouble = stage.trouble
        found.lag = stage.lag()
        found.events = {f"{source or '-'} {status}": n for (source, status), n in stage.events.items()}
        found.damage = stream.damage()
        found.cleansing = {" ".join(rule): n for rule, n in tally.hits.items()}
        found.enrichments = {f"{site} {status} {label}": n for (site, label, status), n in tally.enrichments.items()}
        found.cleansing_warnings = {" ".join(rule): n for rule, n in tally.warnings.items()}
        found.attempts_lost = deliverer.attempts_lost()
        found.destinations = deliverer.facts()
        for ref, figures in found.destinations.items():
            figures.mapping_warnings = mapping_warnings[ref]

    with maintained(stream):
        await asyncio.gather(stage.run(stop), deliverer.run(stop), publish("worker", settings, watcher, facts, stop))
    await session.close()
    shelf.close()
    store.close()
    stream.close()
