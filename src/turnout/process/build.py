"""The chain that a configuration asks for (`processing.md` §1). A step that has nothing to do is not in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from typing import TYPE_CHECKING

from msgspec import structs

from turnout.model.cleansing import Timing
from turnout.model.config import Snapshot
from turnout.process.chain import Chain, Step, Tally
from turnout.process.steps.check import CHECK, checking

if TYPE_CHECKING:
    # Only for its type: whoever has no formulas does without the language.
    from turnout.process.steps.enrich import Knowledge

STANDARD_CHAIN: Chain = (CHECK,)


def chain_for(snapshot: Snapshot, tally: Tally, known: Knowledge | None = None) -> Chain:
    """The steps of this configuration, compiled. They count in `tally`, which outlives the chain.

    `known` is what enrichments draw on; without it nothing is kept and nothing enriched.
    """
    between = (
        *(_enriching(snapshot, tally, known) if known is not None else ()),
        *_cleansing(snapshot, "after_enrichment", tally),
    )
    return (*_cleansing(snapshot, "reception", tally), *_checked(snapshot, between))


def chain_in_detail(snapshot: Snapshot, source: str, tally: Tally) -> Iterator[tuple[str, Step]]:
    """The same for one source and without data stores, with a step for each of its rules, and their labels."""
    late = list(_one_by_one(snapshot, source, "after_enrichment", tally))
    yield from _one_by_one(snapshot, source, "reception", tally)
    labels = {id(step): label for label, step in late}
    for step in _checked(snapshot, tuple(step for _, step in late)):
        yield labels.get(id(step), ""), step


def _one_by_one(snapshot: Snapshot, source: str, timing: Timing, tally: Tally) -> Iterator[tuple[str, Step]]:
    for rule in snapshot.cleansing:
        if source in rule.sources:
            alone = structs.replace(snapshot, cleansing=(rule,))
            for step in _cleansing(alone, timing, tally):
                yield rule.label, step


def _checked(snapshot: Snapshot, between: Chain) -> Iterator[Step]:
    """What is between, with the checks around it.

    A specification judges values first, so that what enriches sees clean ones, and in the end what is required, which
    may have been supplied (`processing.md` §1). With nothing between, both are one step.
    """
    twice = bool(snapshot.specifications and between)
    if twice:
        yield checking(snapshot, "before")
    yield from between
    yield checking(snapshot, "after" if twice else "once")


def _cleansing(snapshot: Snapshot, timing: Timing, tally: Tally) -> Iterator[Step]:
    rules = [rule for rule in snapshot.cleansing if rule.timing == timing and rule.status == "active"]
    if rules:
        from turnout.process.steps.cleanse import cleansing  # noqa: PLC0415 - the formula language

        yield cleansing(rules, timing, tally, _zones(snapshot))


def _zones(snapshot: Snapshot) -> dict[str, tzinfo]:
    """By source, of sites that have one."""
    return {
        ref: snapshot.time_zone(one.site) for ref, one in snapshot.sources.items() if one.site in snapshot.time_zones
    }


def _enriching(snapshot: Snapshot, tally: Tally, known: Knowledge) -> Iterator[Step]:
    stores = [store for store in snapshot.stores.values() if store.status == "active" and store.event_name]
    rules = [rule for rule in snapshot.enrichments if rule.status == "active"]
    if stores or rules:
        from turnout.process.steps.enrich import enriching  # noqa: PLC0415 - the formula language

        yield enriching(stores, rules, known, tally, _zones(snapshot))
