"""GA4 hits that the Google tag sends to us: one event each (`collect.md` §11). Pure."""

import re
from typing import NamedTuple

from turnout.collect.convert import Event
from turnout.collect.percent import pairs
from turnout.collect.pixel import IsArray, decode

HITS = 25
"""Events from one request: each holds what they have in common, so without a bound 64 KB could become a gigabyte."""

PROPERTY = "ga_url_param"
NAME = b"ga_url_param"
"""What a raw query must hold to be one for the bridge."""
_MARK = re.compile(r"(?:^|&)ga_url_param(?:=|&|$)")


class Split(NamedTuple):
    """The two parts of a raw query with `ga_url_param`."""

    ours: str
    """What stands before: credentials, and the event's properties if there are any."""
    hit: str
    """Everything after it, as it came: the GA4 hit."""


class Bridged(NamedTuple):
    """What a request of the bridge holds; see `turnout.collect.pixel.Decoded` for the last two."""

    events: list[Event]
    credentials: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def split(query: str) -> Split | None:
    """The parts of a raw query; None if it is not one for the bridge."""
    mark = _MARK.search(query)
    return Split(query[: mark.start()], query[mark.end() :]) if mark else None


def bridge(parts: Split, body: bytes = b"", is_array: IsArray = lambda _: False) -> Bridged:
    """The events of a request. Never raises: the body is GA4 text, in which nothing can be wrong.

    Each line of the body is a hit, the URL then holding what they have in common; without lines, or if it has a name
    of its own, the URL is a hit too. An event has the properties of our part of the query, the whole hit verbatim,
    and for a name the explicit `event_name`, else the hit's `en`; without either it has none and will be refused.
    """
    lines = [line for line in re.split(r"[\r\n]+", body.decode("utf-8", "replace")) if line]
    hits = [f"{parts.hit}&{line}" for line in lines[:HITS]]
    if not hits or _name(parts.hit):
        hits.insert(0, parts.hit)
    # Decoded anew for each: later steps complete an event in place.
    decoded = [(decode(parts.ours, is_array), hit) for hit in hits[:HITS]]
    first = decoded[0][0]
    dropped = ("too_many_ga4_hits",) if len(lines) > HITS or len(hits) > HITS else ()
    events = [_with(ours.event, hit) for ours, hit in decoded]
    return Bridged(events, first.credentials, first.warnings + dropped)


def _with(event: Event, hit: str) -> Event:
    event[PROPERTY] = hit.replace("\0", "\ufffd")
    if not event.get("event_name") and (name := _name(hit)):
        event["event_name"] = name
    return event


def _name(hit: str) -> str:
    """The last `en` of a hit: a line's own comes after what the hits have in common."""
    # The tag appends its path and query, so the first `?` begins the parameters.
    parameters = pairs(hit.partition("?")[2] if hit.startswith("/") else hit.removeprefix("?"))
    columns = zip(reversed(parameters.keys), reversed(parameters.values), strict=True)
    return next((value for key, value in columns if key == "en"), "")
