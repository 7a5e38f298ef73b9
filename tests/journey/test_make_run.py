"""`make run` in a clean clone: what it prints can be pasted into another terminal, and works."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import free_port, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What somebody gets who clones the repository."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tmp_path / "turnout")], check=True)
    return tmp_path / "turnout"


@pytest.fixture
def environment(clone: Path) -> dict[str, str]:
    """A terminal in the clone. The packages are those of this run, so that nothing needs to be fetched."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TURNOUT_", "MAKE", "MFLAGS"))}
    return kept | {
        "PYTHONPATH": str(clone / "src"),
        "TURNOUT_COLLECT": f"127.0.0.1:{free_port()}",
        "TURNOUT_CONTROL": f"127.0.0.1:{free_port()}",
    }


@pytest.fixture
def printed(clone: Path, environment: dict[str, str]) -> Iterator[Path]:
    """`make run` while the test runs, and what it prints."""
    output = clone.parent / "output"
    ready = f"{sys.prefix}/.ready"
    with output.open("wb") as file:
        make = subprocess.Popen(
            ["make", "run", f"VENV={sys.prefix}", f"--old-file={ready}"],
            cwd=clone,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: "health on" in output.read_text() or make.poll() is not None, "make run to print everything")
        yield output
    finally:
        os.killpg(make.pid, signal.SIGINT)
        make.wait(90)


def test_it_prints_url_key_and_a_curl_line_that_works_when_pasted(
    clone: Path, environment: dict[str, str], printed: Path
) -> None:
    assert shutil.which("curl"), "this test needs curl: apt-get install curl"
    text = printed.read_text()
    collect = environment["TURNOUT_COLLECT"]
    assert f"collecting on http://{collect}" in text
    (key,) = re.findall(r"Source key .*: ([0-9a-f-]{36})", text)
    (line,) = re.findall(r"^  (curl (?:.*\\\n)*.*)", text, re.MULTILINE)
    assert f"http://{collect}/events?" in line
    assert key in line

    answers: list[str] = []

    def answered() -> bool:
        done = subprocess.run(["bash", "-c", line], cwd=clone, capture_output=True, text=True, check=False)
        answers.append(done.stdout)
        return done.stdout.startswith("HTTP/1.1 200")

    until(answered, "the collector to listen")
    assert answers[-1].splitlines()[-1] == "{}"

    def archived() -> bool:
        events = clone / "turnout-data" / "out" / "events.ndjson"
        return events.exists() and '"login"' in events.read_text()

    until(archived, "the event in the archive of the demo site")
