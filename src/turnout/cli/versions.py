"""`turnout history`, `restore`: earlier versions of the configuration."""

import getpass
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from turnout.cli.options import Data, Json, settings
from turnout.cli.output import FAILED, cell, console, exit_codes, fail, print_json, say
from turnout.control.configuration.secrets import Secrets
from turnout.control.handover import hand_over
from turnout.model.clock import now_ms
from turnout.model.errors import ConfigRefusedError
from turnout.settings import Settings

if TYPE_CHECKING:
    from turnout.control.configuration.store import Configurations, Version


def add(app: typer.Typer) -> None:
    """Register these commands."""
    app.command(epilog=exit_codes("done, also when there are none"))(history)
    app.command(epilog=exit_codes("applied again", "there is no such version, or the running server can't use it"))(
        restore
    )


def history(
    last: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    data: Data = None,
    json: Json = False,
) -> None:
    """List the versions of the configuration: who made each, when and what for."""
    with opened(existing(data)) as versions:
        known = versions.history(last)
    if json:
        print_json([_as_json(one) for one in known])
        return
    table = Table("version", "time", "by", "from", "configuration", "note", box=None)
    for one in known:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at_ms / 1000))
        table.add_row(*(cell(value) for value in (one.number, when, one.author, one.origin, one.hash, one.note)))
    console.print(table)


def restore(
    number: Annotated[int, typer.Argument(min=1, help="The version, as `turnout history` shows it.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Apply an earlier version again. It becomes the newest one; nothing is taken out of the history."""
    found = existing(data)
    given(found, number)
    with opened(found) as versions:
        try:
            version = versions.restore(
                number, author(), "cli", now_ms(), settle=lambda it: hand_over(found.data_dir, it).refusal
            )
        except ConfigRefusedError as error:
            fail(f"the running server can't use it, the present configuration stays: {error}", FAILED)
    if json:
        print_json(_as_json(version))
    else:
        say(f"applied configuration {version.hash} again, as version {version.number}")


def author() -> str:
    """Who gives this command."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"


@contextmanager
def opened(found: Settings) -> "Iterator[Configurations]":
    """The versions of a data directory."""
    from turnout.control.access.database import Database  # noqa: PLC0415 - SQLAlchemy
    from turnout.control.configuration.store import Configurations  # noqa: PLC0415

    database = Database.of(found.data_dir)
    try:
        yield Configurations(found.data_dir, database, os.environ, Secrets(found.secret_key_path))
    finally:
        database.close()


def existing(data: str | None) -> Settings:
    """Settings of a data directory that is there; ends the command if it is not."""
    found = settings(data)
    if not found.data_dir.exists():
        fail(f"there is no data directory {found.data_dir}: give --data DIR")
    return found


def given(found: Settings, number: int) -> "Version":
    """This version; ends the command if there is none."""
    version = None
    if found.data_dir.exists():
        with opened(found) as versions:
            version = versions.version(number)
    if version is None:
        fail(f"there is no version {number}; see `turnout history`", FAILED)
    return version


def _as_json(one: "Version") -> dict[str, object]:
    return {
        "number": one.number,
        "at_ms": one.at_ms,
        "author": one.author,
        "origin": one.origin,
        "note": one.note,
        "version": one.hash,
    }
