"""What messages say, for every category: in words, with figures, and nothing that a channel could take for markup."""

import pytest

from turnout.control.alerts.state import Kind
from turnout.control.alerts.words import Notice, text
from turnout.model.alerts import PARAMETERS, Category

NOW = 1_764_000_000_000
SEEN: dict[Category, tuple[float, float, dict[str, int]]] = {
    "destination/delivery": (72.5, 90, {"delivered": 29, "error": 11}),
    "destination/issue": (3, 1, {"failed": 3}),
    "destination/backlog": (75, 10, {"pending": 1200, "oldest_minutes": 75}),
    "destination/drift": (2, 0, {}),
    "source/data-quality": (50, 75, {"valid": 20, "rejected": 20}),
    "source/volume": (-60, -50, {"now": 40, "before": 100}),
    "source/silence": (1500, 60, {}),
    "processing/lag": (12000, 10000, {}),
}


def notice(category: Category, kind: Kind, **changes: object) -> Notice:
    value, limit, counts = SEEN[category]
    fields: dict[str, object] = {
        "kind": kind,
        "site": "29",
        "alert": "mine",
        "category": category,
        "subject": "" if category == "processing/lag" else "Orders",
        "environment": "production",
        "at_ms": NOW,
        "since_ms": NOW,
        "value": value,
        "limit": limit,
        "counts": counts,
        "reasons": (("401_unauthorized", 3),) if category == "destination/issue" else (),
        **changes,
    }
    return Notice(**fields)  # type: ignore[arg-type] # as named above


@pytest.mark.parametrize(
    ("category", "firing", "resolved"),
    [
        (
            "destination/delivery",
            "Alert: Orders: 72.5 % of the events were delivered (at least 90 % is wanted)",
            "Solved: Orders: 72.5 % of the events were delivered again (at least 90 % is wanted)",
        ),
        (
            "destination/issue",
            "Alert: Orders: events fail: 401_unauthorized",
            "Solved: Orders: no such failures any more",
        ),
        (
            "destination/backlog",
            "Alert: Orders: 1,200 events wait, the oldest for 1 hour 15 minutes",
            "Solved: Orders: events are sent in time again",
        ),
        (
            "destination/drift",
            "Alert: Orders: 2 events have no recorded fate",
            "Solved: Orders: every event has a recorded fate",
        ),
        (
            "source/data-quality",
            "Alert: Orders: 50 % of the events were valid (at least 75 % is wanted)",
            "Solved: Orders: 50 % of the events were valid again (at least 75 % is wanted)",
        ),
        (
            "source/volume",
            "Alert: Orders: 60 % fewer events than before",
            "Solved: Orders: 60 % fewer events than before, as usual",
        ),
        ("source/silence", "Alert: Orders: no event for 1 day 1 hour", "Solved: Orders: events come again"),
        (
            "processing/lag",
            "Alert: the server: 12,000 events wait to be processed",
            "Solved: the server: 12,000 events wait to be processed",
        ),
    ],
)
def test_a_title_says_what_happened(category: Category, firing: str, resolved: str) -> None:
    assert text(notice(category, "firing"), "").title == firing
    assert text(notice(category, "reminder"), "").title == firing.replace("Alert:", "Still:")
    assert text(notice(category, "resolved"), "").title == resolved


def test_every_category_has_a_title() -> None:
    assert SEEN.keys() == PARAMETERS.keys()


def test_what_is_not_watched_any_more_and_a_test_say_so() -> None:
    off = notice("destination/delivery", "resolved", value=None)
    assert text(off, "").title == "Solved: Orders is not watched at the moment"
    assert text(notice("processing/lag", "firing", test=True), "").title == (
        "Test: messages of the alert mine arrive here"
    )
    everywhere = notice("destination/drift", "firing", subject="")
    assert text(everywhere, "").title == "Alert: all destinations: 2 events have no recorded fate"


def test_reasons_of_deliveries_come_with_what_to_do() -> None:
    (line,) = text(notice("destination/issue", "firing"), "").reasons
    assert line.startswith("401_unauthorized: 3 events. ")
    assert len(line) > len("401_unauthorized: 3 events. ")
    quality = notice("source/data-quality", "firing", reasons=(("missing_event_name", 1),))
    assert text(quality, "").reasons == ["missing_event_name: 1 event."]
