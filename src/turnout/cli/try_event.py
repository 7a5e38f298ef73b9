"""`turnout try event`: an event through the whole pipeline, nothing stored or sent."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from turnout.cli.options import Data, Json, settings
from turnout.cli.output import FAILED, OK, fail, print_json, say
from turnout.model.clock import now_ms
from turnout.model.config import Snapshot, Source
from turnout.model.event import Reason
from turnout.model.trial import ABSENT, State, Trial, Verdict, differences

_CHARACTERS = 100
_COLOURS = {"send": "green", "rejected": "red", "filtered": "dim", "not_offered": "dim", "dry_run": "dim"}


def event(
    file: Annotated[str, typer.Argument(help="A file with an event, or a batch, as JSON; - for standard input.")],
    site: Annotated[str | None, typer.Option(help="Site id; default: the first one.")] = None,
    source: Annotated[str | None, typer.Option(help="The source that sends it; default: the site's first one.")] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration file; default: the applied one.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Show what would become of an event: after every rule and check, and at every destination.

    It is decided by the code that collects, processes and translates. Nothing is stored or sent, and data stores are
    not read.
    """
    from turnout.trial import attempt  # noqa: PLC0415 - all stages, and only for this

    snapshot = load(config, data)
    status, trials = attempt(snapshot, chosen(snapshot, site, source), read(file), now_ms())
    if json:
        print_json({"http_status": status, "events": [_document(one) for one in trials]})
    else:
        say(f"HTTP {status}")
        for one in trials:
            _show(one)
    goes = any(verdict.outcome in ("send", "dry_run") for one in trials for verdict in one.destinations)
    raise SystemExit(OK if goes else FAILED)


def load(config: Path | None, data: str | None) -> Snapshot:
    """The configuration in a file, or the applied one. Raises `ConfigError`; ends the command if there is none."""
    from turnout.control import applied, configfile  # noqa: PLC0415
    from turnout.control.configuration.secrets import Secrets  # noqa: PLC0415

    found = settings(data)
    try:
        text = applied.read(found.data_dir) if config is None else config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"can't read {config or found.data_dir}: {error}")
    if text is None:
        fail("no configuration was applied yet: give --config FILE")
    return configfile.load(text, os.environ, Secrets(found.secret_key_path))


def chosen(snapshot: Snapshot, site: str | None, source: str | None) -> Source:
    """The source that is meant; ends the command if there is none."""
    meant = (
        one for one in snapshot.sources.values() if site in (None, one.site) and source in (None, one.name, one.ref)
    )
    found = next(meant, None)
    if found is None:
        fail(f"there is no such source; there are {', '.join(snapshot.sources) or 'none'}")
    return found


def read(file: str) -> bytes:
    """A file, or standard input."""
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        fail(f"can't read {file}: {error}")


def _document(one: Trial) -> dict[str, object]:
    """A trial for machines: what the stream keeps as arrays has names here."""
    states = [{**msgspec.structs.asdict(state), "reasons": _named(state.reasons)} for state in one.states]
    return {**msgspec.structs.asdict(one), "reasons": _named(one.reasons), "states": states}


def _named(reasons: list[Reason]) -> list[dict[str, str]]:
    return [msgspec.structs.asdict(reason) for reason in reasons]


def _show(one: Trial) -> None:
    parent = f"  derived from {one.derived_from}" if one.derived_from else ""
    say(f"{one.event_id}  {one.event_name or '-'}{parent}")
    if one.received is None:
        _tell(one.status, one.reasons, one.warnings)
        return
    before: object = one.received
    say(f"  received   {_short(before)}")
    for state in one.states:
        _show_state(state, before)
        before = before if state.event is None else state.event
    say(f"  status     {one.status}", "" if one.event is not None else "red")
    for verdict in one.destinations:
        _show_verdict(verdict)


def _show_state(state: State, before: object) -> None:
    if state.rule and not state.applied:
        say(f"  {state.step:<10} {state.rule}: does not apply", "dim")
        return
    nothing = "" if state.rule or state.event is not None or state.reasons else ": nothing to say"
    say(f"  {state.step:<10} {state.rule or state.status}{nothing}")
    for path, old, new in changes(before, state.event) if state.event is not None else ():
        if not path.startswith("context.dataquality"):
            # The reasons say the same.
            say(f"             {path}: {old} → {new}")
    for reason in state.reasons:
        where = f" at {reason.path}" if reason.path else ""
        say(f"             {reason.code}{where}: {reason.message}", "yellow")
    for warning in state.warnings:
        say(f"             warning {warning}", "yellow")


def _tell(status: str, reasons: list[Reason], warnings: list[str]) -> None:
    say(f"  status     {status}", "red")
    for reason in reasons:
        where = f" at {reason.path}" if reason.path else ""
        say(f"  reason     {reason.code}{where}: {reason.message}")
    for warning in warnings:
        say(f"  warning    {warning}")


def _show_verdict(verdict: Verdict) -> None:
    why = "the source is not linked" if not verdict.linked else f"{verdict.reason} {verdict.detail}".strip()
    say(
        f"  {verdict.destination:<20} {verdict.outcome.replace('_', ' ')}" + (f": {why}" if why else ""),
        _COLOURS.get(verdict.outcome, ""),
    )
    if verdict.required and verdict.linked:
        given = ", ".join(verdict.given) or "nothing"
        say(f"    consent            requires {verdict.mode} of {', '.join(verdict.required)}; given {given}")
    if verdict.filter and verdict.linked:
        say(f"    filter             {verdict.filter}")
    if verdict.event is not None:
        say(f"    mapped             {_short(verdict.event)}")
    if verdict.request is not None:
        say(f"    request            {verdict.request.method} {verdict.request.url}")
        say(f"    body               {verdict.request.body}")


def changes(before: object, after: object) -> Iterator[tuple[str, str, str]]:
    """What differs between two JSON values: path, the old and the new value as short JSON, `-` for none."""
    for path, old, new in differences(before, after):
        yield path, _short(old), _short(new)


def _short(value: object) -> str:
    if value is ABSENT:
        return "-"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"
