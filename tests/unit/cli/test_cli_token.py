"""`turnout token`: the first token needs no server and no other token."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from turnout.cli import app
from turnout.control import applied
from turnout.control.access import token

CONFIG = 'sites: {"29": {sources: {shop: {type: web, key: k-1}}}}'


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["token", *arguments, "--data", str(data)], env={"COLUMNS": "200"})


def tokens(data: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run(data, "list", "--json").stdout)
    return found


def test_a_token_is_printed_alone_and_only_once(tmp_path: Path) -> None:
    done = run(tmp_path / "new", "create", "--site", "29", "--role", "viewer", "--name", "board", "--expires", "90d")
    assert done.exit_code == 0
    made = token.read(done.stdout.strip())
    assert made is not None
    assert f"{made.id}: viewer of site 29, expires" in done.stderr
    listed = run(tmp_path / "new", "list").stdout
    assert made.id in listed
    assert "board" in listed
    assert made.secret not in listed
    assert made.secret not in run(tmp_path / "new", "list", "--json").stdout


def test_everything_about_a_token_is_there_for_machines(tmp_path: Path) -> None:
    done = run(
        tmp_path, "create", "--site", "29", "--site", "31", "--scope", "sources:read", "--expires", "1h", "--json"
    )
    made = json.loads(done.stdout)
    secret = made.pop("token")
    assert secret.startswith("trn_")
    assert made == tokens(tmp_path)[0]
    assert (made["role"], made["scopes"], made["sites"]) == ("custom", ["sources:read"], ["29", "31"])
    assert made["expires_ms"] - made["created_ms"] == 3_600_000


def test_a_token_for_all_sites_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "create", "--all-sites", "--role", "admin")
    assert "admin of all sites, does not expire" in done.stderr
    assert tokens(tmp_path)[0]["sites"] == ["*"]


def test_a_revoked_token_stays_in_the_list_and_can_not_be_revoked_again(tmp_path: Path) -> None:
    made = json.loads(run(tmp_path, "create", "--site", "29", "--role", "admin", "--json").stdout)
    done = run(tmp_path, "revoke", made["id"])
    assert (done.exit_code, done.stdout.strip()) == (0, f"{made['id']} is revoked")
    assert tokens(tmp_path)[0]["revoked_ms"] is not None
    assert "revoked" in run(tmp_path, "list").stdout
    for unknown in (made["id"], "tok_1"):
        again = run(tmp_path, "revoke", unknown)
        assert again.exit_code == 1
        assert "see `turnout token list`" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--role", "admin"], "give --site 29, or --all-sites"),
        (["--site", "29"], "give either --role"),
        (["--site", "29", "--role", "admin", "--scope", "sources:read"], "give either --role"),
        (["--site", "29", "--scope", "sources:raed"], "--scope sources:raed: known scopes are sources:read,"),
        (["--site", "2 9", "--role", "admin"], "is no usable name of a site"),
        (["--site", "*", "--role", "admin"], "is no usable name of a site"),
        (["--site", "29", "--role", "admin", "--expires", "soon"], "--expires soon: write 12h or 90d, or a date"),
        (["--site", "29", "--role", "admin", "--expires", "2020-01-01"], "--expires 2020-01-01: is over already"),
        (["--site", "29", "--role", "owner"], "Invalid value for '--role'"),
    ],
)
def test_a_token_that_can_not_be_is_not_made(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run(tmp_path, "create", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert tokens(tmp_path) == []


def test_a_site_that_is_not_configured_is_warned_of(tmp_path: Path) -> None:
    applied.store(tmp_path, CONFIG)
    assert "has no site 31; it has 29" in run(tmp_path, "create", "--site", "31", "--role", "viewer").stderr
    assert "has no site" not in run(tmp_path, "create", "--site", "29", "--role", "viewer").stderr


def test_looking_makes_no_data_directory(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    for arguments in (["list"], ["revoke", "tok_1"]):
        done = run(absent, *arguments)
        assert done.exit_code == 2
        assert "there is no data directory" in done.stderr
    assert not absent.exists()
