"""`turnout status`, `audit`: is everything as it should be?"""

import time
from collections.abc import Iterator

import typer
from rich.table import Table

from turnout.cli.options import Data, Json, existing, opened
from turnout.cli.output import FAILED, cell, console, exit_codes, print_json, progress, say
from turnout.control.status import Rates, Status, rates
from turnout.control.status import status as read_status
from turnout.model.clock import now_ms
from turnout.receipts.audit import audit as recount

_BETWEEN_S = 1.0


def add(app: typer.Typer) -> None:
    """Register these commands."""
    app.command(epilog=exit_codes("the server is ready", "it is not; the problems say why"))(status)
    app.command(epilog=exit_codes("the sums close", "they do not"))(audit)


def status(data: Data = None, json: Json = False) -> None:
    """Processes, rates, lag and breaker per destination, disk, drift, damage.

    Looks twice, a second apart, to tell the rates.
    """
    found = existing(data)
    with progress("measuring rates"):
        first = read_status(found, now_ms())
        time.sleep(_BETWEEN_S)
        second = read_status(found, now_ms())
    second.rates = rates(first, second)
    if json:
        print_json(second)
    else:
        _show(second, second.rates)
    raise SystemExit(0 if second.ready else FAILED)


def _show(found: Status, measured: Rates) -> None:
    table = Table("process", "pid", "up", "memory", "events/s", box=None)
    for name, facts in found.processes.items():
        if name in found.silent:
            table.add_row(name, cell("-"), cell("down", "red"))
            continue
        up_s = (now_ms() - facts.started_ms) // 1000
        rate = {"collector": f"{measured.collected:.0f}", "worker": f"{measured.processed:.0f}"}.get(name, "")
        table.add_row(name, str(facts.pid), f"{up_s} s", f"{facts.rss_bytes >> 20} MB", rate)
    console.print(table)
    worker = found.processes.get("worker")
    if worker is not None and worker.destinations:
        table = Table("destination", "lag", "breaker", "delivered/s", "waiting", "dead", "drift", "outcomes", box=None)
        for ref, one in worker.destinations.items():
            outcomes = " ".join(_outcomes(one.outcomes, one.filtered))
            rate = f"{measured.delivered.get(ref, 0):.0f}"
            breaker = cell(one.breaker.replace("_", " "), "" if one.breaker == "closed" else "red")
            figures = (rate, one.ledger, one.dead_letters, one.drift, outcomes)
            table.add_row(cell(ref), cell(one.lag), breaker, *(cell(figure) for figure in figures))
        console.print(table)
        for ref, one in worker.destinations.items():
            if one.dead_letters_forgotten:
                say(f"{ref}: {one.dead_letters_forgotten} dead letters went before their time, for want of room")
    say(f"log {found.log_bytes >> 20} MB, disk free {found.disk_free_bytes >> 30} GB")
    for warning in found.warnings:
        say(f"warning: {warning}", "yellow")
    for problem in found.problems:
        say(f"problem: {problem}", "red")
    if len(found.silent) == 3:
        say("nothing runs on this data directory: start `turnout serve`", "red")


def _outcomes(outcomes: dict[str, int], filtered: dict[str, int]) -> Iterator[str]:
    """Each outcome with its number; of what was filtered also why."""
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(filtered.items()) if n)
    for word, n in sorted(outcomes.items()):
        yield f"{word} {n}" + (f" ({reasons})" if word == "filtered" and reasons else "")


def audit(data: Data = None, json: Json = False) -> None:
    """Count every outcome again and compare: do the sums close?"""
    with opened(data) as (_, log, store), progress("counting again"):
        report = recount(log, store)
    if json:
        print_json(report)
        raise SystemExit(0 if report.closes else FAILED)
    say(f"accepted {report.accepted}, not yet processed {report.unprocessed}")
    for one in report.destinations:
        outcomes = " + ".join(_outcomes(one.outcomes, one.filtered)) or "nothing"
        say(
            f"{one.destination}: offered {one.offered} = {outcomes}; not reached yet {one.lag}; drift {one.drift}",
            "" if one.drift == 0 else "red",
        )
        for finding in one.findings:
            say(f"  {finding}", "red")
    say("the sums close" if report.closes else "the sums do not close", "" if report.closes else "red")
    raise SystemExit(0 if report.closes else FAILED)
