"""`turnout status`, `audit`: is everything as it should be?"""

import time

import typer
from rich.table import Table

from turnout.cli.options import Data, Json, opened, settings
from turnout.cli.output import FAILED, console, print_json
from turnout.control.status import status as read_status
from turnout.model.clock import now_ms
from turnout.model.facts import Facts
from turnout.receipts.audit import audit as recount


def add(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(status)
    app.command()(audit)


def status(data: Data = None, json: Json = False) -> None:
    """Processes, rates, lag and breaker per destination, disk, drift. Exit 1 if the server is not ready."""
    found = settings(data)
    first = read_status(found, now_ms())
    if json:
        print_json(first)
        raise SystemExit(0 if first.ready else FAILED)
    time.sleep(1.0)
    second = read_status(found, now_ms())
    table = Table("process", "pid", "up", "memory", "events/s", box=None)
    for name, facts in second.processes.items():
        before = first.processes.get(name)
        up_s = (now_ms() - facts.started_ms) // 1000
        rate = _rate(before, facts)
        table.add_row(name, str(facts.pid), f"{up_s} s", f"{facts.rss_bytes >> 20} MB", rate)
    console.print(table)
    worker = second.processes.get("worker")
    if worker is not None and worker.destinations:
        table = Table("destination", "lag", "breaker", "waiting", "dead", "drift", "outcomes", box=None)
        for ref, one in worker.destinations.items():
            outcomes = " ".join(f"{word} {n}" for word, n in sorted(one.outcomes.items()))
            figures = (one.lag, one.breaker, one.ledger, one.dead_letters, one.drift, outcomes)
            table.add_row(ref, *(str(figure) for figure in figures))
        console.print(table)
    console.print(f"log {second.log_bytes >> 20} MB, disk free {second.disk_free_bytes >> 30} GB", markup=False)
    for problem in second.problems:
        console.print(f"problem: {problem}", markup=False, style="red")
    raise SystemExit(0 if second.ready else FAILED)


def audit(data: Data = None, json: Json = False) -> None:
    """Count every outcome again and compare. Exit 0 if the sums close, 1 if not."""
    with opened(data) as (_, log, store):
        report = recount(log, store)
    if json:
        print_json(report)
    else:
        console.print(f"accepted {report.accepted}, not yet processed {report.unprocessed}", markup=False)
        for one in report.destinations:
            outcomes = " + ".join(f"{word} {n}" for word, n in sorted(one.outcomes.items())) or "nothing"
            console.print(
                f"{one.destination}: offered {one.offered} = {outcomes}; not reached yet {one.lag}; drift {one.drift}",
                markup=False,
                style="" if one.drift == 0 else "red",
            )
            for finding in one.findings:
                console.print(f"  {finding}", markup=False, style="red")
        console.print("the sums close" if report.closes else "the sums do not close", markup=False)
    raise SystemExit(0 if report.closes else FAILED)


def _rate(before: Facts | None, now: Facts) -> str:
    if before is None or before.pid != now.pid or now.beat_ms <= before.beat_ms or not now.events:
        return ""
    count = sum(now.events.values()) - sum(before.events.values())
    return f"{count * 1000 / (now.beat_ms - before.beat_ms):.0f}"
