"""`turnout serve`, `check`, `apply`: running the server and giving it a configuration."""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvloop

from turnout import app as parts
from turnout.cli.options import Data, settings
from turnout.cli.output import FAILED, console, errors, fail
from turnout.control import applied, configfile, factsfile
from turnout.model.clock import now_ms
from turnout.model.errors import ConfigError, LeaseLostError
from turnout.settings import Settings
from turnout.supervisor import FATAL_EXIT, PROCESSES, StartError, stop_with_parent, supervise

_TAKE_OVER_S = 3.0


def add(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(serve)
    app.command()(check)
    app.command()(apply)


def serve(
    data: Data = None,
    config: Annotated[str | None, typer.Option(help="Configuration to apply first (TURNOUT_CONFIG).")] = None,
    collect: Annotated[str | None, typer.Option(help="Where to collect, HOST:PORT (TURNOUT_COLLECT).")] = None,
    control: Annotated[str | None, typer.Option(help="Health and figures, HOST:PORT (TURNOUT_CONTROL).")] = None,
    only: Annotated[str | None, typer.Option(help="Run one process: collector, worker or control.")] = None,
) -> None:
    """Run the server until SIGTERM or Ctrl-C; both drain."""
    _log_to_stderr()
    found = settings(data, config=config, collect=collect, control=control)
    if only is not None:
        if only not in PROCESSES:
            fail(f"--only {only}: choose one of {', '.join(PROCESSES)}")
        uvloop.run(_one(only, found))
        return
    _apply_at_start(found)
    arguments = ["--data", found.data, "--collect", found.collect, "--control", found.control]
    errors.print(f"turnout: collecting on http://{found.collect}, health on http://{found.control}/ready", markup=False)
    try:
        asyncio.run(supervise(arguments, os.environ))
    except StartError as error:
        fail(str(error), FAILED)


def check(file: Annotated[Path, typer.Argument(help="The configuration file.")]) -> None:
    """Say everything that is wrong with a configuration, each with its path; exit 2 if anything is."""
    snapshot = configfile.load(_read(file), os.environ)
    console.print(
        f"{file}: fine. {len(snapshot.sites)} sites, {len(snapshot.sources)} sources, "
        f"{len(snapshot.destinations)} destinations",
        markup=False,
    )


def apply(
    file: Annotated[Path, typer.Option("--file", "-f", help="The configuration file.")],
    data: Data = None,
) -> None:
    """Check a configuration and give it to the server, which follows within a second."""
    found = settings(data)
    text = _read(file)
    snapshot = configfile.load(text, os.environ)
    path = applied.applied_path(found.data_dir)
    before = path.read_text(encoding="utf-8") if path.exists() else None
    applied.store(found.data_dir, text)
    refusal = _taken_over(found, snapshot.version)
    if refusal:
        if before is not None:
            applied.store(found.data_dir, before)
        fail(f"the running server can't use it, the previous configuration stays: {refusal}", FAILED)
    console.print(f"applied configuration {snapshot.version}", markup=False)


def _taken_over(found: Settings, version: str) -> str:
    """Wait for the running processes to follow; why one of them refuses, or ""."""
    deadline = time.monotonic() + _TAKE_OVER_S
    while time.monotonic() < deadline:
        running = [facts for facts in factsfile.read(found.data_dir).values() if now_ms() - facts.beat_ms < 2_000]
        for facts in running:
            if facts.config_error:
                return facts.config_error
        if all(facts.config_version == version for facts in running):
            return ""
        time.sleep(0.05)
    return ""


def _apply_at_start(found: Settings) -> None:
    """Apply the file named in the settings. A wrong one does not replace what worked before."""
    if not found.config:
        if not applied.applied_path(found.data_dir).exists():
            errors.print("turnout: no configuration yet: `turnout apply -f turnout.yaml`", markup=False, style="yellow")
        return
    try:
        text = _read(Path(found.config))
        configfile.load(text, os.environ)
    except ConfigError as error:
        if not applied.applied_path(found.data_dir).exists():
            raise
        for problem in error.problems:
            errors.print(f"turnout: {found.config}: {problem}", markup=False, style="red")
        errors.print("turnout: going on with the configuration applied before", markup=False, style="yellow")
        return
    applied.store(found.data_dir, text)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"can't read {file}: {error}")


async def _one(name: str, found: Settings) -> None:
    """One process. Exits with `FATAL_EXIT` where a restart could not help."""
    stop = asyncio.Event()
    stop_with_parent(stop)
    try:
        await parts.RUN[name](found, stop)
    except LeaseLostError as error:
        fail(str(error), FATAL_EXIT)
    except OSError as error:
        if error.errno in (98, 13, 99):
            fail(f"{name} can't listen: {error}", FATAL_EXIT)
        raise


def _log_to_stderr() -> None:
    """Structured logs: lines of key=value for a person at a terminal, JSON otherwise."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
