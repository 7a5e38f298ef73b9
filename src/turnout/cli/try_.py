"""`turnout try`: what a rule would do, before it is saved."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from turnout.cli.options import Json
from turnout.cli.output import FAILED, complain, errors, exit_codes, fail, print_json, printable
from turnout.cli.try_event import event
from turnout.model import timezone
from turnout.model.clock import now_ms

if TYPE_CHECKING:
    from turnout.formula import Formula, Run


def add(app: typer.Typer) -> None:
    """Register these commands."""
    commands = typer.Typer(no_args_is_help=True, help="See what a rule does, before saving it.")
    commands.command(epilog=exit_codes("evaluated", "a limit was exceeded: there is no value"))(formula)
    commands.command(epilog=exit_codes("a destination would get it", "none would"))(event)
    app.add_typer(commands, name="try", epilog=exit_codes("evaluated", "there is no value"))


def formula(
    text: Annotated[str, typer.Argument(metavar="EXPR", help="The formula, in quotes.")],
    event: Annotated[
        str | None, typer.Option(help="A file with an event as JSON; - for standard input; default: an empty event.")
    ] = None,
    zone: Annotated[
        str, typer.Option(help="Where dates without an offset are meant: a site's time_zone.", metavar="NAME")
    ] = timezone.NAME,
    json: Json = False,
) -> None:
    """Evaluate a formula on an event and print its value as JSON, and on stderr what did not fit.

    With --json the value, the warnings and the formula in its usual writing, as one document.
    """
    from turnout.formula import FAILED as EXCEEDED  # noqa: PLC0415 - the parser, and only for this
    from turnout.formula import Run  # noqa: PLC0415

    if zone not in timezone.known():
        fail(f"{zone} is no time zone: a name of the time-zone database, such as Europe/Paris")
    compiled = _compiled(text)
    run = Run(_event(event) if event else {}, now_ms(), timezone.zone_of(zone))
    value = compiled.value(run)
    if json:
        print_json(_document(compiled, run) | ({} if value is EXCEEDED else {"value": value}))
    else:
        for note in compiled.notes:
            complain(note.message, "yellow")
        for warning in run.warnings.values():
            complain(f"{warning.code}: {warning.message}", "yellow")
        if value is not EXCEEDED:
            print_json(value)
    raise SystemExit(FAILED if value is EXCEEDED else 0)


def _compiled(text: str) -> "Formula":
    from turnout.formula import FormulaError, compile_formula  # noqa: PLC0415

    try:
        return compile_formula(text)
    except FormulaError as error:
        complain(str(error))
        for line in error.pointer().split("\n"):
            errors.print(f"  {printable(line)}", markup=False)
        raise SystemExit(2) from error


def _document(compiled: "Formula", run: "Run") -> dict[str, object]:
    return {
        "formula": compiled.usual,
        "warnings": [one._asdict() for one in run.warnings.values()],
        "notes": [note.message for note in compiled.notes],
    }


def _event(file: str) -> dict[str, object]:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        fail(f"can't read {file}: {error}")
    try:
        event = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fail(f"{file} is not JSON: {error}")
    if not isinstance(event, dict):
        fail(f"{file} is not an event: an event is a JSON object")
    return event
