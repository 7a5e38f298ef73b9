"""What makes the server not ready, what is only a warning, and what happens per second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from turnout.control import factsfile
from turnout.control.status import Rates, Status, rates, status
from turnout.model.config import EMPTY
from turnout.model.facts import DestinationFacts, Facts
from turnout.settings import Settings

NOW = 100_000


def healthy(process: str) -> Facts:
    return Facts(process=process, pid=7, started_ms=0, beat_ms=NOW - 400, config_version="v1", config_seen="v1")


def look(folder: Path, change: Callable[[dict[str, Facts]], object] = lambda _: None, **settings: int) -> Status:
    """The status of a healthy server after `change`."""
    processes = {name: healthy(name) for name in ("collector", "worker", "control")}
    processes["worker"].destinations = {"29/orders": DestinationFacts(outcomes={"delivered": 1})}
    change(processes)
    for facts in processes.values():
        factsfile.publish(folder, facts)
    return status(Settings(data=str(folder), **settings), NOW)  # type: ignore[arg-type] # numbers only


def test_a_healthy_server_is_ready_without_a_word(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert (found.ready, found.problems, found.warnings, found.silent) == (True, [], [], [])
    assert found.disk_free_bytes > 0


def test_processes_that_a_full_disk_keeps_from_speaking_are_explained(tmp_path: Path) -> None:
    assert len(look(tmp_path / "a", lambda processes: processes.clear()).problems) == 3
    found = look(tmp_path / "b", lambda processes: processes.clear(), reserve_bytes=1 << 60)
    assert "bytes are free on the disk" in found.problems[-1]
    assert look(tmp_path / "c", reserve_bytes=1 << 60).problems == []


Change = Callable[[dict[str, Facts]], object]


def change_worker(**values: object) -> Change:
    def change(processes: dict[str, Facts]) -> None:
        for name, value in values.items():
            setattr(processes["worker"], name, value)

    return change


def change_orders(**values: object) -> Change:
    def change(processes: dict[str, Facts]) -> None:
        for name, value in values.items():
            setattr(processes["worker"].destinations["29/orders"], name, value)

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda processes: processes.pop("worker"), "worker: not running, or not answering"),
        (change_worker(beat_ms=NOW - 5_001), "worker: not running, or not answering"),
        (change_worker(trouble="cannot write processed: no room"), "worker: cannot write processed: no room"),
        (change_worker(lag=11), "worker: 11 events wait to be processed, over 10"),
        (
            change_worker(config_error="sites: there is no site", config_version=EMPTY.version),
            "worker: there is no usable configuration: sites: there is no site",
        ),
        (
            change_orders(drift=2),
            "destination 29/orders: the sums do not close by 2 events; run `turnout audit`",
        ),
    ],
)
def test_what_keeps_it_from_its_work_is_a_problem(tmp_path: Path, change: Change, problem: str) -> None:
    found = look(tmp_path, change, ready_lag=10)
    assert found.problems == [problem]
    assert not found.ready


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (change_worker(config_error="wrong", config_seen="v2"), "the newest configuration is not in use: wrong"),
        (change_worker(config_version="v2"), "not every process has the newest configuration yet"),
        (change_orders(breaker="open", trouble="timeout"), "destination 29/orders: breaker open: timeout"),
        (change_orders(breaker="half_open", trouble="timeout"), "destination 29/orders: breaker half open: timeout"),
        (change_orders(trouble="timeout"), "destination 29/orders: timeout"),
        (
            change_worker(damage=["page 3; set aside as log/accepted/007.damaged.db"]),
            "log: page 3; set aside as log/accepted/007.damaged.db",
        ),
    ],
)
def test_what_leaves_it_working_is_a_warning(tmp_path: Path, change: Change, warning: str) -> None:
    found = look(tmp_path, change)
    assert found.warnings == [warning]
    assert found.ready


def test_lag_at_the_limit_and_a_beat_of_five_seconds_are_fine(tmp_path: Path) -> None:
    assert look(tmp_path, change_worker(lag=10, beat_ms=NOW - 5_000), ready_lag=10).ready


def test_what_a_silent_process_said_last_is_no_problem_of_its_own(tmp_path: Path) -> None:
    found = look(tmp_path, change_worker(beat_ms=0, trouble="old", lag=10**9))
    assert found.problems == ["worker: not running, or not answering"]


def test_damage_that_two_processes_tell_of_is_one(tmp_path: Path) -> None:
    def damaged(processes: dict[str, Facts]) -> None:
        processes["collector"].damage = ["a: torn; set aside as /d/log/accepted/0.damaged.db", "b: a bad batch"]
        processes["worker"].damage = ["/d/log/accepted/0.damaged.db: set aside earlier", "a: torn", "b: a bad batch"]

    assert look(tmp_path, damaged).damage == [
        "a: torn; set aside as /d/log/accepted/0.damaged.db",
        "b: a bad batch",
    ]


def test_the_log_counts_with_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "log" / "accepted").mkdir(parents=True)
    (tmp_path / "log" / "accepted" / "0.db").write_bytes(b"x" * 100)
    (tmp_path / "log" / "cursors.db").write_bytes(b"x" * 11)
    assert look(tmp_path).log_bytes == 111


def test_a_data_directory_that_is_not_there_has_nobody_running(tmp_path: Path) -> None:
    found = status(Settings(data=str(tmp_path / "none")), NOW)
    assert (found.ready, found.silent) == (False, ["collector", "worker", "control"])


def measured(beat_ms: int, events: int, delivered: int, pid: int = 7) -> Status:
    processes = {name: healthy(name) for name in ("collector", "worker")}
    for facts in processes.values():
        facts.beat_ms, facts.events, facts.pid = beat_ms, {"29/shop valid": events, "- rejected": 1}, pid
    orders = DestinationFacts(outcomes={"delivered": delivered, "pending": 50})
    processes["worker"].destinations = {"29/orders": orders}
    return Status(ready=True, problems=[], processes=processes, disk_free_bytes=0, log_bytes=0)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (
            measured(1_000, 10, 5),
            measured(1_500, 20, 9),
            Rates(collected=20.0, processed=20.0, delivered={"29/orders": 8.0}),
        ),
        (measured(1_000, 10, 5), measured(1_000, 10, 5), Rates()),
        (measured(1_000, 10, 5), measured(2_000, 1, 9, pid=8), Rates()),
        (
            measured(1_000, 10, 5),
            measured(2_000, 10, 4),
            Rates(delivered={"29/orders": 0.0}),
        ),
    ],
    ids=["two looks", "the same facts twice", "restarted in between", "a replay took some back"],
)
def test_rates_are_per_second_between_two_looks(before: Status, after: Status, found: Rates) -> None:
    assert rates(before, after) == found
