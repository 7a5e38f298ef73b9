"""The supervisor keeps three processes alive, ends them together, and gives up where trying again can't help."""

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import BACKEND, CONFIG, Server, kill, until
from turnout.supervisor import PROCESSES

EVENT = {"event_name": "login", "context": {"event_id": "drained"}}


class Supervised(Server):
    """A server whose supervisor a test may look at and kill."""

    @property
    def supervisor(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    def exited(self) -> int:
        """Wait for the end; its exit code."""
        return self.supervisor.wait(90)

    def pids(self) -> dict[str, int | None]:
        return {name: self.pid(name) for name in PROCESSES}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Supervised]:
    server = Supervised(tmp_path / "data", CONFIG)
    with server:
        yield server


def gone(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def starts(server: Server) -> list[dict[str, object]]:
    """What the log says about processes that ended."""
    lines = [json.loads(line) for line in server.errors.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "process ended, starting it again"]


def test_a_process_that_dies_is_started_again_and_the_others_are_not(server: Supervised) -> None:
    for name in PROCESSES:
        before = server.pids()
        pid = before.pop(name)
        assert pid is not None
        kill(pid)
        until(lambda name=name, pid=pid: server.pid(name) not in (None, pid), f"another {name}")  # type: ignore[misc]
        after = server.pids()
        after.pop(name)
        assert after == before
        until(server.ready, "the server to be ready")
        assert server.post(EVENT)[0] == 200
    assert [line["name"] for line in starts(server)] == list(PROCESSES)
    assert {line["exit"] for line in starts(server)} == {-signal.SIGKILL}


def test_a_process_that_cannot_start_is_tried_later_and_later_while_the_others_work(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "state.db").write_bytes(b"no database" * 1000)
    server = Supervised(data, CONFIG)
    server.launch()
    try:
        until(lambda: len(starts(server)) >= 3, "three failures")
        waits = [line["wait_s"] for line in starts(server)][:3]
        assert waits == [0.1, 0.5, 1.0]
        assert {line["name"] for line in starts(server)} == {"worker"}
        assert server.post(EVENT)[0] == 200
        (data / "state.db").unlink()
        until(server.ready, "the worker to start after all")
        until(lambda: server.trace("drained")[0]["destinations"], "the event to be delivered")
    finally:
        server.stop()


def test_sigterm_answers_what_is_under_way_and_takes_nothing_more(server: Supervised) -> None:
    body = json.dumps(EVENT).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request_head(body) + body[:10])
        pids = server.pids()
        server.supervisor.terminate()
        until(lambda: refuses(server.port), "the port to close")
        connection.sendall(body[10:])
        assert answer(connection) == (200, b"{}")
    assert server.exited() == 0
    assert all(map(gone, pids.values()))
    assert server.trace("drained")[0]["event_id"] == "drained"
    assert starts(server) == []


def request_head(body: bytes) -> bytes:
    head = f"POST /events?tc_s=29&token={BACKEND} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode()


def answer(connection: socket.socket) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_ctrl_c_stops_like_sigterm(server: Supervised) -> None:
    os.kill(server.supervisor.pid, signal.SIGINT)
    assert server.exited() == 0


def test_when_the_supervisor_is_killed_its_processes_drain_and_the_next_start_waits_for_them(
    server: Supervised,
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        body = json.dumps(EVENT).encode()
        connection.sendall(request_head(body) + body[:10])
        pids = server.pids()
        server.supervisor.kill()
        server.exited()
        server.launch()
        until(lambda: "waiting for the processes of a killed server" in server.errors, "the next server to wait")
        connection.sendall(body[10:])
        assert answer(connection) == (200, b"{}")
    until(lambda: all(map(gone, pids.values())), "the processes of before to end")
    until(lambda: server.pid("collector") and server.ready(), "the next server to be ready")
    assert server.trace("drained")[0]["event_id"] == "drained"


@pytest.mark.parametrize("which", ["collect", "control"])
def test_a_port_in_use_ends_the_server_with_words(tmp_path: Path, which: str) -> None:
    server = Supervised(tmp_path / "data", CONFIG)
    with socket.socket() as other:
        other.bind(("127.0.0.1", server.port if which == "collect" else server.control_port))
        other.listen()
        server.launch()
        assert server.exited() == 1
    name = "collector" if which == "collect" else "control"
    assert f"{name} can't listen" in server.errors
    assert f"{name} could not start" in server.errors
    assert "Traceback" not in server.errors


def test_data_of_a_newer_release_ends_the_server_with_words(tmp_path: Path) -> None:
    folder = tmp_path / "data/log/accepted"
    folder.mkdir(parents=True)
    db = sqlite3.connect(folder / "00000000000000000000.db")
    db.execute("PRAGMA user_version=99")
    db.close()
    server = Supervised(tmp_path / "data", CONFIG)
    server.launch()
    assert server.exited() == 1
    assert "was written by a newer release (file format 99" in server.errors
    assert "start that release, or give this one another data directory" in server.errors
    assert "Traceback" not in server.errors


def test_a_second_server_on_a_data_directory_is_refused_and_changes_nothing(server: Supervised, tmp_path: Path) -> None:
    pids = server.pids()
    other_config = tmp_path / "elsewhere"
    other_config.mkdir()
    second = Supervised(other_config / "data", "sites: {}")
    second.data = server.data
    before = (server.data / "config.yaml").read_text()
    second.launch()
    assert second.exited() == 1
    assert f"{server.data} is in use by another server" in second.errors
    assert "Traceback" not in second.errors
    assert (server.data / "config.yaml").read_text() == before
    assert server.pids() == pids
    assert server.ready()
    assert server.post(EVENT)[0] == 200
