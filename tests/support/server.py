"""A real server for tests: the command `turnout serve` as a subprocess, on free ports, over a data directory."""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from turnout.control import factsfile

KEY = "7183b9d4-1031-11ee-be56-0242ac120002"
BACKEND = "0c6f1a52-6a0d-4b0a-9d2e-2f6c6a4b9b11"
CONFIG = f"""
sites:
  "29":
    sources:
      shop: {{type: web, key: {KEY}}}
      backend: {{type: server, key: {BACKEND}}}
    destinations:
      archive: {{type: file, sources: [shop, backend], settings: {{path: out/events.ndjson}}}}
"""


_DICE = random.SystemRandom()
"""Tests may seed the usual dice; their processes would then choose the same ports."""


def free_port() -> int:
    """A port that nobody uses at the moment, of those that the system gives to nobody by itself.

    One of its own choice could be taken by any outgoing connection before a server listens there, or while it restarts.
    """
    while True:
        port = _DICE.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until(condition: Callable[[], object], what: str, seconds: float = 90.0) -> None:
    """Poll until `condition` holds; fail with `what` after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


class Server:
    """Use as a context manager; `start` and `kill` may alternate in between."""

    def __init__(self, data: Path, config: str = CONFIG, **environment: str) -> None:
        self.data = data
        self.port, self.control_port = free_port(), free_port()
        self.configured = data.parent / f"{data.name}.yaml"
        self.configured.write_text(config)
        self._environment = {**os.environ, "NO_COLOR": "1", **environment}
        self._errors = data.parent / f"{data.name}.stderr"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def errors(self) -> str:
        """Everything the server wrote on stderr."""
        return self._errors.read_text()

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.launch()
        until(self.ready, "the server to be ready")

    def launch(self) -> None:
        """Start, without waiting: for a server that will not be ready."""
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "turnout", "serve", "--data", str(self.data)),
                    *("--config", str(self.configured)),
                    *("--collect", f"127.0.0.1:{self.port}", "--control", f"127.0.0.1:{self.control_port}"),
                ],
                stderr=errors,
                env=self._environment,
            )

    def ready(self) -> bool:
        """Whether `/ready` says yes."""
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(90)

    def kill_everything(self) -> None:
        """kill -9 for the supervisor and every process."""
        assert self._process is not None
        pids = [self._process.pid, *(pid for name in ("collector", "worker", "control") if (pid := self.pid(name)))]
        for pid in pids:
            kill(pid)
        self._process.wait(30)

    def pid(self, name: str) -> int | None:
        """The process id of one of the processes, from its facts."""
        facts = factsfile.read(self.data).get(name)
        return facts.pid if facts else None

    def get(self, path: str) -> tuple[int, bytes]:
        """GET on the control port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def post(
        self,
        body: bytes | object,
        path: str = "/events",
        query: str = f"tc_s=29&token={BACKEND}",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """POST to the collector; a body that isn't bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {"Content-Type": "application/json"} if headers is None else headers
            connection.request("POST", f"{path}?{query}", data, sent)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """A `turnout` command on this data directory."""
        environment = {
            **self._environment,
            "TURNOUT_DATA": str(self.data),
            "TURNOUT_COLLECT": f"127.0.0.1:{self.port}",
        }
        command = [sys.executable, "-m", "turnout", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=120, check=False)

    def trace(self, event_id: str) -> list[dict[str, object]]:
        """What `turnout trace --json` says."""
        found: list[dict[str, object]] = json.loads(self.run("trace", event_id, "--json").stdout)
        return found

    def audit(self) -> dict[str, object]:
        """What `turnout audit --json` says."""
        found: dict[str, object] = json.loads(self.run("audit", "--json").stdout)
        return found


def kill(pid: int) -> None:
    """kill -9, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
