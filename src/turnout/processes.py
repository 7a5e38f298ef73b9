"""The processes of a server, apart from the command line: `python -m turnout.processes NAME`, settings from variables.

`turnout serve` turns into the supervisor here, and the supervisor starts the others here: the libraries of the command
line would cost each of them 10 MB and a third of the time it takes to start.
"""

import asyncio
import errno
import logging
import os
import sys
from typing import NoReturn

if __name__ == "__main__":
    # structlog takes rich wherever it is installed, for tracebacks in colour: 5 MB in each process.
    sys.modules["rich"] = None  # type: ignore[assignment] # how Python notes that something can't be imported

import structlog
import uvloop

from turnout import settings as settings_module
from turnout.control import factsfile
from turnout.model.errors import ConfigError, LeaseLostError, NewerFormatError
from turnout.settings import Settings, variable
from turnout.supervisor import FATAL_EXIT, MODULE, StartError, stop_with_parent, supervise

SUPERVISOR = "supervisor"
_CANNOT_LISTEN = (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL)


def become_supervisor(found: Settings, lease: int) -> NoReturn:
    """Go on in this process as the supervisor of a server with these settings; `lease` is what `hold` gave."""
    os.set_inheritable(lease, True)
    chosen = {variable(name): str(getattr(found, name)) for name in ("data", "collect", "control")}
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", MODULE, SUPERVISOR, str(lease)]
    os.execve(sys.executable, command, {**os.environ, **chosen})


def run(name: str, found: Settings) -> None:
    """Be one process of a server until SIGTERM or Ctrl-C. Exits with `FATAL_EXIT` where a restart could not help."""
    log_to_stderr(name)
    # What this process said of itself before a kill -9 does not hold any more.
    factsfile.withdraw(found.data_dir, name)
    uvloop.run(_run(name, found))


async def _run(name: str, found: Settings) -> None:
    from turnout import app  # noqa: PLC0415 - the supervisor does without

    stop = asyncio.Event()
    stop_with_parent(stop)
    try:
        await app.run(name, found, stop)
    except (ConfigError, LeaseLostError, NewerFormatError) as error:
        _end(str(error), FATAL_EXIT)
    except OSError as error:
        if error.errno in _CANNOT_LISTEN:
            _end(f"{name} can't listen: {error}", FATAL_EXIT)
        raise


def log_to_stderr(process: str) -> None:
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


def _end(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"turnout: {message}\n")
    raise SystemExit(code)


def main(name: str, lease: str = "") -> None:
    """What the module runs as a program."""
    if name != SUPERVISOR:
        run(name, settings_module.load(os.environ))
        return
    log_to_stderr(SUPERVISOR)
    try:
        asyncio.run(supervise(os.environ, int(lease)))
    except StartError as error:
        _end(str(error), 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
