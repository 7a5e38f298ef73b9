"""Commands about the configuration's versions and secrets, on a data directory without a server."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from turnout.cli import app
from turnout.cli.output import console

CONFIG = """\
# ours \u2026\r
sites:
  "29":
    sources: {shop: {type: web, key: k-1}}
    destinations:
      orders: {type: webhook, sources: [shop], settings: {url: "https://x.example", secret: hush-hush}}
"""


class Here:
    """A data directory and a configuration file beside it."""

    def __init__(self, folder: Path) -> None:
        self.data, self.file = folder / "data", folder / "turnout.yaml"

    def run(self, *arguments: str, stdin: bytes = b"") -> Result:
        environment = {"TURNOUT_DATA": str(self.data)}
        return CliRunner().invoke(app, arguments, env=environment, input=stdin)

    def apply(self, text: str, *more: str) -> Result:
        self.file.write_bytes(text.encode())
        return self.run("apply", "-f", str(self.file), *more)

    def diff(self, text: str, *more: str) -> Result:
        self.file.write_bytes(text.encode())
        return self.run("diff", str(self.file), *more)

    def history(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.run("history", "--json").stdout)
        return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    # Whoever imported it first may have fixed another width.
    monkeypatch.setattr(console, "_width", 200)
    return Here(tmp_path)


def test_apply_says_what_it_sealed_and_leaves_the_file_alone(here: Here) -> None:
    done = here.apply(CONFIG)
    assert done.stdout.startswith(f"secrets sealed with the key in {here.data}.key: 1\napplied configuration ")
    assert here.file.read_bytes().decode() == CONFIG
    stored = (here.data / "config.yaml").read_bytes().decode()
    assert "hush" not in stored
    before, after = stored.split("'${secret:v1:")[0], stored.split("}'", 1)[1]
    assert f"{before}hush-hush{after}" == CONFIG


def test_applying_and_comparing_what_is_applied_does_nothing(here: Here) -> None:
    first = json.loads(here.apply(CONFIG, "--note", "first", "--json").stdout)
    assert (first["number"], first["sealed"]) == (1, 1)
    exported = here.run("export").stdout_bytes.decode()
    assert exported.encode() == (here.data / "config.yaml").read_bytes()
    for text in (CONFIG, exported):
        assert here.diff(text).exit_code == 0
        assert json.loads(here.apply(text, "--json").stdout)["number"] == 1
    (only,) = here.history()
    assert (only["number"], only["origin"], only["note"], only["version"]) == (1, "cli", "first", first["version"])
    assert str(only["author"]).startswith("cli:")


def test_a_dry_run_shows_what_would_change_and_makes_nothing(here: Here) -> None:
    done = here.apply(CONFIG, "--dry-run")
    assert done.exit_code == 0
    assert "+    sources: {shop: {type: web, key: k-1}}" in done.stdout
    assert "hush" not in done.stdout
    assert list(here.data.parent.iterdir()) == [here.file]
    assert here.diff(CONFIG).exit_code == 1
    assert list(here.data.parent.iterdir()) == [here.file]


def test_a_difference_shows_that_a_secret_changed_and_not_what_it_is(here: Here) -> None:
    here.apply(CONFIG)
    done = here.diff(CONFIG.replace("hush-hush", "psst-psst").replace("key: k-1", "key: k-2"))
    assert done.exit_code == 1
    assert "psst" not in done.stdout
    assert done.stdout.count("secret: '${secret:***}'") == 2
    changes = json.loads(here.run("diff", str(here.file), "--json").stdout)["changes"]
    assert [one["path"] for one in changes] == [
        'sites."29".sources.shop.key',
        'sites."29".destinations.orders.settings.secret',
    ]


def test_versions_are_listed_compared_exported_and_come_back(here: Here) -> None:
    here.apply(CONFIG)
    first = here.run("export").stdout
    here.apply(CONFIG.replace("k-1", "k-2"), "--note", "new key")
    assert here.run("export", "--version", "1").stdout == first
    assert "+    sources: {shop: {type: web, key: k-2}}" in here.run("diff", "--version", "1").stdout
    assert here.diff(CONFIG, "--version", "1").exit_code == 0
    assert here.run("restore", "1").exit_code == 0
    assert here.run("export").stdout == first
    listed = here.run("history")
    assert "restored from version 1" in listed.stdout
    assert "new key" in listed.stdout
    assert [one["number"] for one in here.history()] == [3, 2, 1]
    assert json.loads(here.run("history", "--last", "1", "--json").stdout)[0]["number"] == 3


@pytest.mark.parametrize("command", [["export", "--version", "9"], ["diff", "--version", "9"], ["restore", "9"]])
def test_a_version_that_is_not_there_is_told(here: Here, command: list[str]) -> None:
    here.apply(CONFIG)
    done = here.run(*command)
    assert done.exit_code == 1
    assert "there is no version 9; see `turnout history`" in done.stderr


def test_what_can_not_be_done_is_told(here: Here) -> None:
    assert "give a FILE, or --version N, or both" in here.run("diff").stderr
    assert here.run("export").exit_code == 1
    for command in (["history"], ["restore", "1"], ["secrets", "rotate"]):
        assert "there is no data directory" in here.run(*command).stderr
    assert not here.data.exists()
    assert "no secret on standard input" in here.run("encrypt", stdin=b"\n").stderr
    assert "must be text in UTF-8" in here.run("encrypt", stdin=b"\xff").stderr


def test_what_encrypt_prints_may_stand_in_the_file(here: Here) -> None:
    token = here.run("encrypt", stdin=b"hush-hush\n").stdout.strip()
    written = CONFIG.replace("hush-hush", f"'{token}'")
    assert (
        here.run("encrypt", "--json", stdin=b"hush-hush").stdout
        == json.dumps({"secret": token}, separators=(",", ":")) + "\n"
    )
    assert json.loads(here.apply(written, "--json").stdout)["sealed"] == 0
    assert here.run("export").stdout_bytes.decode() == written
    assert here.diff(CONFIG).exit_code == 0
    here.file.write_bytes(written.encode())
    assert here.run("check", str(here.file)).exit_code == 0
    Path(f"{here.data}.key").unlink()
    wrong = here.run("check", str(here.file))
    assert wrong.exit_code == 1
    assert "orders.settings.secret: is sealed with the key" in wrong.stdout


def test_a_new_key_seals_what_is_applied_and_opens_what_was_before(here: Here) -> None:
    assert here.run("encrypt", stdin=b"x").exit_code == 0
    here.apply(CONFIG)
    before = here.run("export").stdout_bytes
    done = here.run("secrets", "rotate")
    assert f"in {here.data}.key seals secrets from now on" in done.stdout
    assert here.run("export").stdout_bytes != before
    assert here.diff(CONFIG).exit_code == 0
    assert here.run("restore", "1").exit_code == 0
    assert here.run("export").stdout_bytes == before
    key = json.loads(here.run("secrets", "rotate", "--json").stdout)["key"]
    assert f"{{secret:v1:{key}:" in here.run("export").stdout
