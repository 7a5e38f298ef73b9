"""A running server follows every change of its configuration, with sealed secrets and keys that end."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.partners import Partner, Town
from tests.support.server import Server, until
from turnout.app import open_log
from turnout.control.access.database import Database
from turnout.control.configuration.edit import Editor
from turnout.control.configuration.secrets import Secrets
from turnout.control.configuration.store import Configurations
from turnout.model.errors import ConfigError
from turnout.receipts.store import Store
from turnout.receipts.trace import trace as find_trace
from turnout.settings import Settings

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
    one = Partner()
    with Town(one):
        yield one


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
    log, store = open_log(Settings(data=str(server.data))), Store(server.data / "state.db")
    try:
        until(lambda: find_trace(log, store, event_id), "the event")
        (found,) = find_trace(log, store, event_id)
    finally:
        store.close()
        log.close()
    return found.reasons[0].code if found.reasons else found.status


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
    (first,) = versions_of(server).history(9)
    assert (first.number, first.author, first.origin) == (1, "file", "start")
    for path in (*server.data.glob("control.db*"), server.data / "config.working.yaml"):
        assert b"hush-hush" not in path.read_bytes()


def test_a_version_that_is_applied_and_one_that_comes_back_are_in_use_at_once(server: Server) -> None:
    other = server.data.parent / "other.yaml"
    other.write_text(server.configured.read_text().replace("first-key", "second-key"))
    assert b": in use" in server.run("apply", "-f", str(other)).stdout
    send(server, "second-key", "e-second")
    assert fate(server, "e-second") == "valid"
    assert server.run("restore", "1").returncode == 0
    send(server, "second-key", "e-gone")
    assert fate(server, "e-gone") == "unknown_source_key"


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


def test_a_restart_with_the_same_file_keeps_what_was_changed_since(server: Server) -> None:
    versions = versions_of(server)
    versions.apply(server.configured.read_text(), "cli:me", "cli", 2)
    versions.edit("tok_1", "api", 3, lambda editor: editor.set([*SHOP, "keys"], [{"key": "late-key"}]))
    server.stop()
    server.start()
    assert "has not changed, version" in server.errors
    assert works(server, "late-key")


def test_a_key_ends_at_its_time_without_any_change(server: Server) -> None:
    def ends_in(seconds: int) -> None:
        end = datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()
        keys = [{"key": "ending-key", "until": end}]
        versions_of(server).edit("tok_1", "api", 2, lambda editor: editor.set([*SHOP, "keys"], keys))

    ends_in(3600)
    until(lambda: works(server, "ending-key"), "the key to work")
    ends_in(3)
    until(lambda: not works(server, "ending-key"), "its end")
    send(server, "ending-key", "e-ended")
    assert fate(server, "e-ended") == "key_revoked"
    assert works(server, "first-key")


def test_a_new_key_of_secrets_disturbs_nothing(server: Server, partner: Partner) -> None:
    versions = versions_of(server)
    before = versions.current()
    _, after = versions.rotate("cli:me", "cli", 3)
    assert before is not None
    assert after is not None
    assert (before.text == after.text, before.number + 1) == (False, after.number)
    send(server, "first-key", "e-rotated")
    assert arrived(partner, "e-rotated")["x-api-key"] == "hush-hush"


def test_without_its_key_file_the_server_goes_on_and_says_what_is_missing(server: Server, partner: Partner) -> None:
    key, away = Path(f"{server.data}.key"), server.data.parent / "away.key"
    key.rename(away)
    until(lambda: b"is not there" in server.get("/ready")[1], "the warning")
    assert server.get("/ready")[0] == 200
    send(server, "first-key", "e-without")
    assert arrived(partner, "e-without")["x-api-key"] == "hush-hush"
    with pytest.raises(ConfigError, match="is not there"):
        versions_of(server).edit("tok_1", "api", 3, lambda editor: editor.set([*SHOP, "label"], "Shop"))
    away.rename(key)
    until(lambda: b"is not there" not in server.get("/ready")[1], "everything to be well again")
