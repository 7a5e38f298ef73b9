"""Events through the check of a specification, for the tests of it."""

from typing import Any, NamedTuple

import msgspec

from turnout.control.configfile import load
from turnout.model.cleansing import Rule
from turnout.model.config import Snapshot
from turnout.model.event import Received
from turnout.process.build import chain_for
from turnout.process.chain import Tally, process

ENVIRONMENTS = ("production", "staging", "development")
CONTEXT: dict[str, object] = {"event_id": "e-1", "event_timestamp": 1639044446636}
USER: dict[str, object] = {"id": "c-1", "consistent_anonymous_id": "67892", "consent_categories": ["1"]}


class Outcome(NamedTuple):
    """What became of an event: violations as (path, rule, action); the event without them."""

    status: str
    violations: list[tuple[str, str, str]]
    event: dict[str, Any]
    reasons: list[tuple[str, str, str]]


def configured(specification: object) -> Snapshot:
    """A site with this specification and a source of each environment, named as the environment."""
    sources = {name: {"type": "server", "key": name, "environment": name} for name in ENVIRONMENTS}
    sites = {"29": {"sources": sources, "specification": specification}}
    return load(msgspec.json.encode({"sites": sites}).decode(), {})


def event(name: str, **properties: object) -> dict[str, object]:
    """An event that lacks nothing that every event needs."""
    return {"event_name": name, "user": USER, "context": CONTEXT, **properties}


def with_rules(snapshot: Snapshot, *rules: Rule) -> Snapshot:
    """The same with cleansing rules."""
    return msgspec.structs.replace(snapshot, cleansing=rules)


def outcome(snapshot: Snapshot, sent: dict[str, object], environment: str = "production") -> Outcome:
    """What the chain makes of an event of this environment."""
    received = Received("e-1", f"29/{environment}", "", "valid", 1639044446636, msgspec.json.encode(sent))
    (processed,) = process(received, 0, chain_for(snapshot, Tally()))
    done = msgspec.json.decode(processed.payload) if processed.payload else {}
    quality = done.get("context", {}).pop("dataquality", {}) if done else {}
    told = [(one["path"], one["rule"], one["action"]) for one in quality.get("violations", [])]
    reasons = [(one.code, one.path, one.message) for one in processed.reasons]
    return Outcome(processed.status, told, done, reasons)
