"""`turnout erase`: forget a person."""

import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from turnout.cli.options import Data, Json, existing
from turnout.cli.output import exit_codes, fail, print_json, progress, say
from turnout.control import factsfile
from turnout.model.clock import now_ms
from turnout.model.person import Person
from turnout.settings import Settings

if TYPE_CHECKING:
    from turnout.control.erasure.jobs import Erasure

_POLL_S = 0.1
_SILENT_MS = 10_000


def add(app: typer.Typer) -> None:
    """Register this command."""
    app.command(epilog=exit_codes("erased, or noted down for a server that does not run"))(erase)


def erase(
    site: Annotated[str, typer.Option(help="The site whose person it is.")],
    user_id: Annotated[list[str] | None, typer.Option(help="A user.id; may be repeated.")] = None,
    anonymous_id: Annotated[
        list[str] | None, typer.Option(help="A user.consistent_anonymous_id; may be repeated.")
    ] = None,
    email: Annotated[list[str] | None, typer.Option(help="An e-mail address; may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    data: Data = None,
    json: Json = False,
) -> None:
    """Erase a person from everything that is kept, and say what was erased where.

    The running server does it; this waits for it. What destinations have got can't be called back.
    """
    found = existing(data)
    person = Person(user_ids=tuple(user_id or ()), anonymous_ids=tuple(anonymous_id or ()), emails=tuple(email or ()))
    if not any((*person.user_ids, *person.anonymous_ids, *person.emails)):
        fail("whom? give --user-id, --anonymous-id or --email")
    done = _carried_out(found, site, person, dry_run)
    if json:
        print_json({name: value for name, value in msgspec.structs.asdict(done).items() if name != "person"})
    elif done.receipt is None or done.state != "completed":
        say(f"{done.id} is noted down; a running server carries it out: turnout serve")
    else:
        _show(done)


def _carried_out(found: Settings, site: str, person: Person, dry_run: bool) -> "Erasure":
    """The erasure when it is done, or as it is when no server is there to do it."""
    from turnout.control.access.activity import Activity, Entry  # noqa: PLC0415 - SQLAlchemy
    from turnout.control.access.database import Database  # noqa: PLC0415
    from turnout.control.erasure.jobs import Erasures  # noqa: PLC0415

    database = Database.of(found.data_dir)
    try:
        jobs, now = Erasures(database), now_ms()
        entry = Entry(at_ms=now, site=site, origin="cli", feature="erasures", action="erasures.create")
        Activity(database).add(msgspec.structs.replace(entry, properties={"dry_run": dry_run}))
        job = jobs.add(site, person, dry_run, now)
        with progress("counting" if dry_run else "erasing"):
            while job.state != "completed" and _served(found):
                time.sleep(_POLL_S)
                job = jobs.find(site, job.id) or job
        return job
    finally:
        database.close()


def _served(found: Settings) -> bool:
    facts = factsfile.read(found.data_dir).get("control")
    return facts is not None and now_ms() - facts.beat_ms < _SILENT_MS


def _show(done: "Erasure") -> None:
    assert done.receipt is not None
    say(f"{done.id}: {'would be erased' if done.dry_run else 'erased'}")
    for place, count in done.receipt.erased.items():
        say(f"  {place.replace('_', ' '):<14} {count} events")
    for ref, count in done.receipt.delivered.items():
        how = "in its files" if ref in done.receipt.files else "delivered before"
        say(f"  not called back: {count} events at {ref}, {how}")
    if done.receipt.unreadable:
        say(f"  {done.receipt.unreadable} damaged files were set aside: nobody knows what is in them, delete them")
