"""What a message says, in words for people who send events and never read a log. Pure."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from turnout.control.alerts.state import Kind
from turnout.control.delivery.hints import hint_for
from turnout.model.alerts import Category
from turnout.model.duration import milliseconds

_PREFIX: Mapping[Kind, str] = {"firing": "Alert", "reminder": "Still", "resolved": "Solved"}
_SENT = {
    "delivered": "Delivered",
    "rejected": "Refused because of their content",
    "error": "Failed for good",
    "failed": "Failed in this time",
    "pending": "Waiting",
    "filtered": "Not to be sent (filters, consent)",
}
_COLLECTED = {
    "valid": "Valid",
    "invalid_accepted": "Invalid, taken all the same",
    "invalid_rejected": "Invalid, refused",
    "rejected": "Refused before they were looked at",
    "failed": "Failed in processing",
    "now": "Events now",
    "before": "Events before",
}
"""The figures behind a reading that are shown, in this order."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a message is made of. `subject` is a label, "" for all destinations or the server.

    `value`, `limit`, `counts` and `reasons` are those of the reading (`check.py`).
    """

    kind: Kind
    site: str
    alert: str
    category: Category
    subject: str
    environment: str
    at_ms: int
    since_ms: int
    value: float | None
    limit: float | None
    window: str = ""
    counts: dict[str, int] = {}
    reasons: tuple[tuple[str, int], ...] = ()
    test: bool = False


class Text(NamedTuple):
    """A message before it takes the form of a channel."""

    title: str
    facts: list[tuple[str, str]]
    reasons: list[str]
    link: str

    def plain(self) -> str:
        """For people who read plain text."""
        lines = [self.title, "", *(f"{label}: {value}" for label, value in self.facts)]
        if self.reasons:
            lines += ["", "Most frequent reasons:", *(f"  {line}" for line in self.reasons)]
        if self.link:
            lines += ["", self.link]
        return "\n".join(lines) + "\n"


def text(notice: Notice, link: str) -> Text:
    """The words of a message; `link` may be empty."""
    prefix = "Test" if notice.test else _PREFIX[notice.kind]
    reasons = [
        f"{reason}: {_number(n)} {'event' if n == 1 else 'events'}.{_hint(notice.category, reason)}"
        for reason, n in notice.reasons
    ]
    return Text(f"{prefix}: {_sentence(notice)}", list(_facts(notice)), reasons, link)


def _hint(category: Category, reason: str) -> str:
    """What to do, where the reason is one of a delivery."""
    return f" {hint_for(reason).text}" if category.startswith("destination/") else ""


def _sentence(notice: Notice) -> str:
    if notice.test:
        return f"messages of the alert {notice.alert} arrive here"
    name = notice.subject or ("all destinations" if notice.category.startswith("destination/") else "the server")
    if notice.value is None and notice.kind == "resolved":
        return f"{name} is not watched at the moment"
    value, limit = notice.value or 0, notice.limit or 0
    well = notice.kind == "resolved"
    match notice.category:
        case "destination/delivery":
            share = f"{_number(value)} % of the events were delivered"
            return f"{name}: {share} {_against(well, limit)}"
        case "source/data-quality":
            return f"{name}: {_number(value)} % of the events were valid {_against(well, limit)}"
        case "destination/issue":
            reason = f": {notice.reasons[0][0]}" if notice.reasons else ""
            return f"{name}: no such failures any more" if well else f"{name}: events fail{reason}"
        case "destination/backlog":
            if well:
                return f"{name}: events are sent in time again"
            waiting = notice.counts.get("pending", 0)
            return f"{name}: {_number(waiting)} events wait, the oldest for {_span(notice.counts['oldest_minutes'])}"
        case "destination/drift":
            return f"{name}: {'every event has a' if well else f'{_number(value)} events have no'} recorded fate"
        case "source/volume":
            change = f"{_number(abs(value))} % {'fewer' if value < 0 else 'more'} events than before"
            return f"{name}: {change}{', as usual' if well else ''}"
        case "source/silence":
            return f"{name}: events come again" if well else f"{name}: no event for {_span(int(value))}"
        case "processing/lag":
            return f"{name}: {_number(value)} events wait to be processed"


def _against(well: bool, limit: float) -> str:
    return f"(at least {_number(limit)} % is wanted)" if not well else f"again (at least {_number(limit)} % is wanted)"


def _facts(notice: Notice) -> Iterator[tuple[str, str]]:
    if notice.subject:
        yield notice.category.partition("/")[0].capitalize(), notice.subject
    if notice.environment:
        yield "Environment", notice.environment
    yield "Site", notice.site
    yield "Alert", notice.alert
    if notice.window:
        yield "Looked at", f"the last {_span(milliseconds(notice.window) // 60_000)}"
    labels = _COLLECTED if notice.category.startswith("source/") else _SENT
    yield from ((label, _number(notice.counts[name])) for name, label in labels.items() if name in notice.counts)
    yield "Since", datetime.fromtimestamp(notice.since_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _number(value: float) -> str:
    rounded = round(value, 2)
    return f"{rounded:,.0f}" if rounded == int(rounded) else f"{rounded:,}"


def _span(minutes: int) -> str:
    days, rest = divmod(minutes, 1440)
    hours, minutes = divmod(rest, 60)
    parts = [
        f"{n} {unit}{'' if n == 1 else 's'}"
        for n, unit in ((days, "day"), (hours, "hour"), (minutes, "minute"))
        if n or (unit == "minute" and not days and not hours)
    ]
    return " ".join(parts)
