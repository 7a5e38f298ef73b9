"""`turnout try formula`: the value on stdout, what did not fit on stderr, exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from turnout.cli import app


def tried(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["try", "formula", *arguments], input=stdin, env={"COLUMNS": "200"})


def test_it_prints_the_value_as_json(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"items": [{"p": 1.5}, {"p": "2"}]}')
    done = tried("SUM(items, p)", "--event", str(event))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "3.5\n", "")
    done = tried("FOR_EACH(items, {price: p})", "--event", "-", stdin=event.read_text())
    assert json.loads(done.stdout) == [{"price": 1.5}, {"price": "2"}]
    assert tried("missing").stdout == "null\n"


def test_it_says_what_did_not_fit() -> None:
    done = tried('"x" * 2')
    assert (done.exit_code, done.stdout) == (0, "null\n")
    assert done.stderr == 'turnout: not_a_number: "x" is not a number\n'
    assert "without quotes" in tried('SUM(a, "price")').stderr


def test_json_is_one_document() -> None:
    document = json.loads(tried("'x' * 2 or a==1", "--json").stdout)
    assert document["value"] is False
    assert [warning["code"] for warning in document["warnings"]] == ["not_a_number"]
    assert document["formula"] == '"x" * 2 || a = 1'


def test_an_error_ends_with_2_and_shows_the_place() -> None:
    done = tried("1 +\n  LOVER(a)")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr == (
        "turnout: line 2, column 3: there is no function LOVER (did you mean LOWER?)\n    LOVER(a)\n    ^\n"
    )


def test_a_limit_ends_with_1_and_no_value() -> None:
    done = tried("FOR_EACH(a, FOR_EACH(root.a, 1))", "--event", "-", stdin=json.dumps({"a": [1] * 2_000}))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "limit: too much work" in done.stderr


@pytest.mark.parametrize(
    ("event", "message"),
    [("{", "- is not JSON"), ("[1]", "an event is a JSON object"), ("\xff", "- is not JSON")],
)
def test_what_is_no_event_is_refused(event: str, message: str) -> None:
    done = tried("1", "--event", "-", stdin=event)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    done = tried("1", "--event", str(tmp_path / "none.json"))
    assert done.exit_code == 2
    assert "can't read" in done.stderr
