"""Options that several commands share, and what they open."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from turnout import settings as settings_module
from turnout.app import open_log
from turnout.cli.output import fail
from turnout.log.interface import Log
from turnout.receipts.store import Store
from turnout.settings import Settings

Data = Annotated[str | None, typer.Option("--data", help="Data directory (TURNOUT_DATA; default ./turnout-data).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")]


def settings(data: str | None, **options: str | None) -> Settings:
    """Settings from options and environment. Raises `ConfigError`."""
    return settings_module.load(os.environ, data=data, **options)


@contextmanager
def opened(data: str | None) -> Iterator[tuple[Settings, Log, Store]]:
    """The log and receipts of an existing data directory; ends the command if there is none."""
    found = settings(data)
    if not found.log_dir.exists():
        fail(f"{found.data_dir} is no data directory of a server: give --data DIR, or start `turnout serve` first")
    log, store = open_log(found), Store(found.state_path)
    try:
        yield found, log, store
    finally:
        store.close()
        log.close()
