"""Giving a configuration to the running server, and taking it back if the server can't use it."""

import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from turnout.control import applied, configfile, factsfile
from turnout.control.status import SILENT_MS
from turnout.model.clock import now_ms
from turnout.model.facts import Facts

WAIT_S = 3.0


class Handover(msgspec.Struct, kw_only=True):
    """How it went. With a `refusal` the configuration from before is in place again."""

    version: str
    refusal: str = ""
    following: list[str]
    """Processes that use it now."""
    late: list[str]
    """Processes that run and have not looked at it within `WAIT_S`."""


def hand_over(data_dir: Path, text: str, environment: Mapping[str, str]) -> Handover:
    """Apply `text`, and wait until every running process has taken or refused it.

    A process may refuse what is valid here: its environment has other variables. Raises `ConfigError` if `text` is
    wrong; then nothing was touched.
    """
    version = configfile.load(text, environment).version
    before = applied.read(data_dir)
    applied.store(data_dir, text)
    deadline = time.monotonic() + WAIT_S
    while True:
        running = _running(data_dir)
        seen = [facts for facts in running if facts.config_seen == version]
        refusal = next((f"{facts.process}: {facts.config_error}" for facts in seen if facts.config_error), "")
        if refusal:
            applied.withdraw(data_dir, before)
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
