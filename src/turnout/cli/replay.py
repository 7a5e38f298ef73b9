"""`turnout replay`: real history through a draft of the configuration, to see what it would change."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from turnout.cli.options import Data, Json, opened, since_ms
from turnout.cli.output import cell, console, exit_codes, fail, print_json, progress, say
from turnout.cli.try_event import load
from turnout.log.interface import Log
from turnout.model.clock import now_ms
from turnout.model.event import ACCEPTED, Received, decode_received

_FETCHED = 1_000
_DAY_MS = 86_400_000


class Report(msgspec.Struct):
    """How many events were looked at, how many a draft would change, and in which ways."""

    events: int = 0
    changed: int = 0
    changes: Counter[str] = msgspec.field(default_factory=Counter)


def add(app: typer.Typer) -> None:
    """Register this command."""
    app.command(epilog=exit_codes("compared, whether or not anything would change"))(replay)


def replay(
    config: Annotated[Path, typer.Option(help="The draft: a configuration file that is not applied.")],
    to: Annotated[Path | None, typer.Option(help="Write every change to this file, one JSON object per line.")] = None,
    from_time: Annotated[
        str | None, typer.Option("--from", help="Events received since: 90s, 15m, 2h, 3d or a time; default: 1d.")
    ] = None,
    to_time: Annotated[str | None, typer.Option(help="And before; default: now.")] = None,
    site: Annotated[str | None, typer.Option(help="Events of this site alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Look at so many events at most, the oldest first.")] = 100_000,
    data: Data = None,
    json: Json = False,
) -> None:
    """Run recorded events through a draft of the configuration, and tell what it would change. Nothing is sent.

    Each event that is still kept in this span goes through the applied configuration and through the draft. Data
    stores and APIs of enrichments are read for neither.
    """
    from turnout.rerun import Rerun, changes  # noqa: PLC0415 - all stages, and only for this

    now = now_ms()
    first = since_ms(from_time, now, "--from") if from_time else now - _DAY_MS
    last = since_ms(to_time, now, "--to-time") if to_time else now
    before, after = Rerun(load(None, data)), Rerun(load(config, data))
    report = Report()
    with opened(data) as (_, log, _), progress("replaying") as advance, _Lines(to) as lines:
        for received in _history(log, first, last, site, limit):
            report.events += 1
            found = list(changes(before, after, received))
            report.changed += bool(found)
            for change in found:
                report.changes.update(change.kinds)
                lines.write(change)
            advance(1)
    if json:
        print_json(report)
        return
    say(f"{report.events:,} events, {report.changed:,} would change")
    table = Table("what would change", "events", box=None)
    for what, n in report.changes.most_common():
        table.add_row(cell(what), f"{n:,}")
    if report.changes:
        console.print(table)


class _Lines:
    """A file of JSON lines, or nowhere."""

    def __init__(self, path: Path | None) -> None:
        try:
            self._file = path.open("wb") if path is not None else None
        except OSError as error:
            fail(f"can't write {path}: {error}")

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, value: msgspec.Struct) -> None:
        if self._file is not None:
            self._file.write(msgspec.json.encode(value) + b"\n")


def _history(log: Log, since: int, until: int, site: str | None, limit: int) -> Iterator[Received]:
    """Recorded events received in this span, the oldest first."""
    reader = log.subscribe(ACCEPTED, None)
    found = 0
    try:
        while found < limit and (batches := reader.fetch(_FETCHED)):
            for batch in batches:
                # Whatever is in it was received before it was appended.
                for record in batch.records if batch.appended_ms >= since else ():
                    received = decode_received(record)
                    fits = site is None or received.source.partition("/")[0] == site
                    if fits and since <= received.received_ms < until and found < limit:
                        found += 1
                        yield received
    finally:
        reader.close()
