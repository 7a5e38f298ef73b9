"""Every snippet of the documentation does what the page says.

After a change of what the program prints: `make docs` runs the pages and writes the new output into them.
"""

import ast
import configparser
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import PAGES, Block, Remark, blocks, name_of, steps
from tests.docs.transcript import Mismatch, Session, commands, compiled
from turnout.control import configfile

_UPDATE = "UPDATE_DOCS" in os.environ
_LANGUAGES = {"console", "yaml", "json", "python", "ini", "text"} | {"html", "javascript"}
"""The last two run in a browser: `tests/browser/test_tag_page.py`."""


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page.read_text(), "console")], ids=name_of)
def test_a_page_prints_what_it_shows(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    todo = list(steps(text))
    session = Session(tmp_path, checkout=Remark("checkout", "") in todo, updating=_UPDATE)
    try:
        for step in todo:
            session.follow(step)
    finally:
        session.close()
    if _UPDATE:
        page.write_text(_updated(text, session.mismatches))
        return
    for one in session.mismatches:
        shown = f"{name_of(page)}, line {one.block.line}: $ {one.command}"
        assert one.printed.splitlines() == one.expected.splitlines(), shown


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_kind_that_is_run_or_checked(page: Path) -> None:
    for block in blocks(page.read_text()):
        assert block.language in _LANGUAGES, f"{name_of(page)}, line {block.line}: {block.language!r}"
        match block.language:
            case "yaml":
                _check_yaml(block)
            case "json":
                assert json.loads(block.text)
            case "python":
                ast.parse(block.text)
            case "ini":
                configparser.ConfigParser(strict=False).read_string(block.text)


def test_what_is_not_run_says_why() -> None:
    for page in PAGES:
        for block in blocks(page.read_text()):
            assert len(block.remarks.get("not run", "x x x").split()) >= 3


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("200 {}", "200 {}", True),
        ("200 {}", "400 {}", False),
        ("a  b", "a    b", True),
        ("12 MB, pid 4711", "9 MB, pid 12", True),
        ("delivered 2", "delivered 3", False),
        ("22:02:06  valid", "07:00:59  valid", True),
        ("one\n…\nlast", "one\ntwo\nthree\nlast", True),
        ("one … three", "one two three", True),
        ("one … three", "one two four", False),
        ("one", "one\ntwo", False),
        ("0f0e0d0c-1111-2222-3333-444455556666 x", "aaaaaaaa-1111-2222-3333-444455556666 x", True),
    ],
)
def test_only_values_that_vary_may_differ(shown: str, printed: str, same: bool) -> None:
    pattern, _ = compiled(shown)
    assert (pattern.fullmatch(printed) is not None) == same


def test_a_transcript_is_commands_and_what_they_print() -> None:
    text = "$ one \\\n  more\nout\n$ two\n$ three\na\nb\n"
    assert commands(text) == [("one \\\n  more", "out"), ("two", ""), ("three", "a\nb")]


def _check_yaml(block: Block) -> None:
    """A configuration of ours is loaded as the server does; others must be YAML."""
    if block.remarks.get("exit") == "2":
        return
    if "sites:" in block.text:
        environment = dict.fromkeys(re.findall(r"\$\{(\w+)", block.text), "value-from-environment")
        configfile.load(block.text, environment)
    else:
        assert yaml.safe_load(block.text)


def _updated(text: str, mismatches: list[Mismatch]) -> str:
    """The page with what was really printed in place of what it shows."""
    lines = text.split("\n")
    blocks_ = {one.block.line: one.block for one in mismatches}
    for start, block in sorted(blocks_.items(), reverse=True):  # from below, so that line numbers stay true
        printed = {one.command: one.printed for one in mismatches if one.block.line == start}
        fresh: list[str] = []
        for command, expected in commands(block.text):
            fresh += f"$ {command}".split("\n")
            output = _kept(expected, printed.get(command, expected))
            fresh += output.split("\n") if output else []
        lines[start : start + block.text.count("\n")] = fresh
    return "\n".join(lines)


def _kept(expected: str, printed: str) -> str:
    """What was printed, but each line as the page has it already where that is true."""
    shown = [line for line in expected.split("\n") if line not in ("", "…")]
    return "\n".join(
        next((line for line in shown if _indent(line) == _indent(real) and compiled(line)[0].fullmatch(real)), real)
        for real in printed.split("\n")
    )


def _indent(line: str) -> int:
    """How deep a line is: in documents it tells what belongs to what."""
    return len(line) - len(line.lstrip())
