"""A running server and its configuration: it follows at once, and nothing wrong ever replaces what works."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import BACKEND, CONFIG, Server, until

NEW_KEY = "b1946ac9-2490-4a5b-9d61-000000000001"
NEW_SOURCE = CONFIG.replace("destinations:", f"  app: {{type: mobile, key: {NEW_KEY}}}\n    destinations:")
WRONG = CONFIG.replace("type: web", "type: wbe").replace("[shop, backend]", "[shop, bakend]")
SECRET = CONFIG + "\n      orders: {type: webhook, sources: [shop], settings: {url: 'http://127.0.0.1:9/${WHERE}'}}\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data") as running:
        yield running


def write(server: Server, text: str) -> str:
    path = server.data.parent / "turnout.yaml"
    path.write_text(text)
    return str(path)


def source_of(server: Server, event_id: str) -> str:
    """Which source an event with the new key is collected for."""
    assert (
        server.post({"event_name": "a", "context": {"event_id": event_id}}, query=f"tc_s=29&token={NEW_KEY}")[0] == 200
    )
    (found,) = server.trace(event_id)
    return str(found["source"])


def works(server: Server, event_id: str) -> bool:
    """Whether an event of a source that was always there is taken and delivered."""
    done = server.run(
        *("send", "-", "--site", "29", "--key", BACKEND),
        stdin=json.dumps({"event_name": "a", "context": {"event_id": event_id}}).encode(),
    )
    return done.returncode == 0 and b"29/archive           delivered" in done.stdout


def test_the_server_uses_what_was_applied_when_apply_returns(server: Server) -> None:
    assert source_of(server, "before") == "29/"
    done = server.run("apply", "-f", write(server, NEW_SOURCE))
    assert done.returncode == 0
    assert b": in use" in done.stdout
    assert source_of(server, "after") == "29/app"
    assert server.run("export").stdout.decode() == NEW_SOURCE

    wrong = server.run("apply", "-f", write(server, WRONG))
    assert wrong.returncode == 2
    assert wrong.stderr.decode().splitlines() == [
        "turnout: sites.\"29\".sources.shop.type: 'wbe' is not one of web, mobile, server (did you mean 'web'?)",
        "turnout: sites.\"29\".destinations.archive.sources[1]: there is no source 'bakend' (did you mean 'backend'?)",
    ]
    assert source_of(server, "still") == "29/app"

    # What is valid here alone: the server does not have the variable.
    refused = subprocess.run(
        [sys.executable, "-m", "turnout", "apply", "-f", write(server, SECRET), "--data", str(server.data)],
        env={**os.environ, "WHERE": "in"},
        capture_output=True,
        check=False,
    )
    assert refused.returncode == 1
    assert b"the previous configuration stays" in refused.stderr
    assert b"the variable WHERE is not set" in refused.stderr
    assert server.run("export").stdout.decode() == NEW_SOURCE
    assert source_of(server, "yet") == "29/app"
    assert json.loads(server.get("/ready")[1]) == {"ready": True, "problems": [], "warnings": []}


def test_a_wrong_edit_by_hand_changes_nothing_now_and_nothing_at_the_next_start(server: Server) -> None:
    assert server.run("apply", "-f", write(server, NEW_SOURCE)).returncode == 0
    (server.data / "config.yaml").write_text(WRONG)
    until(lambda: b"the newest configuration is not in use" in server.get("/ready")[1], "the warning")
    assert server.get("/ready")[0] == 200
    assert "did you mean 'web'?" in server.run("status").stdout.decode()
    assert source_of(server, "by-hand") == "29/app"
    until(lambda: server.errors.count("configuration not in use") == 1, "one line in the log")
    server.stop()

    server.configured.write_text(WRONG)
    server.start()
    assert "going on with the configuration applied before" in server.errors
    assert source_of(server, "restarted") == "29/app"
    assert works(server, "delivered")
    assert b"the newest configuration is not in use" in server.get("/ready")[1]


def serve(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "turnout", "serve", "--data", str(folder / "data"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_first_start_with_a_wrong_file_ends_with_every_error(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    done = serve(tmp_path, "--config", str(tmp_path / "wrong.yaml"))
    assert done.returncode == 2
    assert "did you mean 'web'?" in done.stderr
    assert "did you mean 'backend'?" in done.stderr
    assert not (tmp_path / "data" / "config.yaml").exists()


def test_a_history_that_can_not_be_kept_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "control.db").write_bytes(b"this is no database, it is longer than a header " * 10)
    with Server(tmp_path / "data") as server:
        assert "the history of the configuration can't be kept: " in server.errors
        assert works(server, "e-1")
        refused = server.run("apply", "-f", write(server, NEW_SOURCE))
        assert refused.returncode == 2
        assert b"file is not a database" in refused.stderr
        assert server.run("export").stdout.decode() == CONFIG


@pytest.mark.parametrize("taken", ["collect", "control"])
def test_a_port_in_use_ends_the_start_with_the_reason(tmp_path: Path, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        free = "collect" if taken == "control" else "control"
        done = serve(tmp_path, f"--{taken}", f"127.0.0.1:{port}", f"--{free}", "127.0.0.1:0")
    assert done.returncode == 1
    process = {"collect": "collector", "control": "control"}[taken]
    assert f"{process} can't listen" in done.stderr
    assert f"{process} could not start" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_server_on_the_same_data_directory_does_not_start(server: Server) -> None:
    done = serve(server.data.parent, "--collect", "127.0.0.1:0", "--control", "127.0.0.1:0")
    assert done.returncode == 1
    assert "is in use by another server: stop it, or use another data directory" in done.stderr
    assert works(server, "undisturbed")
