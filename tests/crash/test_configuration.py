"""kill -9 while the configuration is changed: it is always one whole version, and the history says which."""

import os
import random
import subprocess
import sys
from pathlib import Path

from tests.support.server import until
from turnout.control import applied, configfile
from turnout.control.access.activity import Activity, Sought
from turnout.control.access.database import Database
from turnout.control.configuration.secrets import Secrets
from turnout.control.configuration.store import Configurations

ROUNDS = int(os.environ.get("TURNOUT_CRASH_ROUNDS", "20")) // 3
FIRST = "# ours\nsites:\n  '29':\n    sources:\n      first: {type: web, key: first}   # stays\n"


class Writer:
    """A process that adds sources, and tells in a file which of them are durable."""

    def __init__(self, data: Path, name: str) -> None:
        self._said = data.parent / f"{name}.said"
        with self._said.open("wb") as stdout:
            command = [sys.executable, "-m", "tests.crash.configuring", str(data), name]
            self._process = subprocess.Popen(command, stdout=stdout)

    def durable(self) -> list[str]:
        return self._said.read_text().split("\n")[:-1]

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        ended = self._process.poll()
        self._process.kill()
        self._process.wait(30)
        assert ended is None, "it ended by itself"


def test_after_a_kill_the_file_is_a_whole_version_and_nothing_confirmed_is_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    chance = random.Random(7)
    database = Database.of(data)
    versions = Configurations(data, database, {}, Secrets(tmp_path / "data.key"))
    versions.apply(FIRST, "test", "cli", 0)
    durable: list[str] = []
    with Writer(data, "other") as other:
        for number in range(ROUNDS):
            wanted = chance.randint(1, 5)
            with Writer(data, f"doomed{number}") as doomed:
                until(lambda one=doomed, many=wanted: len(one.durable()) >= many, "some changes")  # type: ignore[misc]
            durable += doomed.durable()
            # The other one goes on: it neither waits for the dead nor loses what they confirmed.
            before = len(other.durable())
            until(lambda many=before: len(other.durable()) > many, "the other's next change")  # type: ignore[misc]
    durable += other.durable()

    text = applied.read(data)
    assert text is not None
    found = configfile.load(text, {})
    assert found.sources.keys() >= {f"29/{name}" for name in durable}
    assert text.startswith(FIRST)
    current = versions.current()
    assert current is not None
    assert (current.text, current.hash) == (text, found.version)
    history = versions.history(10_000)
    assert history[0] == current
    assert [one.number for one in history] == list(range(len(history), 0, -1))
    sizes = [len(configfile.load(one.text, {}).sources) for one in reversed(history)]
    assert sizes == list(range(1, len(history) + 1)), "each version adds one source to the one before"
    recorded = {one.subject for one in Activity(database).page("29", Sought(feature="configuration"), 10_000)}
    assert recorded >= {str(one.number) for one in history}
    database.close()
