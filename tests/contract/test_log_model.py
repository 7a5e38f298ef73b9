"""Random histories of the SQLite log agree with a toy model: append, fetch, commit, crash, reopen, retention."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from turnout.log.interface import Batch, Commit, Subscription
from turnout.log.sqlite import SqliteLog
from turnout.testing.log_suite import DAY_MS, GROUPS, FakeClock, records_of

Records = st.lists(st.binary(max_size=3000), min_size=1, max_size=5)


class LogModel(RuleBasedStateMachine):
    """`accepted` is a list of everything ever appended; a cursor is a number; retention only forgets the front."""

    log: SqliteLog

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp())
        self.clock = FakeClock()
        self.model: dict[str, list[bytes]] = {"accepted": [], "processed": []}
        self.offsets: dict[str, list[int]] = {"accepted": [], "processed": []}
        self.committed = 0
        self.read_to = 0
        self.removed_below = 0
        self.fresh = 0
        self.reopen(crash=False)

    def teardown(self) -> None:
        self.log.close()
        shutil.rmtree(self.place)

    def reopen(self, crash: bool) -> None:
        if crash:
            # What kill -9 leaves: the files as they are, no clean close. A copy stands for the dead process.
            copy = Path(tempfile.mkdtemp())
            shutil.copytree(self.place, copy, dirs_exist_ok=True)
            self.log.close()
            shutil.rmtree(self.place)
            self.place = copy
        self.log = SqliteLog(self.place, GROUPS, segment_bytes=8_000, reserve_bytes=0, clock=self.clock)
        self.reader: Subscription = self.log.subscribe("accepted", "process")
        self.read_to = self.committed

    @rule(records=Records)
    def append(self, records: list[bytes]) -> None:
        base = self.log.append("accepted", records)
        assert base >= (self.offsets["accepted"][-1] + 1 if self.offsets["accepted"] else 0)
        self.model["accepted"] += records
        self.offsets["accepted"] += range(base, base + len(records))

    @rule(size=st.integers(1, 8))
    def fetch(self, size: int) -> None:
        batches = self.reader.fetch(size)
        got = [(batch.base + i, record) for batch in batches for i, record in enumerate(batch.records)]
        expected = [pair for pair in self.pairs() if pair[0] >= self.read_to][: len(got)]
        assert got == expected
        assert got or not [pair for pair in self.pairs() if pair[0] >= self.read_to]
        if batches:
            self.read_to = batches[-1].next

    @rule()
    def commit(self) -> None:
        self.reader.commit(self.read_to)
        self.committed = max(self.committed, self.read_to)

    @rule(records=Records)
    def process(self, records: list[bytes]) -> None:
        """Append to the other stream and move the cursor, atomically."""
        base = self.log.append("processed", records, Commit("accepted", "process", self.read_to))
        self.model["processed"] += records
        self.offsets["processed"] += range(base, base + len(records))
        self.committed = max(self.committed, self.read_to)

    @rule(days=st.integers(0, 9))
    def maintain(self, days: int) -> None:
        self.clock.ms += days * DAY_MS
        self.log.maintain(self.clock.ms)

    @rule()
    def restart(self) -> None:
        self.log.close()
        self.reopen(crash=False)

    @rule()
    def crash(self) -> None:
        self.reopen(crash=True)

    @invariant()
    def nothing_unread_is_gone(self) -> None:
        kept = [record for batch in self.everything("accepted") for record in batch.records]
        all_records = self.model["accepted"]
        assert kept == all_records[len(all_records) - len(kept) :]
        unread = sum(1 for offset in self.offsets["accepted"] if offset >= self.committed)
        assert len(kept) >= unread

    @invariant()
    def nothing_processed_is_gone(self) -> None:
        assert records_of(self.everything("processed")) == self.model["processed"]

    def pairs(self) -> list[tuple[int, bytes]]:
        return list(zip(self.offsets["accepted"], self.model["accepted"], strict=True))

    def everything(self, stream: str) -> list[Batch]:
        visitor = self.log.subscribe(stream, None, 0)
        found: list[Batch] = []
        while batches := visitor.fetch(1000):
            found += batches
        visitor.close()
        return found


TestLogModel: Callable[..., object] = LogModel.TestCase
LogModel.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
