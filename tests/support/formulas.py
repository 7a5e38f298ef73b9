"""The sample event of the formula language's specification, and its frozen clock."""

import json
from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path

from turnout.formula import Run, compile_formula

FOLDER = Path(__file__).parents[1] / "unit" / "formula"
SAMPLE: dict[str, object] = json.loads((FOLDER / "sample.json").read_text())
NOW_MS = 1_749_983_400_000
"""2025-06-15T10:30:00Z."""


def run_on(event: Mapping[str, object] = SAMPLE, zone: tzinfo = UTC, headers: Mapping[str, str] | None = None) -> Run:
    """A run on this event, by default the sample."""
    return Run(event, NOW_MS, zone, headers or {})


def value_of(formula: str, event: Mapping[str, object] = SAMPLE, zone: tzinfo = UTC) -> object:
    """The value of a formula on an event, by default the sample."""
    return compile_formula(formula).value(run_on(event, zone))


def warned(formula: str, event: Mapping[str, object] = SAMPLE) -> tuple[object, list[str]]:
    """The value of a formula, and the codes of what it warned of."""
    run = run_on(event)
    return compile_formula(formula).value(run), list(run.warnings)
