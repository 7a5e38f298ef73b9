"""Facts on disk: replaced whole, readable by everyone, and a bad file is a silent process."""

from pathlib import Path

import pytest

from turnout.control.factsfile import publish, read, withdraw
from turnout.model.facts import DestinationFacts, Facts


def facts(process: str, beat_ms: int = 1) -> Facts:
    return Facts(process=process, pid=7, started_ms=0, beat_ms=beat_ms)


def test_what_is_published_is_read_by_process(tmp_path: Path) -> None:
    worker = facts("worker")
    worker.destinations = {"29/orders": DestinationFacts(lag=3, outcomes={"delivered": 2})}
    publish(tmp_path, facts("collector"))
    publish(tmp_path, worker)
    assert read(tmp_path) == {"collector": facts("collector"), "worker": worker}


def test_the_newest_facts_replace_the_older(tmp_path: Path) -> None:
    publish(tmp_path, facts("worker", 1))
    publish(tmp_path, facts("worker", 2))
    assert read(tmp_path)["worker"].beat_ms == 2


def test_who_ends_is_silent_at_once(tmp_path: Path) -> None:
    publish(tmp_path, facts("worker"))
    publish(tmp_path, facts("collector"))
    withdraw(tmp_path, "worker")
    withdraw(tmp_path, "never there")
    assert set(read(tmp_path)) == {"collector"}


def test_without_a_folder_nobody_speaks(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"process": "worker"}', b"\xff"])
def test_a_file_that_is_not_facts_counts_as_silence(tmp_path: Path, content: bytes) -> None:
    publish(tmp_path, facts("collector"))
    (tmp_path / "run" / "worker.json").write_bytes(content)
    assert set(read(tmp_path)) == {"collector"}


def test_facts_of_a_later_release_are_still_read(tmp_path: Path) -> None:
    publish(tmp_path, facts("worker"))
    path = tmp_path / "run" / "worker.json"
    path.write_bytes(path.read_bytes().replace(b"{", b'{"later": [1], ', 1))
    assert read(tmp_path) == {"worker": facts("worker")}
