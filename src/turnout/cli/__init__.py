"""The command `turnout`. Each module holds the commands of one errand; all take `--data` or TURNOUT_DATA.

Exit codes: 0 done · 1 what you asked about is not as it should be · 2 the call or its input was wrong.
"""

import typer

from turnout.cli import bench, dead, events, look, server
from turnout.cli.output import errors, fail
from turnout.model.errors import ConfigError, TurnoutError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
server.add(app)
events.add(app)
look.add(app)
dead.add(app)
bench.add(app)


def main() -> None:
    """Run the command line; expected errors end with a message instead of a traceback."""
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            errors.print(f"turnout: {problem}", markup=False, style="red")
        raise SystemExit(2) from error
    except TurnoutError as error:
        fail(str(error))
