"""The processes of a server do without the libraries of the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import CONFIG, Server
from turnout.supervisor import PROCESSES

COMMAND_LINE = ("typer", "rich", "pygments")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Server(tmp_path_factory.mktemp("processes") / "data", CONFIG)


def test_no_process_is_the_command_line(server: Server) -> None:
    with server:
        pids = {name: server.pid(name) for name in PROCESSES}
        parent = int(Path(f"/proc/{pids['worker']}/stat").read_text().rpartition(")")[2].split()[1])
        for name, pid in {**pids, "supervisor": parent}.items():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            assert words[1:4] == ["-m", "turnout.processes", name]


@pytest.mark.parametrize("library", COMMAND_LINE)
def test_what_they_import_has_no_part_of_it(library: str) -> None:
    code = (
        "import runpy, sys, contextlib\n"
        "sys.argv = ['turnout.processes']\n"
        "with contextlib.suppress(TypeError): runpy.run_module('turnout.processes', run_name='__main__')\n"
        f"sys.exit(any(name.split('.')[0] == {library!r} and module for name, module in sys.modules.items()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
