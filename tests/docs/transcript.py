"""Runs a page: its files, commands and servers, and compares what is printed with what the page shows.

A reader's values differ from run to run. So ids, times, sizes and numbers of four digits and more match any of their
kind, the width of gaps does not count, `…` stands for anything on its line and a line of `…` for any lines. An id
that the page shows is remembered with the one that took its place, so that later commands may use it.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import ROOT, Block, Remark
from tests.support.server import free_port

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_OURS = r"(?:tok|usr|key|req|act|dl|ers|rpl|out|in|iss|alh)_[0-9a-z_-]*[0-9][0-9a-z_-]*"
_VARIES = (
    (_UUID, _UUID),
    (rf"\b{_OURS}", _OURS),
    (r"\bpage\[after\]=\d+", r"page\[after\]=\d+"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", r"\d{4}-\d\d-\d\dT[\d:.]+Z"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
    (r"\d\d:\d\d:\d\d", r"\d\d:\d\d:\d\d"),
    (r"curl/[\d.]+", r"curl/[\d.]+"),
    (r"\b[0-9a-f]{12}\b", r"[0-9a-f]{12}"),
    (r"\b\d+(?:\.\d+)? ?(?:MB|GB|ms|s)\b", r"\d+(?:\.\d+)? ?(?:MB|GB|ms|s)"),
    (r"\b\d+\.\d+(?:e[+-]?\d+)?\b", r"\d+\.\d+(?:e[+-]?\d+)?"),
    (r"\b\d{4,}\b", r"\d+"),
)
_PORTS = (8080, 8081, 9000)
_SERVERS = re.compile(r"(?:\S+=\S+ )*(?:turnout serve|make run|python3? \S+\.py$)")
_LOOKS = re.compile(
    r"(?:\.venv/bin/)?turnout (?:trace|tail|status|audit|check|dead list)\b|curl -s \S+$|cat |tail |ls |head |zcat "
)
_WAIT_S, _WAIT_UPDATE_S = 90.0, 4.0
_START_S = 90.0


class Mismatch(NamedTuple):
    """A command that did not print what the page shows."""

    block: Block
    command: str
    expected: str
    printed: str


class Session:
    """One reader following one page, in a folder of their own and on ports of their own. Close it."""

    def __init__(self, folder: Path, checkout: bool, updating: bool = False) -> None:
        self.mismatches: list[Mismatch] = []
        self._here = folder
        self._wait_s = _WAIT_UPDATE_S if updating else _WAIT_S
        self._ports = {port: free_port() for port in _PORTS}
        self._ids: dict[str, str] = {}
        self._started: list[tuple[str, subprocess.Popen[bytes]]] = []
        bin_folder = Path(sys.executable).parent
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("TURNOUT_")}
        self._environment |= {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "NO_COLOR": "1",
            "COLUMNS": "120",
            "PYTHONUNBUFFERED": "1",
            "TURNOUT_COLLECT": f"127.0.0.1:{self._ports[8080]}",
            "TURNOUT_CONTROL": f"127.0.0.1:{self._ports[8081]}",
        }
        if checkout:
            self._copy_checkout(bin_folder.parent)

    def close(self) -> None:
        """Stop what was started."""
        while self._started:
            self._stop("")

    def follow(self, step: Remark | Block) -> None:
        """Do what this step of the page says. Output that differs is kept in `mismatches`."""
        match step:
            case Remark("run", command):
                self._hidden(command)
            case Remark("start", command):
                self._start(self._localised(command))
            case Remark("stop", word):
                self._stop(word)
            case Remark("checkout" | "figures" | "generated" | "end", _):
                pass
            case Remark(word, _):
                raise AssertionError(f"nobody knows the remark {word!r}")
            case Block(remarks=remarks) if "not run" in remarks:
                pass
            case Block(language="console"):
                for command, expected in commands(step.text):
                    self._command(step, command, expected)
            case Block(remarks=remarks) if "file" in remarks:
                path = self._here / remarks["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self._localised(step.text))

    def published(self, printed: str) -> str:
        """What was printed, as the page shows it."""
        for port, mine in self._ports.items():
            printed = re.sub(rf"\b{mine}\b", str(port), printed)
        for shown, real in self._ids.items():
            printed = printed.replace(real, shown)
        return printed.replace(f"{self._here}/", "")

    def _command(self, block: Block, command: str, expected: str) -> None:
        wanted = int(block.remarks.get("exit", "0"))
        local, local_expected = self._localised(command), self._localised(expected)
        if local.startswith("export "):
            name, _, value = local.removeprefix("export ").partition("=")
            self._environment[name] = value
            return
        if _SERVERS.match(command) and not wanted:
            printed = self._start(local)
            read: Callable[[], str] = printed.read_text
        else:
            assert not command.startswith("make "), f"`{command}` can't be run inside the tests: say so with `not run`"

            def read() -> str:
                done = self._bash(local)
                assert done.returncode == wanted, f"`{command}` ended with {done.returncode}: {done.stdout}"
                return done.stdout

        text = read()
        if _SERVERS.match(command) or _LOOKS.match(command):
            deadline = time.monotonic() + self._wait_s
            while not self._matches(local_expected, text) and time.monotonic() < deadline:
                time.sleep(0.1)
                text = read()
        if not self._matches(local_expected, text):
            self.mismatches.append(Mismatch(block, command, expected, self.published(_tidy(text))))

    def _matches(self, expected: str, printed: str) -> bool:
        pattern, ids = compiled(expected)
        found = pattern.fullmatch(_tidy(printed))
        if found is None:
            return False
        for shown, real in zip(ids, found.groups(), strict=True):
            self._ids.setdefault(shown, real)
        return True

    def _localised(self, text: str) -> str:
        for port, mine in self._ports.items():
            text = re.sub(rf"\b{port}\b", str(mine), text)
        for shown, real in self._ids.items():
            text = text.replace(shown, real)
        return text

    def _bash(self, command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", self._localised(command)],
            cwd=self._here,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )

    def _hidden(self, command: str) -> None:
        done = self._bash(command)
        assert done.returncode == 0, f"`{command}` ended with {done.returncode}: {done.stdout}"

    def _start(self, command: str) -> Path:
        # The environment is there already; a second installation while others use it would be a disaster.
        command = re.sub(r"^make run", "make --no-print-directory -o setup run", command)
        output = self._here / f".printed-{len(self._started)}-{time.monotonic_ns()}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec env {command}"],
                cwd=self._here,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append((command, process))
        port = self._ports[9000 if ".py" in command else 8080]
        self._poll(lambda: process.poll() is not None or _answers(port), f"`{command}` to listen")
        assert process.poll() is None, f"`{command}` ended: {output.read_text()}"
        if ".py" not in command:
            self._poll(lambda: _status(self._ports[8081], "/ready") is not None, "the control port")
        return output

    def _stop(self, word: str) -> None:
        """End the newest of the started commands that has this word in it."""
        found = [one for one in self._started if word in one[0]]
        assert found, f"nothing runs that is called {word!r}"
        self._started.remove(found[-1])
        _, process = found[-1]
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(90)

    def _copy_checkout(self, environment: Path) -> None:
        for name in ("src", "tests", "examples", "tools"):
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, self._here / name, ignore=ignored)
        for name in ("Makefile", "pyproject.toml", "requirements-dev.txt"):
            shutil.copy2(ROOT / name, self._here / name)
        (self._here / ".venv").symlink_to(environment)
        self._environment["PYTHONPATH"] = str(self._here / "src")

    @staticmethod
    def _poll(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _START_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {_START_S:g} s for {what}"
            time.sleep(0.05)


def commands(text: str) -> list[tuple[str, str]]:
    """The commands of a transcript, each with what it prints. A command goes on after a backslash."""
    found: list[tuple[str, str]] = []
    lines = iter(text.splitlines())
    printed: list[str] = []
    for line in lines:
        if not line.startswith("$ "):
            assert found, f"{line!r} comes before any command"
            printed.append(line)
            continue
        if found:
            found[-1] = (found[-1][0], "\n".join(printed))
        printed = []
        command = line[2:]
        while command.endswith("\\"):
            command += "\n" + next(lines)
        found.append((command, ""))
    if found:
        found[-1] = (found[-1][0], "\n".join(printed))
    return found


def compiled(expected: str) -> tuple["re.Pattern[str]", list[str]]:
    """The pattern of what a page shows, and the ids in it, in the order of the pattern's groups."""
    ids: list[str] = []
    varies = re.compile("|".join(f"({shown})" for shown, _ in _VARIES) + "|(…)")
    parts = []
    for line in _tidy(expected).split("\n"):
        if line == "…":
            parts.append(r"(?:.*\n)*?.*")
            continue
        pattern, end = "", 0
        for match in varies.finditer(line):
            pattern += _literal(line[end : match.start()])
            end = match.end()
            kind = (match.lastindex or 0) - 1
            if kind == len(_VARIES):
                pattern += ".*"
            elif kind < 2:
                ids.append(match[0])
                pattern += f"({_VARIES[kind][1]})"
            else:
                pattern += _VARIES[kind][1]
        parts.append(pattern + _literal(line[end:]))
    return re.compile("\n".join(parts)), ids


def _literal(text: str) -> str:
    return "[ \t]*".join(re.escape(part) for part in re.split("[ \t]+", text))


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _status(port: int, path: str) -> int | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            code: int = answer.status
            return code
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None
