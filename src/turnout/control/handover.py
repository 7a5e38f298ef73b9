"""Whether the running server can use a configuration that was just put in place."""

import time
from pathlib import Path

import msgspec

from turnout.control import factsfile
from turnout.control.status import SILENT_MS
from turnout.model.clock import now_ms
from turnout.model.facts import Facts

WAIT_S = 3.0


class Handover(msgspec.Struct, kw_only=True):
    """What the running processes made of it."""

    version: str
    """The hash of its text."""
    refusal: str = ""
    """Why one of them can't use it."""
    following: list[str]
    """Processes that use it now."""
    late: list[str]
    """Processes that run and have not looked at it within `WAIT_S`."""


def hand_over(data_dir: Path, version: str) -> Handover:
    """Wait until every running process has taken or refused this version, which is in place.

    A process may refuse what is valid here: its environment has other variables.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        running = _running(data_dir)
        seen = [facts for facts in running if facts.config_seen == version]
        refusal = next((f"{facts.process}: {facts.config_error}" for facts in seen if facts.config_error), "")
        if refusal or len(seen) == len(running) or time.monotonic() > deadline:
            return Handover(
                version=version,
                refusal=refusal,
                following=[facts.process for facts in seen if not facts.config_error],
                late=[facts.process for facts in running if facts not in seen],
            )
        time.sleep(0.05)


def _running(data_dir: Path) -> list[Facts]:
    return [facts for facts in factsfile.read(data_dir).values() if now_ms() - facts.beat_ms < SILENT_MS]
