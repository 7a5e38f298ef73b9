"""`turnout store`: data stores that enrichments read, filled from files and counted."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from turnout.cli.options import Data, Json, existing
from turnout.cli.output import FAILED, cell, complain, console, exit_codes, fail, print_json, progress, say
from turnout.control.applied import Watcher
from turnout.control.configuration.secrets import Secrets
from turnout.model.clock import now_ms
from turnout.model.config import Snapshot
from turnout.model.enrichment import DataStore
from turnout.process.enrichment.pick import holders, key_of
from turnout.process.enrichment.shelf import Shelf
from turnout.settings import Settings

_PORTION = 1_000

commands = typer.Typer(no_args_is_help=True, help="Data stores that enrichments read.")


def add(app: typer.Typer) -> None:
    """Register these commands."""
    app.add_typer(commands, name="store")


@commands.command(epilog=exit_codes("all lines kept", "some lines could not be kept"))
def fill(
    store: Annotated[str, typer.Argument(help="The store, as the configuration names it.")],
    file: Annotated[str, typer.Argument(help="One JSON object per line; - for standard input.")],
    site: Annotated[
        str | None, typer.Option(envvar="TURNOUT_SITE", help="Site id; needed if there are several.")
    ] = None,
    data: Data = None,
) -> None:
    """Put every line of a file into a store, under the key that the store names: a product catalogue, say.

    What was there under the same key is replaced. A running server sees it at once.
    """
    found = existing(data)
    target = _store(_snapshot(found), site, store)
    kept = 0
    wrong: list[str] = []
    with closing(_shelf(found)) as shelf, progress("filling") as advance:
        for number, line in enumerate(_lines(file), 1):
            key = _key(line, target.key)
            if key is None:
                wrong.append(f"line {number}: no JSON object with a value at {target.key}")
            else:
                shelf.put(target.ref, key, line, now_ms(), target.keep_ms)
                kept += 1
            if number % _PORTION == 0:
                shelf.flush(now_ms())
                advance(_PORTION)
        shelf.flush(now_ms())
    for problem in wrong[:20]:
        complain(problem)
    say(f"{kept} kept in {target.ref}, {len(wrong)} not")
    raise SystemExit(FAILED if wrong else 0)


@commands.command("list", epilog=exit_codes("done"))
def list_stores(data: Data = None, json: Json = False) -> None:
    """How many entries each store has now."""
    found = existing(data)
    with closing(_shelf(found)) as shelf:
        sizes = shelf.sizes(now_ms()) if found.stores_path.exists() else {}
    entries = {ref: sizes.get(ref, 0) for ref in sorted({*_snapshot(found).stores, *sizes})}
    if json:
        print_json(entries)
        return
    table = Table("store", "entries", box=None)
    for ref, n in entries.items():
        table.add_row(cell(ref), f"{n:,}")
    console.print(table)


def _snapshot(found: Settings) -> Snapshot:
    watcher = Watcher(found.data_dir, os.environ, Secrets(found.secret_key_path))
    watcher.refresh()
    return watcher.snapshot


def _shelf(found: Settings) -> Shelf:
    return Shelf(found.stores_path, Secrets(found.secret_key_path))


def _store(snapshot: Snapshot, site: str | None, name: str) -> DataStore:
    fitting = [one for one in snapshot.stores.values() if one.name == name and site in (None, one.site)]
    if not fitting:
        fail(f"there is no store {name!r}; configured: {', '.join(snapshot.stores) or 'none'}")
    if len(fitting) > 1:
        fail(f"several sites have a store {name!r}: name one with --site")
    return fitting[0]


def _lines(file: str) -> Iterator[bytes]:
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as lines:
            yield from (line.strip() for line in lines if line.strip())
    except OSError as error:
        fail(f"can't read {file}: {error}")


def _key(line: bytes, path: str) -> str | None:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    names = path.split(".")
    holder = next(holders(value, names), None) if isinstance(value, dict) else None
    return key_of(holder.value, names[-1]) if holder is not None else None
