"""What the rows share: pinned processes over a fresh data directory, wrk, nginx, samples and their ratio.

Servers run on core 0, whoever loads them on core 1, so that "one core" means one core. A sample and its reference
are taken one after the other, so that a machine that slows down slows both.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from turnout.control import factsfile
from turnout.model.facts import Facts

SERVER_CORE, LOAD_CORE = "0", "1"
KEY = "7183b9d4-1031-11ee-be56-0242ac120002"
QUERY = f"tc_s=29&token={KEY}"
EVENT = {
    "event_name": "search",
    "search_term": "t-shirts",
    "user": {
        "id": "12345",
        "consistent_anonymous_id": "67892",
        "email": "ann@example.org",
        "consent_categories": ["1", "3"],
    },
    "context": {
        "event_id": "202110130000000000",
        "page": {
            "title": "Search page",
            "url": "https://shop.example/search?q=t-shirts",
            "lang": "en",
            "referrer": "https://www.example.org",
            "viewport": {"width": 320, "height": 568},
        },
        "device": {
            "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_0) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/46.0.2490.86 Safari/537.36",
            "ip": "192.0.2.56",
            "lang": "fr",
            "cookie": "_fbp=123; _fbc=456; _ga=789",
            "timezone": "Europe/Paris",
        },
        "event_timestamp": "1639044446636",
    },
}
"""The protocol's sample event; every request gets an id of its own."""

_WRK_SCRIPT = """
local head, before, after, copies = {head}, {before}, {after}, {copies}
local count = 0
function request()
  local parts = {{}}
  for i = 1, copies do
    count = count + 1
    parts[i] = before .. string.format("%018d", count) .. after
  end
  return head .. table.concat(parts, ",") .. {tail}
end
"""


@dataclass
class Row:
    """One line of the budget: samples of what is measured and of its reference, taken in turns.

    `at_least` and `aim` bound the ratio of the medians; with `smaller`, the measured value itself, from above.
    """

    name: str
    unit: str
    reference_name: str
    at_least: float
    aim: float
    smaller: bool = False
    measured: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The ratio of the medians, or the median itself where there is no reference."""
        return median(self.measured) / median(self.reference) if self.reference else median(self.measured)

    @property
    def verdict(self) -> str:
        """Where this stands in the budget."""
        sign = -1 if self.smaller else 1
        if self.value * sign >= self.aim * sign:
            return "aim"
        return "at least" if self.value * sign >= self.at_least * sign else "MISSED"

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        reference = f"{self.reference_name}: {median(self.reference):,.0f}" if self.reference else ""
        ratio = f"{self.value:.3f}" if self.reference else ""
        measured = f"{median(self.measured):,.0f} {self.unit}" if not self.smaller else f"{self.value:.1f} {self.unit}"
        return self.name, measured, reference, ratio, f"{self.at_least:g}", f"{self.aim:g}", self.verdict

    def document(self) -> dict[str, object]:
        """For the JSON file."""
        return {**asdict(self), "value": self.value, "verdict": self.verdict}


def config(destinations: str = "{}", more: str = "") -> str:
    """A configuration with one server-side source, these destinations and further fields of the site (YAML)."""
    site = f"sources: {{backend: {{type: server, key: {KEY}}}}}, destinations: {destinations}{more}"
    return f'sites: {{"29": {{{site}}}}}'


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A fresh directory on the disk that holds the current one."""
    place = Path(tempfile.mkdtemp(prefix="bench-", dir=Path(os.environ.get("BENCH_DIR", ".")).resolve()))
    try:
        yield place
    finally:
        shutil.rmtree(place)


@contextlib.contextmanager
def processes(
    data: Path, text: str, *only: str, core: str = SERVER_CORE, **environment: str
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """`turnout serve --only` for each name, pinned, ready when its facts are there; ended by SIGTERM."""
    file = data.parent / "turnout.yaml"
    file.write_text(text)
    data.mkdir(exist_ok=True)
    (data / "config.yaml").write_text(text)
    started = {}
    before = time.time_ns() // 1_000_000
    for name in only:
        command = ["taskset", "-c", core, sys.executable, "-m", "turnout", "serve", "--data", str(data), "--only", name]
        started[name] = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        for name in only:
            wait(lambda name=name: facts(data, name).beat_ms > before, f"{name} to be ready")  # type: ignore[misc] # default
        yield started
    finally:
        for process in started.values():
            process.send_signal(signal.SIGTERM)
        for process in started.values():
            process.wait(60)


def facts(data: Path, name: str) -> Facts:
    """What a process said last."""
    return factsfile.read(data).get(name) or Facts(process=name, pid=0, started_ms=0, beat_ms=0)


def wait(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> float:
    """Poll until it holds; gives how long it took (s). Raises TimeoutError."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.02)
    return time.monotonic() - start


@contextlib.contextmanager
def nginx(place: Path, port: int) -> Iterator[None]:
    """nginx answering 200 without doing anything, one worker on the server's core: the floor of the harness."""
    file = place / "nginx.conf"
    file.write_text(
        f"worker_processes 1; daemon off; pid {place}/nginx.pid; error_log stderr crit;\n"
        "events { worker_connections 4096; }\n"
        "http { access_log off; keepalive_requests 100000000; client_body_temp_path " + f"{place}/body;\n"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 '{{}}'; }} }} }}\n"
    )
    server = subprocess.Popen(["taskset", "-c", SERVER_CORE, "nginx", "-c", str(file.resolve()), "-p", str(place)])
    try:
        time.sleep(0.5)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)


def wrk(place: Path, url: str, seconds: int, connections: int, batch: int = 0, pixel: bool = False) -> float:
    """Requests per second that were answered 200. With `batch`, each carries so many events; a `pixel` is a GET.

    Raises RuntimeError if any answer was not 200 or any connection failed.
    """
    before, _, after = json.dumps(EVENT, separators=(",", ":")).partition(str(EVENT["context"]["event_id"]))  # type: ignore[index]
    size = len(before) + 18 + len(after)
    length = size if not batch else len('{"batch":[]}') + batch * size + batch - 1
    path = "/events" if not batch else "/events/batch"
    head = (
        f"POST {path}?{QUERY} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    if pixel:
        head, _, after = (
            f"GET /events?{QUERY}&{urlencode(_pairs('', EVENT))} HTTP/1.1\r\nHost: bench\r\n\r\n".partition(
                str(EVENT["context"]["event_id"])  # type: ignore[index]
            )
        )
        before = ""
    script = place / "load.lua"
    script.write_text(
        _WRK_SCRIPT.format(
            head=_lua(head + ('{"batch":[' if batch else "")),
            before=_lua(before),
            after=_lua(after),
            copies=batch or 1,
            tail=_lua("]}" if batch else ""),
        )
    )
    out = subprocess.run(
        [
            *("taskset", "-c", LOAD_CORE, "wrk", "-t", "1", "-c", str(connections)),
            *("-d", f"{seconds}s", "--timeout", "10s", "-s", str(script), url),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(out)
    match = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert match is not None, out
    return float(match[1])


def _pairs(path: str, value: object) -> list[tuple[str, str]]:
    """An event as the pairs of a query."""
    if isinstance(value, dict):
        members = [(f"{path}[{name}]" if path else name, member) for name, member in value.items()]
    elif isinstance(value, list):
        members = [(f"{path}[{index}]", member) for index, member in enumerate(value)]
    else:
        return [(path, str(value))]
    return [pair for inner, member in members for pair in _pairs(inner, member)]


def _lua(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n") + '"'
