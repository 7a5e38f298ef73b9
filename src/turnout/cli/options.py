"""Options that several commands share, and what they open."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer

from turnout import settings as settings_module
from turnout.app import open_log
from turnout.cli.output import fail
from turnout.log.interface import Log
from turnout.receipts.store import Store
from turnout.settings import Settings

Data = Annotated[
    str | None, typer.Option("--data", envvar="TURNOUT_DATA", help="Data directory; default ./turnout-data.")
]
Json = Annotated[bool, typer.Option("--json", envvar="TURNOUT_JSON", help="JSON on stdout, for machines.")]

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def settings(data: str | None, **options: str | None) -> Settings:
    """Settings from options and environment. Raises `ConfigError`."""
    return settings_module.load(os.environ, data=data, **options)


@contextmanager
def opened(data: str | None) -> Iterator[tuple[Settings, Log, Store]]:
    """The log and receipts of an existing data directory; ends the command if there is none."""
    found = existing(data)
    log, store = open_log(found), Store(found.state_path)
    try:
        yield found, log, store
    finally:
        store.close()
        log.close()


def existing(data: str | None) -> Settings:
    """Settings of a data directory that a server has used; ends the command if it is none."""
    found = settings(data)
    if not found.log_dir.exists():
        fail(f"{found.data_dir} is no data directory of a server: give --data DIR, or start `turnout serve` first")
    return found


def since_ms(text: str | None, now_ms: int, option: str = "--since") -> int:
    """The moment (ms) that `option` names: so long ago, or a date with or without a time; None: always."""
    if text is None:
        return 0
    if match := re.fullmatch(r"(\d{1,9})([smhd])", text):
        return now_ms - int(match[1]) * _UNITS_MS[match[2]]
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        fail(f"{option} {text}: write 90s, 15m, 2h or 3d, or a time like 2026-11-24T08:30")
