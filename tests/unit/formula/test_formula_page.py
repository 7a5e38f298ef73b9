"""The page on formulas is true: every example gives what it says, every function, code and limit is on it."""

import json
import re
from zoneinfo import ZoneInfo

import pytest

from tests.docs.pages import ROOT, blocks
from tests.support.formulas import SAMPLE, run_on, value_of
from turnout.formula import compile_formula, dates, limits
from turnout.formula.dateformat import formatter
from turnout.formula.functions import FUNCTIONS

PAGE = (ROOT / "docs" / "reference" / "formulas.md").read_text()
EXAMPLES: list[tuple[str, str]] = re.findall(r"`([^`\n]+)` → `([^`\n]+)`", PAGE)
CODES = set(re.findall(r"`([a-z0-9_]+)`", "".join(re.findall(r"^\| `[a-z_].*?\|", PAGE.split("code | what")[1], re.M))))


def test_the_page_shows_the_sample_event() -> None:
    assert json.loads(blocks(PAGE, "json")[0].text) == SAMPLE


@pytest.mark.parametrize(("formula", "expected"), EXAMPLES, ids=[formula for formula, _ in EXAMPLES])
def test_an_example_gives_what_the_page_says(formula: str, expected: str) -> None:
    assert json.dumps(value_of(formula)) == json.dumps(json.loads(expected))


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
def test_every_function_is_on_the_page_with_an_example(function: object) -> None:
    shown = [one for one in FUNCTIONS.values() if one is function]
    for one in shown:
        assert f"| `{one.signature}` | {one.doc} | `{one.examples[0][0]}` → " in PAGE
        assert any(formula == one.examples[0][0] for formula, _ in EXAMPLES)


def test_every_format_letter_on_the_page_writes_what_it_says() -> None:
    moment = dates.at(1_407_344_824_054, ZoneInfo("America/New_York"))
    assert moment is not None
    rows = re.findall(r"^\| (`[a-zA-Z` ]+`) \| [^|]+ \| (`.+`) \|$", PAGE.split("| letters |")[1], re.MULTILINE)
    pairs = [(row[0].strip("`").split("` `"), row[1].strip("`").split("` `")) for row in rows]
    assert len(pairs) > 15
    for letters, shown in pairs:
        written = [formatter(one)(moment) for one in letters]
        assert [text for text in written if text in shown] == written, letters


def test_every_warning_on_the_page_is_one_that_exists() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "src" / "turnout" / "formula").rglob("*.py"))
    assert set(re.findall(r'\.warn\(\s*"([a-z0-9_]+)"', sources)) == CODES


@pytest.mark.parametrize(
    "row",
    [
        f"| length of a formula | {limits.TEXT_CHARACTERS} characters |",
        f"| nesting | {limits.NESTING} levels |",
        f"| entries of an array or object that is written out | {limits.LITERAL_ENTRIES} |",
        f"| elements that FOR_EACH and the like go through | {limits.ELEMENTS} |",
        f"| result, and every text on the way | {limits.RESULT_BYTES} bytes |",
        f"| pattern | {limits.PATTERN_CHARACTERS} characters |",
    ],
)
def test_the_limits_on_the_page_are_those_of_the_code(row: str) -> None:
    assert row in PAGE


def test_functions_describe_themselves() -> None:
    for one in FUNCTIONS.values():
        assert one.doc.endswith(".")
        for formula, expected in one.examples:
            assert compile_formula(formula).value(run_on()) == json.loads(expected)
