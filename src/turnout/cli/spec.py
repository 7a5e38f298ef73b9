"""`turnout spec`: what a site's events must look like, learned from what it sends."""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from turnout.cli.options import Data, Json, existing, opened, since_ms
from turnout.cli.output import FAILED, OK, exit_codes, fail, print_json, progress, say
from turnout.cli.try_event import load, read
from turnout.log.interface import Log
from turnout.model.clock import now_ms
from turnout.model.config import Snapshot
from turnout.model.event import ACCEPTED, ROUTED, Received, decode_received
from turnout.model.specification import Specification
from turnout.specification.written import written

if TYPE_CHECKING:
    from turnout.process.chain import Step, Tally
    from turnout.process.infer import Difference

Site = Annotated[str | None, typer.Option(help="Site id; default: the first one.")]
Config = Annotated[Path | None, typer.Option(help="The configuration file; default: the applied one.")]
Accept = Annotated[bool, typer.Option("--accept", help="Write it into the applied configuration.")]

_PORTION = 1000
_SIGNS = {"event": "+", "property": "+", "type": "~", "optional": "~", "left": "!"}


def add(app: typer.Typer) -> None:
    """Register these commands."""
    commands = typer.Typer(no_args_is_help=True, help="What the events of a site must look like.")
    commands.command(epilog=exit_codes("there is nothing to propose, or it was accepted", "there is a proposal"))(infer)
    commands.command(epilog=exit_codes("done"))(export)
    commands.command("import", epilog=exit_codes("done"))(import_)
    app.add_typer(commands, name="spec", epilog=exit_codes("done", "there is a proposal"))


