"""What every command promises in its help: variables, exit codes; and how wrong calls end."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from turnout.cli import app, main, variables
from turnout.settings import Settings, variable

WIDE = {"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1"}
COMMANDS = [
    *(
        ["serve"],
        ["check"],
        ["apply"],
        ["export"],
        ["diff"],
        ["history"],
        ["restore"],
        ["send"],
        ["trace"],
        ["tail"],
        ["status"],
        ["audit"],
    ),
    *(["dead", "list"], ["dead", "replay"], ["try", "formula"]),
    *(["encrypt"], ["secrets", "rotate"]),
    *(["token", "create"], ["token", "list"], ["token", "revoke"]),
]
MACHINE_READABLE = [words for words in COMMANDS if words not in (["serve"], ["export"])]


def help_of(words: list[str]) -> str:
    done = CliRunner().invoke(app, [*words, "--help"], env=WIDE)
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("words", [[], *COMMANDS], ids=" ".join)
def test_the_help_tells_the_exit_codes(words: list[str]) -> None:
    assert re.search(r"Exit codes: 0 .+ · 2 the call or its input was wrong", help_of(words))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_has_its_variable_and_the_help_names_it(words: list[str]) -> None:
    options = re.findall(r"^│[ *]+--(?!help)([a-z-]+)", help_of(words), re.MULTILINE)
    named = re.findall(r"\[env var:\s+(TURNOUT_\w+)", help_of(words))
    assert len(named) == len(options)


@pytest.mark.parametrize("words", MACHINE_READABLE, ids=" ".join)
def test_every_command_that_tells_something_has_json(words: list[str]) -> None:
    assert "--json" in help_of(words)


def test_the_help_of_serve_names_every_variable_of_the_server() -> None:
    text = help_of(["serve"])
    assert [name for name in map(variable, Settings.__struct_fields__) if name not in text] == []


def test_variables_of_nested_commands_carry_their_path() -> None:
    known = set(variables(typer.main.get_command(app), "TURNOUT"))
    assert {"TURNOUT_DATA", "TURNOUT_JSON", "TURNOUT_TAIL_REJECTED", "TURNOUT_DEAD_REPLAY_DRY_RUN"} <= known


@pytest.fixture
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and stderr of the real entry point."""
    monkeypatch.setattr("sys.argv", ["turnout", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    code = ended.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["trace", "x"], 2, "turnout-data is no data directory of a server: give --data DIR, or start `turnout serve`"),
        (["tail"], 2, "is no data directory of a server"),
        (["status"], 2, "is no data directory of a server"),
        (["audit"], 2, "is no data directory of a server"),
        (["dead", "list"], 2, "is no data directory of a server"),
        (["check", "none.yaml"], 2, "can't read none.yaml"),
        (["apply", "-f", "none.yaml"], 2, "can't read none.yaml"),
        (["export"], 1, "no configuration was applied yet: `turnout apply -f turnout.yaml`"),
        (["send", "none.json"], 2, "can't read none.json"),
        (["serve", "--only", "worker2"], 2, "choose one of collector, worker, control"),
        (["serve", "--collect", "8080"], 2, "--collect: '8080' is not HOST:PORT (for example 127.0.0.1:8080)"),
        (["trase"], 2, "No such command"),
        (["tail", "--last", "-1"], 2, "Invalid value for '--last'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_call_ends_with_what_to_do(
    arguments: list[str],
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended, errors = run(arguments, monkeypatch, capsys)
    assert text in errors
    assert ended == code
    assert "Traceback" not in errors


@pytest.mark.usefixtures("_here")
def test_nobody_listening_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "event.json").write_text('{"event_name": "login"}')
    arguments = ["send", "event.json", "--site", "29", "--key", "k", "--url", "127.0.0.1:9"]
    code, errors = run(arguments, monkeypatch, capsys)
    assert code == 1
    assert "is `turnout serve` running?" in errors


@pytest.mark.usefixtures("_here")
def test_a_mistyped_variable_is_told_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TURNOUT_CONTROLL", "127.0.0.1:1")
    _, errors = run(["export"], monkeypatch, capsys)
    assert "TURNOUT_CONTROLL: is not a variable of turnout and has no effect (did you mean TURNOUT_CONTROL?)" in errors
