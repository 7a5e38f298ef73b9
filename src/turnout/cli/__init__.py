"""The command `turnout`. Each module holds the commands of one errand."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Annotated, Protocol

import typer

from turnout.cli import (
    bench,
    configuration,
    dead,
    demo,
    erase,
    events,
    look,
    mcp,
    replay,
    secrets,
    send,
    server,
    spec,
    store,
    token,
    try_,
    user,
    versions,
)
from turnout.cli.output import FAILED, complain, exit_codes, fail, say
from turnout.model.errors import ConfigError, TurnoutError
from turnout.settings import PREFIX, strangers
from turnout.supervisor import SUPERVISED

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Gives options that name no variable of their own one like TURNOUT_TAIL_REJECTED.
    context_settings={"auto_envvar_prefix": PREFIX.rstrip("_")},
    epilog=exit_codes("done", "what you asked about is not as it should be"),
)
for module in (
    server,
    configuration,
    versions,
    replay,
    secrets,
    send,
    events,
    look,
    dead,
    erase,
    try_,
    spec,
    token,
    user,
    mcp,
    store,
    demo,
    bench,
):
    module.add(app)


class _Command(Protocol):
    """As much of a command as its variables take."""

    @property
    def params(self) -> "Sequence[_Parameter]": ...


class _Parameter(Protocol):
    @property
    def name(self) -> str | None: ...

    @property
    def envvar(self) -> str | Sequence[str] | None: ...


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata  # noqa: PLC0415 - slow, and only for this

        say(f"turnout {metadata.version('turnout')}")
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            allow_from_autoenv=False,
            show_envvar=False,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Collects tracking events and delivers them: run the server, and ask it what became of any event.

    Every option can be given as an environment variable too; the help of each command names them.
    """
    known = {SUPERVISED, *variables(context.command, PREFIX.rstrip("_"))}
    for problem in strangers(os.environ, known):
        complain(str(problem), "yellow")


def variables(command: _Command, prefix: str) -> Iterator[str]:
    """The environment variables of a command's options, and of the commands below it."""
    for parameter in command.params:
        named = parameter.envvar
        yield from [named] if isinstance(named, str) else named or [f"{prefix}_{parameter.name}".upper()]
    below: dict[str, _Command] = getattr(command, "commands", {})
    for name, one in below.items():
        yield from variables(one, f"{prefix}_{name}".replace("-", "_"))


def main() -> None:
    """Run the command line; expected errors end with a message instead of a traceback."""
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            complain(str(problem))
        raise SystemExit(2) from error
    except TurnoutError as error:
        fail(str(error))
    except (OSError, sqlite3.Error) as error:
        fail(f"{error} ({type(error).__name__})", FAILED)
