"""How commands speak: tables and colour for a person at a terminal, JSON for machines, problems on stderr."""

import sys
from typing import NoReturn

import msgspec
from rich.console import Console

OK, FAILED, USAGE = 0, 1, 2
"""Exit codes: done · what you asked about is not as it should be · the call or its input was wrong."""

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON document on one line."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def fail(message: str, code: int = USAGE) -> NoReturn:
    """Say on stderr what was wrong and what to do, and end with this exit code."""
    errors.print(f"turnout: {message}", markup=False, style="red")
    raise SystemExit(code)
