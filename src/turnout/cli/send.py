"""`turnout send`: one event in, its answer and its outcomes out."""

import http.client
import sys
import time
import uuid
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import SplitResult, urlencode, urlsplit

import msgspec
import typer

from turnout.cli.collector import Key, KeyOption, SiteOption, UrlOption, collector, sources
from turnout.cli.events import as_json, show
from turnout.cli.options import Data, Json, opened, settings
from turnout.cli.output import FAILED, complain, exit_codes, fail, print_json, progress, say
from turnout.log.interface import Log
from turnout.receipts.store import Store
from turnout.receipts.trace import Trace
from turnout.receipts.trace import trace as find_trace

_FOLLOW_S = 10.0
_POST_S = 10.0


class Prepared(NamedTuple):
    """The body to send, and the id to follow it by; "" if it has none that we could know."""

    event_id: str
    body: bytes


def add(app: typer.Typer) -> None:
    """Register this command."""
    failed = "it was refused, or a destination gave it up, or nothing answers"
    app.command(epilog=exit_codes("accepted", failed))(send)


def send(
    file: Annotated[str, typer.Argument(help="A file with one event as JSON; - for standard input.")],
    site: SiteOption = None,
    key: KeyOption = None,
    url: UrlOption = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Send an event, print the answer, then follow the event to its outcomes.

    It is followed in the data directory; without one (the server is elsewhere) the answer is all there is.
    """
    found = settings(data)
    event_id, body = prepare(_read(file))
    source = sources(found, site, key)[0]
    target = urlsplit(collector(found, url))
    earlier = _count(data, event_id) if found.log_dir.exists() else None
    status, answer = _post(target, source, body)
    if not json:
        say(f"{status} {answer}")
    traces: list[Trace] = []
    if status == 200 and event_id and earlier is not None:
        with opened(data) as (_, log, store), progress("following"):
            traces = _follow(log, store, event_id, earlier)
        if not traces:
            complain(f"not found in {found.data_dir}: is it the data directory of that server?", "yellow")
    if json:
        print_json({"status": status, "answer": answer, "traces": [as_json(one) for one in traces]})
    else:
        _show(traces)
    raise SystemExit(0 if status == 200 and not any(map(_failed, traces)) else FAILED)


def prepare(body: bytes) -> Prepared:
    """The event with an id, put in where it has none so that it can be followed. What is no event stays as it is."""
    try:
        event = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Prepared("", body)
    if not isinstance(event, dict):
        return Prepared("", body)
    context = event.get("context")
    for holder in (context, event):
        if isinstance(holder, dict):
            for name in ("event_id", "eventId"):
                if isinstance(holder.get(name), str | int) and holder[name]:
                    return Prepared(str(holder[name]), body)
    if context is not None and not isinstance(context, dict):
        return Prepared("", body)
    event_id = str(uuid.uuid4())
    event["context"] = {**(context or {}), "event_id": event_id}
    return Prepared(event_id, msgspec.json.encode(event))


def _show(traces: list[Trace]) -> None:
    for one in traces:
        show(one)
    if any(not one.settled for one in traces):
        say(
            f"not settled after {_FOLLOW_S:.0f} s; `turnout trace {traces[-1].event_id}` tells how it goes on", "yellow"
        )


def _failed(one: Trace) -> bool:
    return one.status in ("rejected", "invalid_rejected", "failed") or any(
        fate.outcome in ("rejected", "error") for fate in one.destinations
    )


def _count(data: str | None, event_id: str) -> int:
    """How many events have this id already: a file sent twice has the same one."""
    with opened(data) as (_, log, store):
        return len(find_trace(log, store, event_id)) if event_id else 0


def _follow(log: Log, store: Store, event_id: str, earlier: int) -> list[Trace]:
    """Wait until the event is settled at every destination, or for a while; gives what came after `earlier`."""
    deadline = time.monotonic() + _FOLLOW_S
    while True:
        traces = find_trace(log, store, event_id)[earlier:]
        if (traces and all(one.settled for one in traces)) or time.monotonic() > deadline:
            return traces
        time.sleep(0.05)


def _post(target: SplitResult, source: Key, body: bytes) -> tuple[int, str]:
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(target.netloc, timeout=_POST_S)
        try:
            path = f"{target.path.rstrip('/')}/events?{urlencode({'tc_s': source.site, 'token': source.key})}"
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8", "replace")
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        where = f"{target.scheme}://{target.netloc}"
        fail(f"nothing answers as it should at {where}: {error}; is `turnout serve` running?", FAILED)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        fail(f"can't read {file}: {error}")
