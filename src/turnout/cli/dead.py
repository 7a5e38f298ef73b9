"""`turnout dead list` and `turnout dead replay`: events that were given up or refused by their destination."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, NamedTuple

import msgspec
import typer

from turnout.cli.options import Data, Json, opened, since_ms
from turnout.cli.output import exit_codes, fail, print_json, progress, say
from turnout.model.clock import now_ms
from turnout.receipts.records import DeadLetter
from turnout.receipts.store import Store

_CHUNK = 500

Destination = Annotated[str | None, typer.Option(help='Only this destination ("29/orders", or "orders").')]
Since = Annotated[str | None, typer.Option(help="Only what died in the last 90s, 15m, 2h or 3d, or since a date.")]
Reason = Annotated[str | None, typer.Option(help="Only this reason, for example 502_bad_gateway.")]


class _Line(msgspec.Struct, frozen=True):
    """A dead letter as it is listed: without the event itself."""

    destination: str
    event_id: str
    event_name: str
    reason: str
    detail: str
    attempts: int
    died_ms: int

    @classmethod
    def of(cls, destination: str, one: DeadLetter) -> "_Line":
        return cls(destination, one.event_id, one.name, one.reason, one.detail, one.attempts, one.died_ms)


class _Selection(NamedTuple):
    """Which dead letters are meant. What dies after `until_ms` is not: a replay must come to an end."""

    destinations: dict[str, int]
    since_ms: int
    until_ms: int
    reason: str | None

    def letters(self, store: Store, ref: str) -> Iterator[DeadLetter]:
        """Those of one destination, the oldest first."""
        return store.dead_letters(self.destinations[ref], self.since_ms, self.until_ms, self.reason)

    def count(self, store: Store) -> int:
        """How many there are."""
        return sum(1 for ref in self.destinations for _ in self.letters(store, ref))


def add(app: typer.Typer) -> None:
    """Register these commands."""
    commands = typer.Typer(no_args_is_help=True, help="Events that were given up, kept for replay.")
    commands.command("list", epilog=exit_codes("done, also when there are none"))(show)
    commands.command(epilog=exit_codes("done, also when there are none"))(replay)
    app.add_typer(commands, name="dead")


def show(
    destination: Destination = None, since: Since = None, reason: Reason = None, data: Data = None, json: Json = False
) -> None:
    """List dead letters."""
    with opened(data) as (_, _log, store):
        chosen = _select(store, destination, since, reason)
        lines = (_Line.of(ref, letter) for ref in chosen.destinations for letter in chosen.letters(store, ref))
        if json:
            print_json(list(lines))
            return
        count = 0
        for count, line in enumerate(lines, 1):  # noqa: B007 - counts
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.died_ms / 1000))
            text = f"{when}  {line.destination}  {line.event_id}  {line.event_name}  {line.reason} {line.detail}"
            say(text.rstrip())
    say(f"{count} dead letters")


def replay(
    destination: Destination = None,
    since: Since = None,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Try dead letters again, with the destination as it is configured now."""
    with opened(data) as (_, _log, store):
        chosen = _select(store, destination, since, reason)
        with progress("counting"):
            count = chosen.count(store)
        moved = 0
        if not dry_run:
            with progress("replaying", count) as advance:
                for ref, number in chosen.destinations.items():
                    letters = chosen.letters(store, ref)
                    while chunk := list(islice(letters, _CHUNK)):
                        moved += store.replay(number, chunk, now_ms())
                        advance(len(chunk))
    if json:
        print_json({"found": count, "replayed": moved})
    else:
        say(f"{count} dead letters would be tried again" if dry_run else f"{moved} dead letters are tried again")


def _select(store: Store, destination: str | None, since: str | None, reason: str | None) -> _Selection:
    """What the options mean; ends the command if they mean nothing."""
    known = {ref: number for ref, (number, _) in sorted(store.destinations().items())}
    chosen = {ref: number for ref, number in known.items() if destination in (None, ref, ref.partition("/")[2])}
    if destination is not None and not chosen:
        fail(f"there is no destination {destination!r}; known: {', '.join(known) or 'none'}")
    now = now_ms()
    return _Selection(chosen, since_ms(since, now), now, reason)
