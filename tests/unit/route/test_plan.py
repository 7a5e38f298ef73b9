"""Who gets what: `processing.md` §7.1."""

import msgspec
import pytest

from turnout.model.config import Destination
from turnout.model.event import Processed, Status
from turnout.model.outcome import Code
from turnout.route.plan import offered

DESTINATION = Destination(
    site="29", name="orders", type="webhook", sources=frozenset(("29/shop", "29/backend")), settings=None
)
RECORD = Processed("e-1", "29/shop", "purchase", "valid", 1, 1, b"{}")

ROWS: list[tuple[dict[str, object], dict[str, object], Code | None]] = [
    ({}, {}, None),
    ({}, {"source": "29/backend"}, None),
    ({}, {"source": "29/other"}, Code.NOT_OFFERED),
    ({}, {"source": "29/"}, Code.NOT_OFFERED),
    ({}, {"source": ""}, Code.NOT_OFFERED),
    ({"sources": frozenset()}, {}, Code.NOT_OFFERED),
    ({"event_names": frozenset(("purchase",))}, {}, None),
    ({"event_names": frozenset(("purchase",))}, {"name": "search"}, Code.FILTERED_EVENT_NAME),
    ({"event_names": frozenset(("purchase",))}, {"name": "Purchase"}, Code.FILTERED_EVENT_NAME),
    ({"event_names": frozenset(("purchase",))}, {"source": "29/other"}, Code.NOT_OFFERED),
    ({"status": "inactive"}, {}, Code.NOT_OFFERED),
    ({"status": "inactive", "event_names": frozenset(("x",))}, {}, Code.NOT_OFFERED),
    ({"dry_mode": True}, {}, None),
]


@pytest.mark.parametrize(("destination", "record", "expected"), ROWS)
def test_offered(destination: dict[str, object], record: dict[str, object], expected: Code | None) -> None:
    decided = offered(msgspec.structs.replace(DESTINATION, **destination), msgspec.structs.replace(RECORD, **record))
    assert decided is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("valid", None),
        ("invalid_accepted", None),
        ("invalid_rejected", Code.NOT_OFFERED),
        ("filtered", Code.NOT_OFFERED),
        ("failed", Code.NOT_OFFERED),
        ("rejected", Code.NOT_OFFERED),
    ],
)
def test_only_taken_events_are_offered(status: Status, expected: Code | None) -> None:
    assert offered(DESTINATION, msgspec.structs.replace(RECORD, status=status)) is expected
