"""The reference knows everything there is, and nothing else: settings, fields, codes, metrics, commands."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.docs.pages import PAGES, ROOT, name_of
from turnout import breaker
from turnout.collect import limits
from turnout.control import configfile, specification
from turnout.control.alerts.rules import AlertFields
from turnout.control.cleansing import RuleFields
from turnout.control.mapping import MappingFields
from turnout.control.status import Status
from turnout.deliver import retry
from turnout.model.config import Delivery, Destination, Source
from turnout.model.outcome import REASON_OF
from turnout.model.specification import Actions, Property
from turnout.receipts.records import REPLAY
from turnout.settings import Settings

REFERENCE = ROOT / "docs" / "reference"
SOURCE = ROOT / "src" / "turnout"

_CODE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+:?")
_CARRIERS = {"Reason": 0, "RefusedValueError": 0, "refused": 0, "Result": 1, "Finding": 1}
"""Calls that give an event a code, and in which argument."""
_FOLDERS = (
    "collect",
    "process",
    "process/steps",
    "process/enrichment",
    "route",
    "receipts",
    "destinations",
    "deliver",
    "mapping",
)
_PHRASES = {"content_too_large", "uri_too_long", "range_not_satisfiable", "unprocessable_content"}
_NO_CODES = {
    # statuses and states
    "invalid_accepted", "invalid_rejected", "half_open", "dry_run",
    # properties of events, parameters, headers
    "consent_categories", "consistent_anonymous_id", "event_id", "event_name", "event_timestamp", "test_code",
    "user_agent", "tc_s", "tc_skey", "tc_do_not_track", "ga_url_param", "content_encoding", "content_length",
    "content_type", "transfer_encoding", "x_forwarded_for", "x_forwarded_host", "x_forwarded_proto",
    "x_forwarded_country", "x_forwarded_region", "x_forwarded_countryregion", "accept_encoding", "if_none_match",
    "sec_fetch_site", "validate_geo", "ssl_object",
    "user_id", "user_email", "user_phone", "page_url", "page_referrer", "search_term",
    "derived_from", "original_event_name", "after_enrichment", "cleanse_after_enrichment", "same_level",
    "country_name", "region_name", "postal_code", "iso_code", "time_zone",
    # settings, functions, formats of the catalogue
    "all_event_data", "rotate_bytes", "rotate_seconds", "open_destination", "iana_tz", "md5_hex", "ms_timestamp",
    "sha256_hex", "commit_us", "omit_silently",
    # lines of the server's log
    "file_not_cut_back", "file_not_packed",
    # indexes of the receipts
    "dead_reason", "dead_room", "ledger_replay",
}  # fmt: skip
"""Words of the code that look like codes. Whoever adds a word adds it here, or to the page."""


def test_generated_pages_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"run `make docs`: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    ("title", "kind", "own"),
    [
        ("Sources", Source, {"site", "name"}),
        ("Destinations", Destination, {"site", "name", "time_zone"}),
        ("Delivery", Delivery, set[str]()),
        ("Cleansing", RuleFields, set[str]()),
        ("Alerts", AlertFields, set[str]()),
        ("Mapping", MappingFields, set[str]()),
        ("Specification", specification.Fields, set[str]()),
        ("Actions", Actions, set[str]()),
        ("Properties", Property, set[str]()),
    ],
)
def test_every_field_of_the_configuration_is_explained(title: str, kind: type[msgspec.Struct], own: set[str]) -> None:
    rows = {name.strip("`"): row for row in _table("configuration.md", title) for name in row[0].split(", ")}
    fields = {field.name: field for field in msgspec.structs.fields(kind) if field.name not in own}
    assert set(rows) == set(fields)
    for name, field in fields.items():
        stated = rows[name][2].strip("`")
        if not field.required and stated:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            as_list = list(default) if isinstance(default, frozenset | tuple) else default
            assert msgspec.json.decode(stated) == as_list, name


def test_every_setting_that_the_configuration_file_takes_is_a_field() -> None:
    known = set(configfile._SOURCE_FIELDS) | set(configfile._DESTINATION_FIELDS)
    assert known == {
        row[0].strip("`") for title in ("Sources", "Destinations") for row in _table("configuration.md", title)
    }


def test_every_code_is_explained_and_every_explained_code_exists() -> None:
    produced = set(_codes_in_the_source())
    explained = set(_codes_in_the_page())
    assert produced - explained == set(), "codes that docs/reference/reasons.md does not explain"
    assert explained - produced == set(), "codes that nothing produces"


@pytest.mark.parametrize(
    ("page", "said", "true"),
    [
        ("docs/reference/http.md", "{} bytes, after unpacking", limits.EVENT_BYTES),
        ("docs/reference/http.md", "{} bytes, after unpacking", limits.BATCH_BYTES),
        ("docs/reference/http.md", "| nesting | {} levels |", limits.NESTING),
        ("docs/reference/http.md", "| `event_name` | {} characters |", limits.NAME_CHARACTERS),
        ("docs/reference/reasons.md", "over {} bytes for an event", limits.EVENT_BYTES),
        ("docs/how-to/destination-is-down.md", "After {} attempts", Delivery().max_attempts),
        ("docs/how-to/destination-is-down.md", "After {} failures in a row", breaker.THRESHOLD),
        ("docs/how-to/destination-is-down.md", "Waits are {} s", int(Delivery().backoff_s)),
        ("docs/how-to/destination-is-down.md", "an hour at most", retry.LONGEST_S == 3600),
        ("README.md", "above {} refusals a second per source", int(limits._PER_SOURCE[0])),
        ("README.md", "({} a second for all unknown senders)", int(limits._STRANGERS[0])),
        ("README.md", "tried again, {} times", Delivery().max_attempts),
        ("README.md", "every event of the last {} days", Settings().replay_days),
    ],
)
def test_numbers_are_those_of_the_code(page: str, said: str, true: int) -> None:
    text = " ".join((ROOT / page).read_text().split())
    assert true
    assert said.format(true) in text


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_in_a_page_are_names_of_the_program(page: Path) -> None:
    text = page.read_text()
    variables = {f"TURNOUT_{field.upper()}" for field in Settings.__struct_fields__}
    variables |= set(re.findall(r"env var: (TURNOUT_[A-Z_]+)", _commands_page()))
    assert set(re.findall(r"\bTURNOUT_[A-Z_]+\b", text)) <= variables
    metrics = {row[0].strip("`") for row in _table("metrics.md", "Metrics")}
    parts = {f"{name}_{part}" for name in metrics for part in ("bucket", "sum", "count")}
    assert set(re.findall(r"\bturnout_[a-z_]+\b", text)) <= metrics | parts
    for command in re.findall(r"(?:^|[ `/])turnout ((?:[a-z]+ ?)[^`\n|]*)", text, re.MULTILINE):
        _check_command(command.split())


def test_ready_is_explained_as_it_answers() -> None:
    assert {"ready", "problems"} <= set(Status.__struct_fields__)


def _check_command(words: list[str]) -> None:
    """The options that follow a command's name exist. Words that begin no command are prose."""
    helps = dict(
        re.findall(r"^##+ turnout ([a-z ]+)\n\n```text\n(.*?)^```", _commands_page(), re.MULTILINE | re.DOTALL)
    )
    name = next((name for n in (2, 1) if (name := " ".join(words[:n])) in helps), None)
    if name is None:
        return
    given = {word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", helps[name]))
    assert given <= known, f"{name}: {given - known}"


def _commands_page() -> str:
    return (REFERENCE / "commands.md").read_text()


def _table(page: str, title: str) -> list[list[str]]:
    """The rows of the first table under a heading."""
    text = (REFERENCE / page).read_text()
    section = re.split(rf"^#+ {title}$", text, flags=re.MULTILINE)[1]
    rows = []
    for line in section[section.index("\n|") + 1 :].splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" |")])
    return rows


def _codes_in_the_page() -> Iterator[str]:
    for line in (REFERENCE / "reasons.md").read_text().splitlines():
        if line.startswith("| `"):
            codes = re.findall(r"`([a-z_0-9…]+)`", line.split(" | ")[0])
            yield from (code for code in codes if not code[0].isdigit())


def _codes_in_the_source() -> Iterator[str]:
    """Every word that an event can carry: what is handed to a carrier, and what looks like a code."""
    yield from (*REASON_OF.values(), REPLAY)
    for folder in _FOLDERS:
        for file in (SOURCE / folder).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                yield from _codes(node)


def _codes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        carrier = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        place = _CARRIERS.get(carrier, len(node.args))
        named = [keyword.value for keyword in node.keywords if keyword.arg in ("reason", "code")]
        for argument in (*node.args[place : place + 1], *named):
            if isinstance(argument, ast.Constant) and re.fullmatch("[a-z][a-z0-9_]*", str(argument.value)):
                yield str(argument.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
        word = node.value.removesuffix(":")
        if word not in _NO_CODES | _PHRASES:
            yield word
