"""`turnout serve`: running the server."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop

from turnout import app as parts
from turnout.cli.configuration import read
from turnout.cli.options import Data, settings
from turnout.cli.output import FAILED, complain, exit_codes, fail
from turnout.control import applied, configfile, factsfile
from turnout.model.errors import ConfigError, LeaseLostError, NewerFormatError
from turnout.settings import Settings, default, descriptions, variable
from turnout.supervisor import FATAL_EXIT, PROCESSES, SUPERVISED, StartError, hold, stop_with_parent, supervise

_OPTIONS = ("data", "config", "collect", "control")


def add(app: typer.Typer) -> None:
    """Register this command."""
    others = [
        f"{variable(name)} ({default(name)}): {text}" for name, text in descriptions().items() if name not in _OPTIONS
    ]
    ending = exit_codes(
        "ended by SIGTERM or Ctrl-C", f"a process could not start, its message says why ({FATAL_EXIT} with --only)"
    )
    app.command(epilog="\n\n".join(("Further environment variables, with their defaults:", *others, ending)))(serve)


def serve(
    data: Data = None,
    config: Annotated[str | None, typer.Option(envvar="TURNOUT_CONFIG", help="Configuration to apply first.")] = None,
    collect: Annotated[str | None, typer.Option(envvar="TURNOUT_COLLECT", help="Where to collect, HOST:PORT.")] = None,
    control: Annotated[
        str | None, typer.Option(envvar="TURNOUT_CONTROL", help="Health and figures, HOST:PORT.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(envvar="TURNOUT_ONLY", help="Run one process alone: collector, worker or control.")
    ] = None,
) -> None:
    """Run the server until SIGTERM or Ctrl-C; both drain."""
    found = settings(data, config=config, collect=collect, control=control)
    if only is not None and only not in PROCESSES:
        fail(f"--only {only}: choose one of {', '.join(PROCESSES)}")
    _log_to_stderr(only or "supervisor")
    if only is not None:
        _prepare(found, [only])
        uvloop.run(_one(only, found))
        return
    try:
        lease = hold(found.data_dir)
    except LeaseLostError as error:
        fail(str(error), FAILED)
    _prepare(found, PROCESSES)
    arguments = ["--data", found.data, "--collect", found.collect, "--control", found.control]
    scheme = "https" if found.tls_cert else "http"
    complain(f"collecting on {scheme}://{found.collect}, health on http://{found.control}/ready", "")
    try:
        asyncio.run(supervise(arguments, os.environ, lease))
    except StartError as error:
        fail(str(error), FAILED)


def _prepare(found: Settings, processes: Iterable[str]) -> None:
    """What comes before the processes, once nobody else is at work in their place."""
    if os.environ.get(SUPERVISED) != "1":
        _apply_at_start(found)
    # What was left by a kill -9 would say "ready" in the place of processes that are not there yet.
    for name in processes:
        factsfile.withdraw(found.data_dir, name)


def _apply_at_start(found: Settings) -> None:
    """Apply the file named in the settings. A wrong one does not replace what worked before."""
    if not found.config:
        if not applied.applied_path(found.data_dir).exists():
            complain("no configuration yet: `turnout apply -f turnout.yaml`", "yellow")
        return
    try:
        text = read(Path(found.config))
        configfile.load(text, os.environ)
    except ConfigError as error:
        if not applied.applied_path(found.data_dir).exists():
            raise
        for problem in error.problems:
            complain(f"{found.config}: {problem}")
        complain("going on with the configuration applied before", "yellow")
        return
    applied.store(found.data_dir, text)


async def _one(name: str, found: Settings) -> None:
    """One process. Exits with `FATAL_EXIT` where a restart could not help."""
    stop = asyncio.Event()
    stop_with_parent(stop)
    try:
        await parts.RUN[name](found, stop)
    except (ConfigError, LeaseLostError, NewerFormatError) as error:
        fail(str(error), FATAL_EXIT)
    except OSError as error:
        if error.errno in (98, 13, 99):
            fail(f"{name} can't listen: {error}", FATAL_EXIT)
        raise


def _log_to_stderr(process: str) -> None:
    """Structured logs that name their process: lines of key=value for a person at a terminal, JSON otherwise."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            lambda _logger, _method, event: {"process": process, **event},
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
