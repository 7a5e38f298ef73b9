"""`make bench`: measures the performance budget, prints it as a table and writes it as JSON.

Needs wrk and nginx, two cores and some gigabytes of disk; sends traffic to this machine only. Rows can be named:
`python -m bench.run single backlog`. `BENCH_FULL=1` takes the long versions (10 million events for memory).
"""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import collect, inspector, pipeline, rules
from bench.rig import Row

SAMPLES = int(os.environ.get("BENCH_SAMPLES", "5"))
FULL = os.environ.get("BENCH_FULL") == "1"
ROWS: dict[str, Callable[[], list[Row]]] = {
    "single": lambda: collect.single_and_batch(SAMPLES, seconds=5),
    "pixel": lambda: collect.pixels(SAMPLES, seconds=5),
    "pipeline": lambda: pipeline.process_and_deliver(SAMPLES, events=100_000),
    "rules": lambda: rules.with_rules(SAMPLES, events=100_000),
    "latency": lambda: pipeline.latency(SAMPLES, seconds=10),
    "memory": lambda: pipeline.memory(SAMPLES, 10_000_000 if FULL else 1_000_000, backlog=1_000_000),
    "down": lambda: collect.with_destinations_down(SAMPLES, seconds=5),
    "backlog": lambda: pipeline.with_backlog(SAMPLES, backlog=1_000_000),
    "search": lambda: inspector.searches(max(SAMPLES, 20), events=1_000_000),
    "inspector": lambda: inspector.cost(SAMPLES, seconds=300 if FULL else 90),
    "budget": lambda: inspector.budget(events=200_000),
}


def main(names: list[str]) -> int:
    """Measure the named rows, or all; 1 if one misses its "at least"."""
    unknown = set(names) - set(ROWS)
    if unknown:
        sys.exit(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    console = Console()
    rows: list[Row] = []
    for name in names or list(ROWS):
        console.print(f"measuring {name} …", style="dim")
        rows += ROWS[name]()
    table = Table("what", "measured (median)", "reference", "ratio", "at least", "aim", "", box=None)
    for row in rows:
        table.add_row(*row.cells())
    console.print(table)
    results = Path("bench/results")
    results.mkdir(exist_ok=True)
    file = results / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    machine = {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform(), "python": sys.version.split()[0]}
    file.write_text(json.dumps({"machine": machine, "rows": [row.document() for row in rows]}, indent=2) + "\n")
    console.print(f"written to {file}", style="dim")
    return 1 if any(row.verdict == "MISSED" for row in rows) else 0


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
