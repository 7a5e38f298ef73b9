"""Both log engines keep the same contract."""

from pathlib import Path

from turnout.log.interface import Commit, Log
from turnout.log.memory import MemoryLog
from turnout.log.sqlite import SqliteLog
from turnout.testing.log_suite import GROUPS, FakeClock, LogSuite, drain


class TestMemoryLog(LogSuite):
    def open_log(self, place: Path, clock: FakeClock, budget_bytes: int = 1 << 30) -> Log:
        return MemoryLog(GROUPS, budget_bytes=budget_bytes, clock=clock)


class TestSqliteLog(LogSuite):
    def open_log(self, place: Path, clock: FakeClock, budget_bytes: int = 1 << 30) -> Log:
        return SqliteLog(place, GROUPS, segment_bytes=100_000, budget_bytes=budget_bytes, reserve_bytes=0, clock=clock)

    def test_reopened_log_has_everything(self, tmp_path: Path, clock: FakeClock) -> None:
        log = self.open_log(tmp_path, clock)
        log.append("accepted", [b"a", b"b"])
        log.append("processed", [b"A"], Commit("accepted", "process", 1))
        log.close()
        for round_number in range(3):
            log = self.open_log(tmp_path, clock)
            assert drain(log.subscribe("accepted", None))[:2] == [b"a", b"b"]
            assert log.append("accepted", [b"c"]) >= 2 + round_number
            log.append("processed", [b"B"])
            assert log.subscribe("accepted", "process").lag() >= 1
            log.close()
        log = self.open_log(tmp_path, clock)
        assert drain(log.subscribe("accepted", None, 0)) == [b"a", b"b", b"c", b"c", b"c"]
        assert drain(log.subscribe("processed", None, 0)) == [b"A", b"B", b"B", b"B"]
        log.close()
