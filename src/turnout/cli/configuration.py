"""`turnout check`, `apply`, `export`, `diff`: the configuration of sites, sources and destinations."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from turnout.cli.options import Data, Json, settings
from turnout.cli.output import FAILED, complain, exit_codes, fail, print_json, say
from turnout.cli.versions import author, given, opened
from turnout.control import applied, configfile
from turnout.control.configuration import difference
from turnout.control.configuration.secrets import Secrets
from turnout.control.handover import WAIT_S, Handover, hand_over
from turnout.model.clock import now_ms
from turnout.model.errors import ConfigError, ConfigRefusedError
from turnout.settings import Settings

if TYPE_CHECKING:
    from turnout.control.configuration.seal import Sealed


def add(app: typer.Typer) -> None:
    """Register these commands."""
    app.command(epilog=exit_codes("nothing is wrong", "something is"))(check)
    app.command(epilog=exit_codes("applied", "the running server can't use it; what was applied before stays"))(apply)
    app.command(epilog=exit_codes("done", "nothing was applied yet, or there is no such version"))(export)
    app.command(epilog=exit_codes("there is no difference", "there is one"))(diff)


def check(
    file: Annotated[Path, typer.Argument(help="The configuration file.")], data: Data = None, json: Json = False
) -> None:
    """Say everything that is wrong with a configuration, each with its path and how to fix it.

    Warnings are for what works but is probably a mistake.
    """
    try:
        snapshot = configfile.load(read(file), os.environ, Secrets(settings(data).secret_key_path))
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
    note: Annotated[str, typer.Option(help="What it is for: it is shown by `turnout history`.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Check a configuration and give it to the server, which follows within a second.

    Secrets that stand in it in clear are sealed; your file stays as it is.
    """
    found = settings(data)
    text = read(file)
    if dry_run:
        _show_difference(applied.read(found.data_dir) or "", _sealed(found, text, make=False).text, str(file), json)
        return
    ready = _sealed(found, text, make=True)
    handed: list[Handover] = []

    def settle(version: str) -> str:
        handed.append(hand_over(found.data_dir, version))
        return handed[-1].refusal

    with opened(found) as versions:
        try:
            version = versions.apply(ready.text, author(), "cli", now_ms(), note=note, settle=settle)
        except ConfigRefusedError as error:
            if json:
                print_json(handed[-1])
            fail(f"the running server can't use it, the previous configuration stays: {error}", FAILED)
    done = handed[-1] if handed else hand_over(found.data_dir, version.hash)
    if json:
        print_json({**msgspec.to_builtins(done), "number": version.number, "sealed": ready.count})
    if done.late:
        complain(f"{', '.join(done.late)} did not look at it within {WAIT_S:.0f} s; see `turnout status`", "yellow")
    if not json:
        if ready.count:
            say(f"secrets sealed with the key in {found.secret_key_path}: {ready.count}")
        state = "in use" if done.following else "used at the next start, nothing runs now"
        say(f"applied configuration {done.version}: {state}")


def export(
    version: Annotated[int | None, typer.Option(min=1, help="An earlier version, see `turnout history`.")] = None,
    data: Data = None,
) -> None:
    """Print the applied configuration to the byte: variables unresolved, secrets sealed."""
    found = settings(data)
    text = given(found, version).text if version is not None else applied.read(found.data_dir)
    if text is None:
        fail("no configuration was applied yet: `turnout apply -f turnout.yaml`", FAILED)
    sys.stdout.buffer.write(text.encode())


def diff(
    file: Annotated[Path | None, typer.Argument(help="The configuration file; default: what is applied.")] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Compare with this version; default: what is applied.")
    ] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Say what a file changes, or what was changed since a version. Secrets are not shown."""
    if file is None and version is None:
        fail("compare what? give a FILE, or --version N, or both")
    found = settings(data)
    before = given(found, version).text if version is not None else applied.read(found.data_dir) or ""
    after = _sealed(found, read(file), make=False).text if file is not None else applied.read(found.data_dir) or ""
    if _show_difference(before, after, str(file or "applied"), json):
        raise SystemExit(FAILED)


def read(file: Path) -> str:
    """The text of a file, to the byte; ends the command if there is none."""
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"can't read {file}: {error}")


def _sealed(found: Settings, text: str, make: bool) -> "Sealed":
    """What would be applied. `make`: whether a missing key file is made. Raises `ConfigError`, `SecretError`."""
    from turnout.control.configuration import seal  # noqa: PLC0415 - only for what is to be applied

    return seal.sealed(text, os.environ, Secrets(found.secret_key_path, make=make))


def _show_difference(before: str, after: str, name: str, json: bool) -> bool:
    """Print what differs; whether anything does."""
    text = difference.lines(before, after, ("before", name))
    if json:
        print_json({"differs": bool(text), "changes": difference.changes(before, after)})
    else:
        for line in text.splitlines():
            say(line, {"+": "green", "-": "red"}.get(line[:1], ""))
    return bool(text)
