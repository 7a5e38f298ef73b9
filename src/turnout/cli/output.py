"""How commands speak: tables and colour for a person at a terminal, JSON for machines, problems on stderr.

Whatever comes from outside (events, partners' answers) is shown without its control characters: it could otherwise
drive the terminal of whoever looks at it.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

OK, FAILED, USAGE = 0, 1, 2
"""Exit codes: done · what you asked about is not as it should be · the call or its input was wrong."""

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def exit_codes(done: str, failed: str = "") -> str:
    """The line on exit codes at the end of a command's help."""
    middle = f" · {FAILED} {failed}" if failed else ""
    return f"Exit codes: {OK} {done}{middle} · {USAGE} the call or its input was wrong"


def say(text: str, style: str = "") -> None:
    """One line on stdout, as it is: no markup."""
    console.print(printable(text), markup=False, style=style)


def complain(text: str, style: str = "red") -> None:
    """One line on stderr."""
    errors.print(f"turnout: {printable(text)}", markup=False, style=style)


def fail(message: str, code: int = USAGE) -> NoReturn:
    """Say on stderr what was wrong and what to do, and end with this exit code."""
    complain(message)
    raise SystemExit(code)


def cell(value: object, style: str = "") -> Text:
    """A value as a cell of a table, as it is."""
    return Text(printable(str(value)), style=style)


def printable(text: str) -> str:
    """The text with everything that a terminal might obey written out (`\\x1b`)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_json(value: object) -> None:
    """One JSON document on one line."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar (without `total`: a spinner) on stderr while the body runs, at a terminal only.

    Gives the function that says how many more are done.
    """
    counted = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) if total is not None else ()
    with Progress(
        *(SpinnerColumn(), TextColumn(what), *counted),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
