"""`turnout encrypt`, `secrets rotate`: secrets that are kept in files."""

import sys

import typer

from turnout.cli.options import Data, Json, settings
from turnout.cli.output import complain, exit_codes, fail, print_json, say
from turnout.cli.versions import author, existing, opened
from turnout.control.configuration.secrets import Secrets
from turnout.model.clock import now_ms


def add(app: typer.Typer) -> None:
    """Register these commands."""
    app.command(epilog=exit_codes("done"))(encrypt)
    commands = typer.Typer(no_args_is_help=True, help="The key of the configuration's secrets.")
    commands.command(epilog=exit_codes("done"))(rotate)
    app.add_typer(commands, name="secrets")


def encrypt(data: Data = None, json: Json = False) -> None:
    """Seal a secret from standard input: print what to write in its place.

    The result may be kept in git: only this server's key file opens it.
    """
    found = settings(data)
    if sys.stdin.isatty():
        complain("type the secret, then Ctrl-D", "")
    try:
        text = sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        fail("a secret must be text in UTF-8")
    if not text:
        fail("there is no secret on standard input")
    token = Secrets(found.secret_key_path).seal(text)
    if json:
        print_json({"secret": token})
    else:
        say(token)


def rotate(data: Data = None, json: Json = False) -> None:
    """Make a new key and seal the secrets of the applied configuration with it.

    The old key stays in the file: earlier versions, and your own files, need it.
    """
    found = existing(data)
    with opened(found) as versions:
        key, version = versions.rotate(author(), "cli", now_ms())
    applied = version.hash if version is not None else None
    if json:
        print_json({"key": key, "version": applied})
        return
    say(f"the key {key} in {found.secret_key_path} seals secrets from now on")
    if applied is not None:
        say(f"applied configuration {applied}")
