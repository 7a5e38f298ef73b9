"""`turnout check`, `apply`, `export`: the configuration of sites, sources and destinations."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from turnout.cli.options import Data, Json, settings
from turnout.cli.output import FAILED, complain, exit_codes, fail, print_json, say
from turnout.control import applied, configfile
from turnout.control.handover import WAIT_S, hand_over
from turnout.model.errors import ConfigError


def add(app: typer.Typer) -> None:
    """Register these commands."""
    app.command(epilog=exit_codes("nothing is wrong", "something is"))(check)
    app.command(epilog=exit_codes("applied", "the running server can't use it; what was applied before stays"))(apply)
    app.command(epilog=exit_codes("done", "nothing was applied yet"))(export)


def check(file: Annotated[Path, typer.Argument(help="The configuration file.")], json: Json = False) -> None:
    """Say everything that is wrong with a configuration, each with its path and how to fix it.

    Warnings are for what works but is probably a mistake.
    """
    try:
        snapshot = configfile.load(read(file), os.environ)
    except ConfigError as error:
        if json:
            print_json({"problems": error.problems})
        else:
            for problem in error.problems:
                say(f"{file}: {problem}", "red")
        raise SystemExit(FAILED) from error
    if json:
        print_json({"problems": [], "warnings": snapshot.warnings})
        return
    for warning in snapshot.warnings:
        say(f"{file}: warning: {warning}", "yellow")
    say(
        f"{file}: fine. {len(snapshot.sites)} sites, {len(snapshot.sources)} sources, "
        f"{len(snapshot.destinations)} destinations"
    )


def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The configuration file.")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Check a configuration and give it to the server, which follows within a second."""
    found = settings(data)
    done = hand_over(found.data_dir, read(file), os.environ)
    if json:
        print_json(done)
    if done.refusal:
        fail(f"the running server can't use it, the previous configuration stays: {done.refusal}", FAILED)
    if done.late:
        complain(f"{', '.join(done.late)} did not look at it within {WAIT_S:.0f} s; see `turnout status`", "yellow")
    if not json:
        state = "in use" if done.following else "used at the next start, nothing runs now"
        say(f"applied configuration {done.version}: {state}")


def export(data: Data = None) -> None:
    """Print the applied configuration as it was written, variables unresolved."""
    text = applied.read(settings(data).data_dir)
    if text is None:
        fail("no configuration was applied yet: `turnout apply -f turnout.yaml`", FAILED)
    sys.stdout.write(text)


def read(file: Path) -> str:
    """The text of a file; ends the command if there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"can't read {file}: {error}")
