"""The client costs its host nothing but the standard library."""

import subprocess
import sys

PROGRAM = """
import sys
import {module}
names = {{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names) - {{"__main__"}}
ours = {{name for name in sys.modules if name.startswith("turnout")}}
print(sorted(names), sorted(ours), "asyncio" in sys.modules)
"""


def loaded(module: str) -> str:
    program = PROGRAM.format(module=module)
    # -I -S: without the site directory's own hooks, which may load anything.
    path = "import sys; sys.path[:0] = ['src']\n"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", path + program], capture_output=True, text=True, check=True, timeout=120
    )
    return run.stdout.strip()


def test_turnout_alone_loads_nothing() -> None:
    assert loaded("turnout") == "['turnout'] ['turnout'] False"


def test_the_client_loads_itself_and_the_standard_library() -> None:
    ours = ["turnout", "turnout.client"]
    ours += [f"turnout.client.{name}" for name in ("answers", "client", "events", "queue", "sender", "transport")]
    assert loaded("turnout.client") == f"['turnout'] {ours} False"
