"""`turnout trace`, `tail`: looking at events."""

import time
from typing import Annotated

import msgspec
import typer

from turnout.cli.options import Data, Json, opened
from turnout.cli.output import FAILED, exit_codes, fail, print_json, progress, say
from turnout.log.interface import Subscription
from turnout.model.clock import now_ms
from turnout.model.event import ACCEPTED, Reason, Received, decode_received
from turnout.receipts.trace import Fate, Trace
from turnout.receipts.trace import trace as find_trace

_COLOURS = {
    "delivered": "green",
    "rejected": "red",
    "error": "red",
    "pending": "yellow",
    "waiting": "yellow",
    "filtered": "dim",
    "dry_run": "dim",
    "cancelled": "dim",
}
_PORTION = 200


def add(app: typer.Typer) -> None:
    """Register these commands."""
    app.command(epilog=exit_codes("found", "never received, or older than the replay window"))(trace)
    app.command(epilog=exit_codes("ended by Ctrl-C, or at the end without --follow"))(tail)


def trace(
    event_id: Annotated[str, typer.Argument(help="The event's id.")], data: Data = None, json: Json = False
) -> None:
    """Everything that happened to an event: received, verdict and reasons, a line per destination."""
    with opened(data) as (_, log, store), progress("searching"):
        traces = find_trace(log, store, event_id)
    if json:
        print_json([as_json(one) for one in traces])
    else:
        for one in traces:
            show(one)
    if not traces:
        fail(f"no event {event_id!r}: never received, or older than the replay window", FAILED)


def tail(
    rejected: Annotated[bool, typer.Option("--rejected", help="Only what was refused.")] = False,
    source: Annotated[str | None, typer.Option(help='Only this source ("29/shop", or "shop").')] = None,
    last: Annotated[int, typer.Option(min=0, help="Begin this many records ago.")] = 0,
    follow: Annotated[bool, typer.Option(help="Go on with what comes in.")] = True,
    data: Data = None,
    json: Json = False,
) -> None:
    """Live view of what comes in, refused events with their reason. With --json one document per line."""
    with opened(data) as (_, log, _store):
        visitor = log.subscribe(ACCEPTED, None, max(0, log.end(ACCEPTED) - last))
        try:
            while _print_next(visitor, rejected, source, json, follow) or follow:
                pass
        except KeyboardInterrupt:
            return


def _print_next(visitor: Subscription, rejected: bool, source: str | None, json: bool, wait: bool) -> bool:
    """Print what there is next; whether there was anything."""
    batches = visitor.fetch(_PORTION, 0.5 if wait else 0.0)
    for batch in batches:
        for data in batch.records:
            record = decode_received(data)
            if wanted(record, rejected, source):
                _print(record, json)
    return bool(batches)


def wanted(record: Received, rejected: bool, source: str | None) -> bool:
    """Whether a record passes the filters of `tail`."""
    if rejected and record.status != "rejected":
        return False
    return source is None or source in (record.source, record.source.partition("/")[2])


def _print(record: Received, json: bool) -> None:
    if json:
        print_json(
            {
                "received_ms": record.received_ms,
                "event_id": record.event_id,
                "source": record.source,
                "event_name": record.name,
                "status": record.status,
                "reasons": _described(record.reasons),
                "warnings": list(record.warnings),
            }
        )
        return
    why = " ".join(reason.code for reason in record.reasons)
    extra = " ".join(record.warnings)
    when = time.strftime("%H:%M:%S", time.localtime(record.received_ms / 1000))
    parts = (when, record.source or "-", record.status, record.name or "-", record.event_id, why, extra)
    say("  ".join(part for part in parts if part), "red" if why else "")


def as_json(one: Trace) -> dict[str, object]:
    """A trace for machines: what the stream keeps as arrays has names here."""
    location = None if one.location is None else msgspec.structs.asdict(one.location)
    return {**msgspec.structs.asdict(one), "reasons": _described(one.reasons), "location": location}


def _described(reasons: tuple[Reason, ...]) -> list[dict[str, str]]:
    return [{"code": reason.code, "path": reason.path, "message": reason.message} for reason in reasons]


def show(one: Trace) -> None:
    """Print a trace for a person."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.received_ms / 1000))
    say(f"{one.event_id}  {one.event_name or '-'}  from {one.source or 'nobody known'}")
    place = f" (element {one.batch_index} of a batch)" if one.batch_index >= 0 else ""
    by = "a pixel" if one.endpoint == "pixel" else f"/{one.endpoint}"
    say(f"  received   {when}" + (f" by {by}{place}" if one.endpoint else ""))
    if one.location is not None:
        say(f"  location   {' '.join(filter(None, msgspec.structs.astuple(one.location)))}")
    say(f"  status     {one.status if one.processed else 'waiting to be processed'}")
    for reason in one.reasons:
        where = f" at {reason.path}" if reason.path else ""
        say(f"  reason     {reason.code}{where}: {reason.message}")
    for warning in one.warnings:
        say(f"  warning    {warning}")
    if one.derived_from:
        say(f"  derived    from {one.derived_from}")
    for derived in one.derived:
        say(f"  derived    {derived}")
    for fate in one.destinations:
        say(f"  {fate.destination:<20} {_fate(fate)}", _COLOURS.get(fate.outcome, ""))


def _fate(fate: Fate) -> str:
    tries = f", {fate.attempts} attempt{'s' if fate.attempts != 1 else ''}" if fate.attempts else ""
    again = ""
    if fate.next_attempt_ms is not None:
        again = f", next in {max(0, fate.next_attempt_ms - now_ms() + 999) // 1000} s"
    why = f": {fate.reason} {fate.detail}".rstrip() if fate.reason else ""
    return f"{fate.outcome.replace('_', ' ')}{tries}{again}{why}"
