"""A running server follows every change of its configuration, with sealed secrets and keys that end."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.partners import Partner, Town
from tests.support.server import Server, until
from turnout.control.access.database import Database
from turnout.control.configuration.edit import Editor
from turnout.control.configuration.secrets import Secrets
from turnout.control.configuration.store import Configurations

CONFIG = """\
# The shop's events.
sites:
  "29":
    sources:
      shop: {{type: web, key: first-key}}   # the web shop
    destinations:
      orders:
        type: webhook
        sources: [shop]
        settings:
          url: {url}
          headers: {{X-Api-Key: "hush-hush"}}
        delivery: {{backoff_s: 0.1}}
"""
SHOP = ("sites", "29", "sources", "shop")


@pytest.fixture(scope="module")
def partner() -> Iterator[Partner]:
    with Town(Partner()) as town:
        yield town.partners[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, partner: Partner) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("changes")
    with Server(folder / "data", CONFIG.format(url=partner.url)) as running:
        yield running


def versions_of(server: Server) -> Configurations:
    database = Database.of(server.data)
    return Configurations(server.data, database, {}, Secrets(Path(f"{server.data}.key")))


def send(server: Server, key: str, event_id: str) -> None:
    event = {"event_name": "a", "context": {"event_id": event_id}}
    assert server.post(event, query=f"tc_s=29&token={key}")[0] == 200


def fate(server: Server, event_id: str) -> str:
    """The reason why the event was refused, or its status."""
    until(lambda: server.trace(event_id), "the event")
    (found,) = server.trace(event_id)
    reasons = found["reasons"]
    assert isinstance(reasons, list)
    return str(reasons[0]["code"]) if reasons else str(found["status"])


def arrived(partner: Partner, event_id: str) -> dict[str, str]:
    """The headers with which an event came."""
    until(lambda: event_id in partner.ids(), f"{event_id} at the partner")
    return next(one.headers for one in partner.received if event_id in one.ids())


def test_what_was_applied_at_the_start_has_no_secret_in_clear_and_works(server: Server, partner: Partner) -> None:
    applied = (server.data / "config.yaml").read_text()
    assert "hush-hush" not in applied
    assert applied.replace(applied.split('X-Api-Key: "')[1].split('"')[0], "hush-hush") == server.configured.read_text()
    send(server, "first-key", "e-start")
    assert arrived(partner, "e-start")["x-api-key"] == "hush-hush"
    (first,) = json.loads(server.run("history", "--json").stdout)
    assert (first["number"], first["author"], first["origin"]) == (1, "file", "start")
    for path in (*server.data.glob("control.db*"), server.data / "config.working.yaml"):
        assert b"hush-hush" not in path.read_bytes()


def test_an_export_is_to_the_byte_and_applying_it_changes_nothing(server: Server) -> None:
    exported = server.data.parent / "exported.yaml"
    exported.write_bytes(server.run("export").stdout)
    assert exported.read_bytes() == (server.data / "config.yaml").read_bytes()
    for file in (exported, server.configured):
        assert server.run("diff", str(file)).returncode == 0
        assert server.run("apply", "-f", str(file)).returncode == 0
    assert len(json.loads(server.run("history", "--json").stdout)) == 1


def test_versions_are_compared_and_come_back(server: Server) -> None:
    other = server.data.parent / "other.yaml"
    other.write_text(server.configured.read_text().replace("first-key", "second-key").replace("hush-hush", "psst-psst"))
    tried = server.run("apply", "-f", str(other), "--dry-run")
    compared = server.run("diff", str(other))
    assert (tried.returncode, compared.returncode) == (0, 1)
    assert tried.stdout == compared.stdout
    assert '-          headers: {X-Api-Key: "${secret:***}"}' in compared.stdout.decode()
    assert b"psst" not in compared.stdout
    changes = json.loads(server.run("diff", str(other), "--json").stdout)["changes"]
    assert [one["path"].rpartition('"29".')[2] for one in changes] == [
        "sources.shop.key",
        "destinations.orders.settings.headers.X-Api-Key",
    ]

    done = server.run("apply", "-f", str(other), "--note", "new keys", "--json")
    assert json.loads(done.stdout)["sealed"] == 1
    send(server, "second-key", "e-second")
    assert fate(server, "e-second") == "valid"
    assert server.run("diff", "--version", "1").returncode == 1
    assert server.run("restore", "1").returncode == 0
    send(server, "second-key", "e-gone")
    assert fate(server, "e-gone") == "unknown_source_key"
    notes = [one["note"] for one in json.loads(server.run("history", "--json").stdout)]
    assert notes[:2] == ["restored from version 1", "new keys"]
    assert server.run("export", "--version", "1").stdout == server.run("export").stdout
    assert server.run("restore", "99").returncode == 1


def test_collector_and_worker_follow_an_edit(server: Server, partner: Partner) -> None:
    versions = versions_of(server)

    def change(editor: Editor) -> None:
        editor.set([*SHOP, "keys"], [{"key": "new-key"}])
        editor.set(["sites", "29", "destinations", "orders", "settings", "headers", "X-More"], "more-hush")

    made = versions.edit("tok_1", "api", 1, change)
    assert "more-hush" not in made.text
    assert "   # the web shop" in made.text
    until(lambda: json.loads(server.get("/ready")[1])["ready"] and works(server, "new-key"), "the new key")
    until(lambda: followed(server, partner), "the new header")


def works(server: Server, key: str) -> bool:
    event_id = f"e-{key}-{time.monotonic_ns()}"
    send(server, key, event_id)
    return fate(server, event_id) == "valid"


def followed(server: Server, partner: Partner) -> bool:
    event_id = f"e-{time.monotonic_ns()}"
    send(server, "new-key", event_id)
    return arrived(partner, event_id).get("x-more") == "more-hush"


def test_a_key_ends_at_its_time_without_any_change(server: Server) -> None:
    end = datetime.fromtimestamp(time.time() + 3, UTC).isoformat()
    keys = [{"key": "ending-key", "until": end}]
    versions_of(server).edit("tok_1", "api", 2, lambda editor: editor.set([*SHOP, "keys"], keys))
    until(lambda: works(server, "ending-key"), "the key to work")
    until(lambda: not works(server, "ending-key"), "its end")
    send(server, "ending-key", "e-ended")
    assert fate(server, "e-ended") == "key_revoked"
    assert works(server, "first-key")


def test_a_new_key_of_secrets_disturbs_nothing(server: Server, partner: Partner) -> None:
    before = server.run("export").stdout
    assert server.run("secrets", "rotate").returncode == 0
    after = server.run("export").stdout
    assert before != after
    assert server.run("diff", str(server.configured)).returncode == 1
    send(server, "first-key", "e-rotated")
    assert arrived(partner, "e-rotated")["x-api-key"] == "hush-hush"
    token = server.run("encrypt", stdin=b"hush-hush\n").stdout.strip()
    assert token in after


def test_without_its_key_file_the_server_goes_on_and_says_what_is_missing(server: Server, partner: Partner) -> None:
    key, away = Path(f"{server.data}.key"), server.data.parent / "away.key"
    key.rename(away)
    until(lambda: b"is not there" in server.get("/ready")[1], "the warning")
    assert server.get("/ready")[0] == 200
    send(server, "first-key", "e-without")
    assert arrived(partner, "e-without")["x-api-key"] == "hush-hush"
    refused = server.run("apply", "-f", str(server.configured))
    away.rename(key)
    assert refused.returncode in (0, 1)
    until(lambda: b"is not there" not in server.get("/ready")[1], "everything to be well again")
