"""Makes `src/turnout/specification/standard_events.json` from the specification of the standard events.

    python tools/catalogue.py SPEC/standard-events.json > src/turnout/specification/standard_events.json

Keeps what a checker needs and drops the rest (descriptions, notes, sources). Nested properties of `items[]`
are left out because the schemas `item` and `product` say the same; the tool fails when they do not.
"""

import json
import sys
from pathlib import Path
from typing import Any

UNCHECKED_FORMATS = ("ip", "cookie_header")
"""The collector removes what is not an address (`collect.md` §12); any text may be a cookie header."""

KEPT = ("type", "required", "nullable", "format", "enum", "minimum", "maximum", "max_items", "schema")
RENAMED = {"min": "minimum", "max": "maximum"}

# Decisions of collect.md §12 that are stricter or milder than the table of properties.
OVERRIDES: dict[tuple[str, str], dict[str, object]] = {
    # Missing or ill-typed consent is a warning of the collector and never changes the status; ids may be numbers.
    ("user", "consent_categories"): {"type": "array<id>", "required": False, "unflagged": True},
    # The collector refuses every other timestamp.
    ("context", "event_timestamp"): {"format": None},
    # "No `consistent_anonymous_id` where none can be filled": flagged.
    ("user", "consistent_anonymous_id"): {"required": True},
}

# Names that clients send in place of a required one (`other_names_seen`, `alias_of` of the specification).
OTHER_NAMES: dict[str, list[str]] = {
    "page_type": ["type"],
    "payment_method": ["payment_type"],
    "id": ["transaction_id"],
    "consistent_anonymous_id": ["tcId", "tcid", "tc_id"],
}


def trimmed(owner: str, source: dict[str, Any]) -> dict[str, object]:
    """One property without noise: false and absent are the same."""
    source = {RENAMED.get(key, key): value for key, value in source.items()}
    source = {**source, **OVERRIDES.get((owner, source["name"]), {})}
    named = {key: source.get(key) for key in (*KEPT, "unflagged")}
    kept = {key: value for key, value in named.items() if value is not None and value is not False}
    if kept.get("format") in UNCHECKED_FORMATS:
        del kept["format"]
    if kept.get("required") and owner not in ("item", "product") and source["name"] in OTHER_NAMES:
        kept["other_names"] = OTHER_NAMES[source["name"]]
    return kept


def properties(owner: str, listed: list[dict[str, Any]]) -> dict[str, object]:
    """The direct properties by name, without those that a schema expands."""
    return {source["name"]: trimmed(owner, source) for source in listed if not source["name"].startswith("items[].")}


def differences(event: str, listed: list[dict[str, Any]], schemas: dict[str, Any]) -> list[str]:
    """Where an event's expanded `items[]` says something else than the schemas."""
    wrong = []
    for source in listed:
        path = source["name"].removeprefix("items[].")
        if path == source["name"]:
            continue
        owner = "product" if path.startswith("product.") else "item"
        leaf = {**source, "name": path.removeprefix("product.")}
        if trimmed(owner, leaf) != schemas[owner].get(leaf["name"]):
            wrong.append(f"{event}: {source['name']}")
    return wrong


def catalogue(spec: dict[str, Any]) -> dict[str, object]:
    """The whole catalogue in its shipped form. Raises `SystemExit` when items differ from their schemas."""
    schemas = {name: properties(name, schema["properties"]) for name, schema in spec["schemas"].items()}
    events = {}
    for name, event in spec["events"].items():
        if wrong := differences(name, event["properties"], schemas):
            raise SystemExit("items differ from their schema: " + ", ".join(wrong))
        events[name] = {
            "properties": properties(name, event["properties"]),
            **{key: event[key] for key in ("rules", "aliases") if key in event},
        }
    return {"version": spec["catalogue_version"], "schemas": schemas, "events": events}


def text(value: object) -> str:
    """JSON with a line for each property."""
    if not isinstance(value, dict) or not any(isinstance(member, dict) for member in value.values()):
        return json.dumps(value)
    members = ",\n".join(f"{json.dumps(key)}: {text(member)}" for key, member in value.items())
    return "{\n" + members + "\n}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: catalogue.py SPEC/standard-events.json")
    print(text(catalogue(json.loads(Path(sys.argv[1]).read_text()))))
