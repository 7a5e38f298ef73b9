"""`turnout send`, `trace`, `tail`: following events."""

import http.client
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode, urlsplit

import msgspec
import typer

from turnout.cli.options import Data, Json, opened, settings
from turnout.cli.output import FAILED, console, fail, print_json
from turnout.control.applied import Watcher
from turnout.log.interface import Log
from turnout.model.event import ACCEPTED, Received, decode_received
from turnout.receipts.store import Store
from turnout.receipts.trace import Trace
from turnout.receipts.trace import trace as find_trace

_FOLLOW_S = 10.0
_COLOURS = {"delivered": "green", "rejected": "red", "error": "red", "pending": "yellow", "filtered": "dim"}


def add(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(send)
    app.command()(trace)
    app.command()(tail)


def send(
    file: Annotated[str, typer.Argument(help="A file with one event as JSON; - for standard input.")],
    site: Annotated[str | None, typer.Option(help="Site id; default: the first configured source's.")] = None,
    key: Annotated[str | None, typer.Option(help="Source key; default: the first configured source's.")] = None,
    url: Annotated[str | None, typer.Option(help="The collector; default: TURNOUT_COLLECT.")] = None,
    data: Data = None,
) -> None:
    """Send an event, print the answer, then follow the event to its outcomes. Exit 1 unless it was accepted."""
    found = settings(data)
    body = sys.stdin.buffer.read() if file == "-" else _read(Path(file))
    site, key = _credentials(found.data_dir, site, key)
    event_id, body = _give_id(body)
    status, answer = _post(url or f"http://{found.collect}", f"/events?{urlencode({'tc_s': site, 'token': key})}", body)
    console.print(f"{status} {answer}", markup=False)
    if status != 200:
        raise SystemExit(FAILED)
    if not event_id or not found.log_dir.exists():
        return
    with opened(data) as (_, log, store):
        traces = _follow(log, store, event_id)
    for one in traces:
        _show(one)
    if not traces or traces[-1].status in ("rejected", "failed"):
        raise SystemExit(FAILED)


def trace(
    event_id: Annotated[str, typer.Argument(help="The event's id.")], data: Data = None, json: Json = False
) -> None:
    """Everything that happened to an event. Exit 1 if there is none with this id."""
    with opened(data) as (_, log, store):
        traces = find_trace(log, store, event_id)
    if json:
        print_json(traces)
    for one in traces if not json else ():
        _show(one)
    if not traces:
        fail(f"no event {event_id!r}: never received, or older than the replay window", FAILED)


def tail(
    rejected: Annotated[bool, typer.Option("--rejected", help="Only what was refused.")] = False,
    source: Annotated[str | None, typer.Option(help='Only this source ("29/shop", or "shop").')] = None,
    last: Annotated[int, typer.Option(help="Begin this many records ago.")] = 0,
    follow: Annotated[bool, typer.Option(help="Go on with what comes in.")] = True,
    data: Data = None,
    json: Json = False,
) -> None:
    """Live view of what comes in, refused events with their reason. Ends with Ctrl-C."""
    with opened(data) as (_, log, _store):
        visitor = log.subscribe(ACCEPTED, None, max(0, log.end(ACCEPTED) - last))
        try:
            while (batches := visitor.fetch(200, 0.5 if follow else 0.0)) or follow:
                for batch in batches:
                    for data_ in batch.records:
                        record = decode_received(data_)
                        if _wanted(record, rejected, source):
                            _line(record, json)
        except KeyboardInterrupt:
            return


def _wanted(record: Received, rejected: bool, source: str | None) -> bool:
    if rejected and record.status != "rejected":
        return False
    return source is None or record.source == source or record.source.partition("/")[2] == source


def _line(record: Received, json: bool) -> None:
    if json:
        print_json(
            {
                "received_ms": record.received_ms,
                "event_id": record.event_id,
                "source": record.source,
                "event_name": record.name,
                "status": record.status,
                "reasons": msgspec.to_builtins(record.reasons),
                "warnings": list(record.warnings),
            }
        )
        return
    why = " ".join(_code(reason.code, reason.path, record.status) for reason in record.reasons)
    extra = " ".join(record.warnings)
    when = time.strftime("%H:%M:%S", time.localtime(record.received_ms / 1000))
    parts = (when, record.source or "-", record.status, record.name or "-", record.event_id, why, extra)
    console.print("  ".join(part for part in parts if part), markup=False, style="red" if why else "")


def _code(code: str, path: str, status: str) -> str:
    return f"{code}:{path}" if path and status != "rejected" else code


def _show(one: Trace) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.received_ms / 1000))
    console.print(f"{one.event_id}  {one.event_name or '-'}  from {one.source or 'nobody known'}", markup=False)
    place = f" (element {one.batch_index} of a batch)" if one.batch_index >= 0 else ""
    console.print(f"  received   {when} by /{one.endpoint}{place}", markup=False)
    console.print(
        f"  status     {one.status if one.processed else one.status + ', waiting to be processed'}", markup=False
    )
    for reason in one.reasons:
        where = f" at {reason.path}" if reason.path else ""
        console.print(f"  reason     {reason.code}{where}: {reason.message}", markup=False)
    for warning in one.warnings:
        console.print(f"  warning    {warning}", markup=False)
    for fate in one.destinations:
        tries = f", {fate.attempts} attempt{'s' if fate.attempts != 1 else ''}" if fate.attempts else ""
        why = f": {fate.reason} {fate.detail}".rstrip() if fate.reason else ""
        console.print(
            f"  {fate.destination:<20} {fate.outcome}{tries}{why}", markup=False, style=_COLOURS.get(fate.outcome, "")
        )


def _follow(log: Log, store: Store, event_id: str) -> list[Trace]:
    """Wait until the event is settled at every destination, or for a while."""
    deadline = time.monotonic() + _FOLLOW_S
    while True:
        traces = find_trace(log, store, event_id)
        if (traces and all(one.settled for one in traces)) or time.monotonic() > deadline:
            return traces
        time.sleep(0.05)


def _give_id(body: bytes) -> tuple[str, bytes]:
    """The event's id, put in where it has none so that it can be followed; "" for what is not an event."""
    try:
        event = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", body
    if not isinstance(event, dict):
        return "", body
    context = event.get("context")
    for holder in (context, event):
        if isinstance(holder, dict):
            for name in ("event_id", "eventId"):
                if isinstance(holder.get(name), str | int) and holder[name]:
                    return str(holder[name]), body
    if isinstance(context, dict) or context is None:
        event_id = str(uuid.uuid4())
        event["context"] = {**(context or {}), "event_id": event_id}
        return event_id, msgspec.json.encode(event)
    return "", body


def _credentials(data_dir: Path, site: str | None, key: str | None) -> tuple[str, str]:
    if site and key:
        return site, key
    watcher = Watcher(data_dir, os.environ)
    watcher.refresh()
    active = [source for source in watcher.snapshot.sources.values() if source.status == "active"]
    fitting = [source for source in active if site in (None, source.site) and key in (None, source.key)]
    if not fitting:
        fail("give --site and --key: no configured source fits")
    return fitting[0].site, fitting[0].key


def _post(url: str, path: str, body: bytes) -> tuple[int, str]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=10)
    try:
        connection.request("POST", parts.path.rstrip("/") + path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except OSError as error:
        fail(f"nothing answers at {url}: {error}; is `turnout serve` running?")
    finally:
        connection.close()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fail(f"can't read {path}: {error}")
