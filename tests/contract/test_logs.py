"""Both log engines keep the same contract."""

from pathlib import Path

from turnout.log.interface import Log
from turnout.log.memory import MemoryLog
from turnout.log.sqlite import SqliteLog
from turnout.testing.log_suite import GROUPS, FakeClock, LogSuite


class TestMemoryLog(LogSuite):
    def open_log(self, place: Path, clock: FakeClock, budget_bytes: int = 1 << 30) -> Log:
        return MemoryLog(GROUPS, budget_bytes=budget_bytes, clock=clock)


class TestSqliteLog(LogSuite):
    durable = True

    def open_log(self, place: Path, clock: FakeClock, budget_bytes: int = 1 << 30) -> Log:
        return SqliteLog(place, GROUPS, segment_bytes=100_000, budget_bytes=budget_bytes, reserve_bytes=0, clock=clock)
