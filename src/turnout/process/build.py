"""The chain that a configuration asks for (`processing.md` §1). A step that has nothing to do is not in it."""

from collections import Counter
from collections.abc import Iterator

from turnout.model.cleansing import Timing
from turnout.model.config import Snapshot
from turnout.process.chain import Chain, Step
from turnout.process.steps.check import CHECK

STANDARD_CHAIN: Chain = (CHECK,)


def chain_for(snapshot: Snapshot, hits: Counter[tuple[str, str]]) -> Chain:
    """The steps of this configuration, compiled. `hits` counts events by (site, rule), and outlives the chain."""
    return (
        *_cleansing(snapshot, "reception", hits),
        *_cleansing(snapshot, "after_enrichment", hits),
        CHECK,
    )


def _cleansing(snapshot: Snapshot, timing: Timing, hits: Counter[tuple[str, str]]) -> Iterator[Step]:
    rules = [rule for rule in snapshot.cleansing if rule.timing == timing and rule.status == "active"]
    if rules:
        from turnout.process.steps.cleanse import cleansing  # noqa: PLC0415 - the formula language

        yield cleansing(rules, timing, hits)
