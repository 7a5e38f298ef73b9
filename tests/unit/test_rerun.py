"""What a draft of the configuration would change, event by event."""

import msgspec
import pytest

from turnout.control.configfile import load
from turnout.model.event import Received
from turnout.rerun import Rerun, changes

BASE: dict[str, object] = {
    "sources": {"shop": {"type": "web", "key": "k1"}},
    "destinations": {
        "orders": {"type": "webhook", "sources": ["shop"], "settings": {"url": "http://127.0.0.1:9/"}, "consent": "3"},
        "archive": {"type": "file", "sources": ["shop"], "settings": {"path": "a.ndjson"}},
    },
}
EVENT: dict[str, object] = {
    "event_name": "order",
    "value": 5,
    "user": {"consent_categories": ["3"]},
    "context": {"event_id": "e", "event_timestamp": 1_764_000_000_000},
}


def rerun(site: dict[str, object]) -> Rerun:
    return Rerun(load(msgspec.json.encode({"sites": {"29": site}}).decode(), {}))


def changed(**draft: object) -> dict[str, object]:
    """The configuration with other parts."""
    return {**BASE, **draft}


def destinations(**orders: object) -> dict[str, object]:
    kinds = BASE["destinations"]
    assert isinstance(kinds, dict)
    return {"destinations": {**kinds, "orders": {**kinds["orders"], **orders}}}


def kinds(draft: dict[str, object], event: dict[str, object] = EVENT, status: str = "valid") -> list[str]:
    record = Received("e", "29/shop", "order", status, 1_764_000_000_000, msgspec.json.encode(event))  # type: ignore[arg-type]
    return [kind for change in changes(rerun(BASE), rerun(draft), record) for kind in change.kinds]


RENAMED = [{"label": "r", "operation": "rename_event", "to": "purchase"}]


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        (BASE, []),
        (changed(cleansing=RENAMED), ["status: valid → invalid_accepted", "name: order → purchase"]),
        (
            changed(cleansing=[{"label": "f", "operation": "filter_event", "when": "value > 1"}]),
            ["status: valid → filtered", "29/archive: send → not offered", "29/orders: send → not offered"],
        ),
        (
            changed(
                cleansing=[
                    {
                        "label": "m",
                        "operation": "modify_properties",
                        "properties": [{"action": "set", "property": "total", "expression": "value * 2"}],
                    }
                ]
            ),
            ["content"],
        ),
        (
            changed(cleansing=[{"label": "d", "operation": "derive_event", "name": "lead"}]),
            ["lead: derived"],
        ),
        (changed(**destinations(consent="4")), ["29/orders: send → filtered consent"]),
        (changed(**destinations(filter="value > 9")), ["29/orders: send → filtered condition"]),
        (changed(**destinations(event_names=["purchase"])), ["29/orders: send → filtered event_name"]),
        (changed(**destinations(status="inactive")), ["29/orders: send → not offered"]),
        (changed(**destinations(dry_mode=True)), ["29/orders: send → dry_run"]),
        (
            changed(**destinations(mapping={"properties": [{"action": "delete", "property": "value"}]})),
            ["29/orders: another mapping"],
        ),
    ],
)
def test_what_a_draft_changes_is_told_in_words(draft: dict[str, object], expected: list[str]) -> None:
    assert kinds(draft) == expected


def test_what_the_collector_refused_stays_refused() -> None:
    assert kinds(changed(cleansing=RENAMED), status="rejected") == []
