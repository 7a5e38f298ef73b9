"""`turnout user`: accounts are made and links given out on the machine itself, with or without a server."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from turnout.cli import app
from turnout.control.access.database import Database
from turnout.control.access.door import Door
from turnout.control.access.links import Links
from turnout.control.access.logins import Logins
from turnout.model.clock import now_ms

START = "http://127.0.0.1:8081/ui/welcome/"


def run(data: Path, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, ["user", *arguments, "--data", str(data)], env={"COLUMNS": "200", **environment})


def opens(data: Path, url: str) -> str:
    """Whose account a link opens; empty: nobody's."""
    database = Database.of(data)
    try:
        found = Links(database).look(url.strip().removeprefix(START), now_ms())
        return found.account.email if found is not None and found.account is not None else ""
    finally:
        database.close()


def test_the_link_is_printed_alone_and_opens_the_account(tmp_path: Path) -> None:
    done = run(tmp_path / "new", "create", "--email", "Ana@example.org", "--role", "admin")
    assert done.exit_code == 0
    assert done.stdout.startswith(START)
    assert "admin of every site. It opens once, within 24 hours, and is shown only now." in done.stderr
    assert opens(tmp_path / "new", done.stdout) == "ana@example.org"
    listed = run(tmp_path / "new", "list").stdout
    assert "ana@example.org" in listed
    assert "invited" in listed


def test_everything_about_an_account_is_there_for_machines(tmp_path: Path) -> None:
    arguments = ("create", "--email", "bob@example.org", "--site", "29", "--site", "31", "--language", "fr", "--json")
    made = json.loads(run(tmp_path, *arguments, TURNOUT_PUBLIC_URL="https://turnout.example.org/t/").stdout)
    link = made.pop("link")
    assert link.startswith("https://turnout.example.org/t/ui/welcome/")
    assert made == json.loads(run(tmp_path, "list", "--json").stdout)[0]
    assert (made["role"], made["sites"], made["language"], made["state"]) == ("viewer", ["29", "31"], "fr", "invited")


def test_another_link_ends_the_first(tmp_path: Path) -> None:
    first = run(tmp_path, "create", "--email", "ana@example.org").stdout
    second = run(tmp_path, "link", "ANA@example.org").stdout
    assert [opens(tmp_path, one) for one in (first, second)] == ["", "ana@example.org"]
    database = Database.of(tmp_path)
    try:
        door = Door(database, Logins())
        opened = door.accept(second.strip().removeprefix(START), "correct horse battery", "192.0.2.1", now_ms())
        assert door.session(opened.secret, now_ms()) is not None
    finally:
        database.close()
    assert json.loads(run(tmp_path, "list", "--json").stdout)[0]["state"] == "active"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "--email", "ana"), 2, "'ana' is no e-mail address: write ana@example.org"),
        (("create", "--email", "b@example.org", "--site", "a/b"), 2, "--site a/b: is no usable name of a site"),
        (("create", "--email", "ana@example.org"), 1, "for another link: `turnout user link ana@example.org`"),
        (("link", "bob@example.org"), 1, "there is no account with the address bob@example.org"),
    ],
)
def test_what_can_not_be_is_told_with_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    run(tmp_path, "create", "--email", "ana@example.org")
    done = run(tmp_path, *arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr
