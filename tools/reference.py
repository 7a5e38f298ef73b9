"""Writes the generated parts of the reference pages from the program itself.

    .venv/bin/python tools/reference.py            # write
    .venv/bin/python tools/reference.py --check    # exit 1 and name the pages that are out of date

A page keeps its own words; between `<!-- generated: NAME -->` and `<!-- end -->` stands what `PARTS[NAME]` gives.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec
import typer
from prometheus_client.parser import text_string_to_metric_families
from typer.core import TyperGroup
from typer.testing import CliRunner

from turnout import cli, settings
from turnout.control import metrics
from turnout.control.access.scopes import ROLES, SCOPES
from turnout.control.api.problems import KINDS
from turnout.control.api.table import OPERATIONS
from turnout.control.status import Status
from turnout.destinations import registry
from turnout.formula.functions import SECTIONS
from turnout.mapping.standard import STANDARD
from turnout.model.alerts import PARAMETERS
from turnout.model.facts import DestinationFacts, Facts

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
_WIDTH = "100"
_MARKS = {"template": "Takes `{{ }}`.", "secret": "Secret: never shown."}
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def environment_table() -> str:
    """Every setting that is fixed when a process starts."""
    rows = []
    for field in msgspec.structs.fields(settings.Settings):
        hint = get_type_hints(settings.Settings, include_extras=True)[field.name]
        rows.append((f"`TURNOUT_{field.name.upper()}`", _kind(hint), _default(field), _description(hint)))
    return _table(("variable", "value", "default", "what it is"), rows)


def destination_tables() -> str:
    """The settings of every destination type."""
    return "\n".join(f"### `type: {kind.name}`\n\n{_settings_table(kind)}" for kind in registry.types().values())


def command_help() -> str:
    """What every command says with `--help`."""
    environment = {"COLUMNS": _WIDTH, "NO_COLOR": "1"}
    sections = []
    for words in _commands((), typer.main.get_command(cli.app)):
        done = CliRunner().invoke(cli.app, [*words, "--help"], prog_name="turnout", env=environment)
        text = "\n".join(line.rstrip() for line in done.output.splitlines()).strip()
        level = "##" if len(words) < 2 else "###"
        sections.append(f"{level} {' '.join(('turnout', *words))}\n\n```text\n{text}\n```\n")
    return "\n".join(sections)


def metric_table() -> str:
    """Every metric of `/metrics`."""
    one = DestinationFacts(outcomes={"delivered": 1}, filtered={"consent": 1})
    collector = Facts(
        process="collector",
        pid=1,
        started_ms=0,
        beat_ms=0,
        requests={"events 200": 1},
        events={"29/shop valid": 1},
        refusals={"invalid_json": 1},
        suppressed={"invalid_json": 1},
        commits={"0.001": 1, "inf": 0},
    )
    worker = Facts(
        process="worker",
        pid=1,
        started_ms=0,
        beat_ms=0,
        events={"29/shop valid": 1},
        cleansing={"29 Old orders": 1},
        enrichments={"29 success Cart": 1},
        cleansing_warnings={"29 Old orders": 1},
        destinations={"29/archive": one},
    )
    status = Status(
        ready=True,
        problems=[],
        processes={
            "collector": collector,
            "worker": worker,
            "control": Facts(process="control", pid=1, started_ms=0, beat_ms=0),
        },
        disk_free_bytes=0,
        log_bytes=0,
    )
    rows = []
    for family in text_string_to_metric_families(metrics.render(status).decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        rows.append((f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation))
    return _table(("metric", "type", "labels", "what it counts"), rows)


def function_tables() -> str:
    """The functions of the formula language, one table per section."""
    tables = []
    for title, functions in SECTIONS.items():
        rows = [
            f"| `{one.signature}` | {one.doc} | `{formula}` → `{value}` |"
            for one in functions
            for formula, value in one.examples[:1]
        ]
        tables.append(
            "\n".join([f"### {title}\n", "| function | what it gives | example |", "|---|---|---|", *rows, ""])
        )
    return "\n".join(tables)


def operation_table() -> str:
    """Every operation of the API."""
    rows = [
        (f"`{one.method} {one.path}`", f"`{one.scope}`" if one.scope else "", one.summary, _parameters(one.query))
        for one in OPERATIONS
    ]
    return _table(("operation", "scope", "what it does", "parameters"), rows)


def scope_table() -> str:
    """Every scope, and the roles that have it."""
    rows = [
        (f"`{scope}`", what, ", ".join(role for role, has in ROLES.items() if scope in has))
        for scope, what in SCOPES.items()
    ]
    return _table(("scope", "allows to", "roles"), rows)


def problem_table() -> str:
    """Every kind of problem."""
    rows = [(str(status), kind.title, ", ".join(f"`{code}`" for code in kind.codes)) for status, kind in KINDS.items()]
    return _table(("status", "what it says", "codes"), rows)


def parameter_table() -> str:
    """The standard parameters of a mapping."""
    return _table(("parameter", "its value"), [(f"`{name}`", f"`{text}`") for name, text in STANDARD.items()])


def alert_table() -> str:
    """Every category of alerts, with its parameters."""
    rows = []
    for category, kind in PARAMETERS.items():
        fields = msgspec.structs.fields(kind)
        parameters = ", ".join(f"`{field.name}: {_json(field.default)}`" for field in fields)
        rows.append((f"`{category}`", " ".join((kind.__doc__ or "").split()), parameters))
    return _table(("category", "what it does", "parameters and their defaults"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "alerts": alert_table,
    "environment": environment_table,
    "destinations": destination_tables,
    "commands": command_help,
    "metrics": metric_table,
    "operations": operation_table,
    "scopes": scope_table,
    "problems": problem_table,
    "parameters": parameter_table,
    "functions": function_tables,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or check them; the exit code."""
    stale = []
    for page in sorted(FOLDER.glob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n{match[3]}", before)
        if after != before:
            stale.append(page)
            if "--check" not in arguments:
                page.write_text(after, encoding="utf-8")
    if stale and "--check" in arguments:
        print(f"out of date, run tools/reference.py: {', '.join(page.name for page in stale)}")
        return 1
    return 0


def _commands(words: tuple[str, ...], command: object) -> Iterator[tuple[str, ...]]:
    """The words of a command, and of all commands below it."""
    yield words
    if isinstance(command, TyperGroup):
        for name, member in command.commands.items():
            yield from _commands((*words, name), member)


def _parameters(query: type[msgspec.Struct]) -> str:
    return ", ".join(f"`{field.encode_name}`" for field in msgspec.structs.fields(query))


def _settings_table(kind: registry.DestinationType) -> str:
    hints = get_type_hints(kind.config, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(kind.config):
        hint = hints[field.name]
        marks = [words for mark, words in _MARKS.items() if mark in _extra(hint)]
        examples = _meta(hint, "examples")
        example = f"`{_json(examples[0])}`" if isinstance(examples, list) and examples else ""
        rows.append((f"`{field.name}`", _kind(hint), _default(field), " ".join((_description(hint), *marks)), example))
    return _table(("setting", "value", "default", "what it is", "example"), rows)


def _extra(hint: object) -> dict[str, object]:
    found = _meta(hint, "extra")
    return found if isinstance(found, dict) else {}


def _description(hint: object) -> str:
    return str(_meta(hint, "description") or "")


def _meta(hint: object, name: str) -> object:
    """What the annotations of a field say: of several, the last one that says something."""
    found = [getattr(meta, name, None) for meta in getattr(hint, "__metadata__", ())]
    return next((value for value in reversed(found) if value is not None), None)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "" if value is None else f"`{_json(value)}`"


def _kind(hint: object) -> str:
    """The values a field takes, in words of the configuration."""
    low, high = _meta(hint, "ge"), _meta(hint, "le")
    bare: object = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    origin = get_origin(bare)
    members = [member for member in get_args(bare) if member is not type(None)]
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in members)
    if origin is dict or origin is list:
        return "mapping" if origin is dict else "list"
    if members:
        return " or ".join(_kind(member) for member in members)
    word = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false"}[_name(bare)]
    if low is not None and high is not None:
        return f"{word}, {low} to {high}"
    return f"{word}, {low} or more" if low is not None else word


def _name(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    for variable in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
        os.environ.pop(variable, None)
    sys.exit(main(sys.argv[1:]))
