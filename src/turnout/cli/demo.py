"""`turnout demo`: a simulated shop, so that there is something to see."""

import contextlib
import time
from itertools import islice
from random import Random
from typing import Annotated, Literal

import typer
from rich.live import Live
from rich.table import Table

from turnout.cli.collector import Key, KeyOption, SiteOption, UrlOption, collector, sources
from turnout.cli.options import Data, settings
from turnout.cli.output import errors, exit_codes, say
from turnout.demo.sender import Count, Sender
from turnout.demo.visits import traffic


def add(app: typer.Typer) -> None:
    """Register this command."""
    app.command(epilog=exit_codes("ended by Ctrl-C, or all sent"))(demo)


def demo(
    rate: Annotated[
        float, typer.Option(envvar="TURNOUT_DEMO_RATE", min=0.1, max=1000, help="Events per second.")
    ] = 2.0,
    count: Annotated[
        int | None, typer.Option(envvar="TURNOUT_DEMO_COUNT", min=1, help="End after so many events.")
    ] = None,
    site: SiteOption = None,
    key: KeyOption = None,
    url: UrlOption = None,
    data: Data = None,
) -> None:
    """Send the events of a simulated shop until Ctrl-C: visits, carts, purchases, refusals of consent.

    A few events are broken on purpose, as real installations break them: look at them with `turnout tail --rejected`.
    """
    found = settings(data)
    candidates = sources(found, site, key)
    chosen = _chosen(candidates)
    sender = Sender(collector(found, url), candidates[0].site, chosen)
    requests = traffic(Random(), time.time_ns() // 1_000_000, 1000 / rate)
    with Live(console=errors, refresh_per_second=4, transient=True) as live, contextlib.suppress(KeyboardInterrupt):
        sender.run(islice(requests, count), rate, lambda: live.update(_table(sender.count)))
    say(f"{sender.count.sent} events sent, {sender.count.broken} of them broken on purpose")


def _chosen(candidates: list[Key]) -> dict[Literal["web", "server"], str]:
    """A key for what browsers send and one for what the shop's backend sends; the same if there is but one."""
    candidates = [one for one in candidates if one.site == candidates[0].site]
    server = next((one.key for one in candidates if one.type == "server"), candidates[0].key)
    browser = next((one.key for one in candidates if one.type != "server"), candidates[0].key)
    return {"web": browser, "server": server}


def _table(count: Count) -> Table:
    table = Table("event", "sent", box=None)
    for name, n in count.events.most_common():
        table.add_row(name, f"{n:,}")
    for status, n in sorted(count.answers.items()):
        table.add_row(f"answered {status}" if status else "no answer, trying again", f"{n:,}", style="dim")
    return table
