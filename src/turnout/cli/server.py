"""`turnout serve`: running the server."""

import os
from pathlib import Path
from typing import Annotated

import typer

from turnout import processes
from turnout.cli.configuration import read
from turnout.cli.options import Data, settings
from turnout.cli.output import FAILED, complain, exit_codes, fail
from turnout.cli.versions import opened
from turnout.control import applied, factsfile
from turnout.control.configuration.secrets import Secrets
from turnout.model.clock import now_ms
from turnout.model.errors import ConfigError, ControlUnavailableError, LeaseLostError, SecretError
from turnout.settings import Settings, default, descriptions, variable
from turnout.supervisor import FATAL_EXIT, PROCESSES, hold

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
    if only is not None:
        _apply_at_start(found)
        processes.run(only, found)
        return
    processes.log_to_stderr(processes.SUPERVISOR)
    try:
        lease = hold(found.data_dir)
    except LeaseLostError as error:
        fail(str(error), FAILED)
    _apply_at_start(found)
    # What was left by a kill -9 would say "ready" in the place of processes that are not there yet.
    for name in PROCESSES:
        factsfile.withdraw(found.data_dir, name)
    scheme = "https" if found.tls_cert else "http"
    complain(f"collecting on {scheme}://{found.collect}, health on http://{found.control}/ready", "")
    processes.become_supervisor(found, lease)


def _apply_at_start(found: Settings) -> None:
    """Apply the file named in the settings. A wrong one does not replace what worked before."""
    if not found.config:
        if not applied.applied_path(found.data_dir).exists():
            complain("no configuration yet: `turnout apply -f turnout.yaml`", "yellow")
        return
    try:
        _apply(found, read(Path(found.config)))
    except (ConfigError, SecretError) as error:
        if not applied.applied_path(found.data_dir).exists():
            raise
        for problem in error.problems if isinstance(error, ConfigError) else [error]:
            complain(f"{found.config}: {problem}")
        complain("going on with the configuration applied before", "yellow")


def _apply(found: Settings, text: str) -> None:
    with opened(found) as versions:
        try:
            current, differs = versions.start(text, now_ms(), f"{found.config} at the start")
        except ControlUnavailableError as error:
            # A history that can't be kept is no reason not to serve; it goes on when the store can be used again.
            complain(f"the history of the configuration can't be kept: {error}", "yellow")
            _store(found, text)
            return
    if differs:
        newer = f"version {current.number} was made since it was applied: `turnout diff {found.config}`"
        complain(f"{found.config} has not changed, {newer}", "yellow")


def _store(found: Settings, text: str) -> None:
    from turnout.control.configuration.seal import sealed  # noqa: PLC0415 - only here

    applied.store(found.data_dir, sealed(text, os.environ, Secrets(found.secret_key_path)).text)