def infer(
    site: Site = None,
    source: Annotated[str | None, typer.Option(help="Only what this source sent.")] = None,
    since: Annotated[str | None, typer.Option(help="Only what came since: 90s, 15m, 2h, 3d, or a time.")] = None,
    accept: Accept = False,
    config: Config = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Propose a specification that takes all events of a site that are kept, and show how it differs from the present.

    Events are seen as the cleansing rules leave them. Nothing that is declared becomes stricter. Examples are of words
    that come again and again, and never of what may be personal.
    """
    from turnout.process.infer import Observer  # noqa: PLC0415 - the standard catalogue

    snapshot = load(config, data)
    wanted = _site(snapshot, site)
    since_at = since_ms(since, now_ms())
    observer, count = Observer(snapshot.specifications.get(wanted, Specification())), 0
    with opened(data) as (_, log, _store), progress("reading events") as advance:
        for payload in traffic(_received(log), snapshot, wanted, source, since_at):
            observer.see(payload)
            count += 1
            advance(1)
    proposed, differences = observer.propose()
    if json:
        print_json({"events": count, "differences": differences, "specification": written(proposed)})
    else:
        for one in differences:
            say(_line(one), "yellow" if one.change == "left" else "")
        say(f"{count} events seen, {len(differences)} differences")
    if not any(one.change != "left" for one in differences):
        raise SystemExit(OK)
    if not accept:
        if not json:
            say("turnout spec infer --accept writes it into the configuration; --json shows it")
        raise SystemExit(FAILED)
    write(wanted, written(proposed), data, config, "inferred from events")


def export(
    site: Site = None,
    json_schema: Annotated[bool, typer.Option("--json-schema", help="As JSON Schema, for any validator.")] = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Print the specification of a site as the configuration has it, or as JSON Schema."""
    from turnout.specification.jsonschema import exported  # noqa: PLC0415 - the standard catalogue

    snapshot = load(config, data)
    wanted = _site(snapshot, site)
    specification = snapshot.specifications.get(wanted, Specification())
    if json_schema:
        print_json(exported(specification, f"Events of site {wanted}"))
    else:
        _print(written(specification))


def import_(
    file: Annotated[str, typer.Argument(help="A file with JSON Schema; - for standard input.")],
    site: Site = None,
    accept: Accept = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Read a specification from JSON Schema, and print it as the configuration would have it.

    It is what `turnout spec export --json-schema` wrote, or any document with a schema for each event, in which
    `event_name` is a constant. With --accept it takes the place of the site's present specification.
    """
    from turnout.specification.jsonschema import imported  # noqa: PLC0415 - the standard catalogue

    try:
        fields = imported(msgspec.json.decode(read(file), type=dict[str, object]))
    except (ValueError, UnicodeDecodeError, RecursionError) as error:
        fail(f"{file} is no JSON Schema of events: {error}")
    if accept:
        write(_site(load(config, data), site), fields, data, config, "imported from JSON Schema")
    else:
        _print(fields)


def _print(fields: dict[str, object]) -> None:
    from turnout.control.configuration.render import block  # noqa: PLC0415 - YAML

    typer.echo(block({"specification": fields}, 0, "\n") if fields else "specification: {}")


def write(site: str, fields: dict[str, object], data: str | None, config: Path | None, note: str) -> None:
    """Make it the specification of the applied configuration; ends the command if another one was asked about."""
    from turnout.cli import versions  # noqa: PLC0415 - SQLAlchemy

    if config is not None:
        fail("--accept changes the applied configuration: leave --config out, or copy what --json shows")
    path = ("sites", site, "specification")
    with versions.opened(existing(data)) as kept:
        version = kept.edit(versions.author(), "cli", now_ms(), lambda editor: editor.set(path, fields), note=note)
    say(f"accepted: configuration {version.hash}; a running server follows within a second")


def traffic(
    received: Iterable[Received], snapshot: Snapshot, site: str, source: str | None, since_at: int
) -> Iterator[bytes]:
    """The events of a site as they come to its specification: after the cleansing rules, derived ones included."""
    from turnout.process.chain import Draft, Tally  # noqa: PLC0415 - the stages, and only for this

    rules: dict[str, list[Step]] = {}
    tally = Tally()
    for one in received:
        owner, _, name = one.source.partition("/")
        if owner != site or source not in (None, name, one.source):
            continue
        if one.status not in ROUTED or one.received_ms < since_at:
            continue
        if one.source not in rules:
            rules[one.source] = _cleansing(snapshot, one.source, tally)
        derived: list[Received] = []
        draft = Draft(
            msgspec.json.decode(one.payload, type=dict[str, object]), one.source, one.status, (), (),
            one.event_id, one.received_ms, "", derived,
        )  # fmt: skip
        for step in rules[one.source]:
            if draft.status in ROUTED:
                step.run(draft)
        if draft.status in ROUTED:
            yield msgspec.json.encode(draft.event)
        yield from (child.payload for child in derived)


def _cleansing(snapshot: Snapshot, source: str, tally: "Tally") -> "list[Step]":
    from turnout.process.build import chain_in_detail  # noqa: PLC0415

    steps = (step for _, step in chain_in_detail(snapshot, source, tally))
    return list(takewhile(lambda step: step.name == "cleanse", steps))


def _received(log: Log) -> Iterator[Received]:
    visitor = log.subscribe(ACCEPTED, None, 0)
    try:
        end = log.end(ACCEPTED)
        while batches := visitor.fetch(_PORTION):
            for batch in batches:
                if batch.base >= end:
                    return
                yield from map(decode_received, batch.records)
    finally:
        visitor.close()


def _site(snapshot: Snapshot, site: str | None) -> str:
    known = list(dict.fromkeys(source.site for source in snapshot.sources.values()))
    if site is None and known:
        return known[0]
    if site not in known or site is None:
        fail(f"there is no such site; there are {', '.join(known) or 'none'}")
    return site


def _line(one: "Difference") -> str:
    where = f"{one.event}.{one.path}" if one.path else one.event
    share = f"{one.count} of {one.seen}" if one.change != "event" else f"{one.count} events"
    examples = f", such as {', '.join(one.examples)}" if one.examples else ""
    return f"{_SIGNS[one.change]} {where:<32} {one.message} ({share}{examples})"
