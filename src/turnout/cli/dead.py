"""`turnout dead list` and `turnout dead replay`: events that were given up or refused by their destination."""

import re
import time
from typing import Annotated

import typer

from turnout.cli.options import Data, Json, opened
from turnout.cli.output import console, fail, print_json
from turnout.model.clock import now_ms
from turnout.receipts.store import DeadLetter, Store

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_CHUNK = 500

Destination = Annotated[str | None, typer.Option(help='Only this destination ("29/orders", or "orders").')]
Since = Annotated[str | None, typer.Option(help="Only what died in the last 90s, 15m, 2h or 3d.")]
Reason = Annotated[str | None, typer.Option(help="Only this reason, for example 502_bad_gateway.")]


def add(app: typer.Typer) -> None:
    """Register these commands."""
    commands = typer.Typer(no_args_is_help=True, help="Events that were given up, kept for replay.")
    commands.command("list")(show)
    commands.command()(replay)
    app.add_typer(commands, name="dead")


def show(
    destination: Destination = None, since: Since = None, reason: Reason = None, data: Data = None, json: Json = False
) -> None:
    """List dead letters."""
    with opened(data) as (_, _log, store):
        found = list(_letters(store, destination, since, reason))
    if json:
        print_json(
            [
                {
                    "destination": ref,
                    "event_id": one.event_id,
                    "event_name": one.name,
                    "reason": one.reason,
                    "detail": one.detail,
                    "attempts": one.attempts,
                    "died_ms": one.died_ms,
                }
                for ref, one in found
            ]
        )
        return
    for ref, one in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.died_ms / 1000))
        text = f"{when}  {ref}  {one.event_id}  {one.name}  {one.reason} {one.detail}"
        console.print(text.rstrip(), markup=False)
    console.print(f"{len(found)} dead letters", markup=False)


def replay(
    destination: Destination = None,
    since: Since = None,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    data: Data = None,
) -> None:
    """Try dead letters again, with the destination as it is configured now."""
    with opened(data) as (_, _log, store):
        found = list(_letters(store, destination, since, reason))
        if dry_run:
            console.print(f"{len(found)} dead letters would be tried again", markup=False)
            return
        numbers = store.destinations()
        moved = 0
        for ref in sorted({ref for ref, _ in found}):
            letters = [one for other, one in found if other == ref]
            for start in range(0, len(letters), _CHUNK):
                moved += store.replay(numbers[ref][0], letters[start : start + _CHUNK], now_ms())
    console.print(f"{moved} dead letters are tried again", markup=False)


def _letters(
    store: Store, destination: str | None, since: str | None, reason: str | None
) -> "list[tuple[str, DeadLetter]]":
    known = store.destinations()
    chosen = [ref for ref in known if destination in (None, ref, ref.partition("/")[2])]
    if destination is not None and not chosen:
        fail(f"there is no destination {destination!r}; known: {', '.join(sorted(known)) or 'none'}")
    since_ms = now_ms() - _duration_ms(since) if since else 0
    return [
        (ref, letter)
        for ref in chosen
        for letter in store.dead_letters(known[ref][0], since_ms, reason, limit=1_000_000)
    ]


def _duration_ms(text: str) -> int:
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        fail(f"--since {text}: write 90s, 15m, 2h or 3d")
    return int(match[1]) * _UNITS_MS[match[2]]
