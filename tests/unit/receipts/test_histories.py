"""Random histories of the receipts, kills included, against a toy model: the sums close after every step."""

import tempfile
from collections import Counter
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.receipts.making import NOW, step
from turnout.log.memory import MemoryLog
from turnout.model.event import ACCEPTED, PROCESSED
from turnout.model.outcome import OUTCOME_OF, Code
from turnout.receipts import dead
from turnout.receipts.audit import audit
from turnout.receipts.figures import roll_up
from turnout.receipts.index import Index, merged
from turnout.receipts.parting import drop
from turnout.receipts.records import LedgerEntry, Settlement, dead_letter
from turnout.receipts.retention import retain
from turnout.receipts.store import Store

REFS = ("29/a", "29/b")
FINAL = [Code.DELIVERED, Code.DELIVERED_AFTER_RETRY, Code.ERROR, Code.REJECTED, Code.FILTERED_UNSUPPORTED, Code.DRY_RUN]
SOME_CODES = st.lists(
    st.sampled_from([Code.PENDING, Code.ERROR, Code.DELIVERED]) | st.sampled_from(list(Code)), min_size=1, max_size=8
)
REF = st.sampled_from(REFS)


class Histories(RuleBasedStateMachine):
    """The model holds a code per (destination, offset), and the order of each user's waiting events."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.log = MemoryLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]})
        self.now = NOW
        self.codes: dict[str, dict[int, Code]] = {ref: {} for ref in REFS}
        self.ordered: dict[str, bool] = dict.fromkeys(REFS, False)
        self.waiting: dict[str, list[tuple[str, int]]] = {ref: [] for ref in REFS}
        self.ids: list[tuple[int, list[str]]] = []

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @initialize(ordered=st.booleans())
    def begin(self, ordered: bool) -> None:
        self.open()
        self.configure(REFS[0], ordered)

    def open(self) -> None:
        self.store = Store(Path(self.folder.name) / "state.db")
        self.index = Index(self.store)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @rule(ref=REF, ordered=st.booleans())
    def configure(self, ref: str, ordered: bool) -> None:
        number, _ = self.store.destination(ref, self.log.end(PROCESSED))
        self.store.arrange(number, ordered)
        self.ordered[ref] = ordered

    @rule(batches=st.lists(SOME_CODES, min_size=1, max_size=3), index=st.booleans(), ref=REF)
    def process(self, batches: list[list[Code]], index: bool, ref: str) -> None:
        for codes in batches:
            base = self.log.append(PROCESSED, [b"x"] * len(codes))
            self.ids.append((base, [f"e{base + n}" for n in range(len(codes))]))
        if index:
            self.index_all()
        self.deliver(ref, [code for codes in batches for code in codes])

    @rule(ref=REF, codes=SOME_CODES)
    def deliver(self, ref: str, codes: list[Code]) -> None:
        """Pass everything that is there; the outcomes are these, again and again."""
        number, cursor = self.store.destinations().get(ref, (0, 0))
        for batch in self.log.subscribe(PROCESSED, None, cursor).fetch(1_000) if number else []:
            mine = [codes[offset % len(codes)] for offset in range(batch.base, batch.next)]
            made = step(batch.base, mine, self.now, users="xy ")
            self.store.record(number, made)
            self.codes[ref] |= dict(enumerate(mine, batch.base))
            self.waiting[ref] += [(entry.user_key, entry.offset) for entry in made.ledger]

    @rule(ref=REF, code=st.none() | st.sampled_from(FINAL), limit=st.integers(1, 3))
    def settle(self, ref: str, code: Code | None, limit: int) -> None:
        number, _ = self.store.destinations().get(ref, (0, 0))
        entries = self.store.due(number, self.now, limit)
        if self.ordered[ref]:
            firsts = dict(reversed(self.waiting[ref]))
            assert all(firsts[entry.user_key] == entry.offset for entry in entries if entry.user_key), "out of order"
        self.store.settle(number, [self._settlement(entry, code) for entry in entries])
        if code is not None:
            self.codes[ref] |= dict.fromkeys([entry.offset for entry in entries], code)
            gone = {entry.offset for entry in entries}
            self.waiting[ref] = [one for one in self.waiting[ref] if one[1] not in gone]

    def _settlement(self, entry: LedgerEntry, code: Code | None) -> Settlement:
        made = Settlement(entry=entry, attempts=entry.attempts + 1, at_ms=self.now, code=code)
        if code is None:
            return Settlement(entry=entry, attempts=made.attempts, at_ms=self.now, due_ms=self.now + 1, first_ms=NOW)
        if code in (Code.ERROR, Code.REJECTED):
            letter = dead_letter(entry, code, "x", "", made.attempts, self.now)
            return Settlement(entry=entry, attempts=made.attempts, at_ms=self.now, code=code, dead=letter)
        return made

    @rule(ref=REF, limit=st.integers(0, 5))
    def replay(self, ref: str, limit: int) -> None:
        for one in self.store.registered():
            if one.ref == ref:
                letters = list(self.store.dead_letters(one.id))[:limit]
                moved = self.store.replay(one.id, letters, self.now)
                assert moved == (0 if one.removed else len(letters))
                if moved:
                    self.codes[ref] |= dict.fromkeys([letter.offset for letter in letters], Code.PENDING)
                    self.waiting[ref] += [(letter.user_key, letter.offset) for letter in letters]

    @rule(budget=st.integers(0, 2_000))
    def find_no_room(self, budget: int) -> None:
        before = sum(dead.room(self.store, one.id).bytes for one in self.store.registered())
        while dead.trim(self.store, budget):
            continue
        after = sum(dead.room(self.store, one.id).bytes for one in self.store.registered())
        assert after == before if before <= budget else after <= budget

    @rule(ref=REF)
    def drop(self, ref: str) -> None:
        if ref in self.store.destinations():
            while drop(self.store, ref, self.now):
                continue
            self.codes[ref] |= dict.fromkeys([offset for _, offset in self.waiting[ref]], Code.ERROR)
            self.waiting[ref] = []

    @precondition(lambda self: self.ids)
    @rule()
    def index_all(self) -> None:
        self.index.add(self.ids)
        self.ids = []

    @rule()
    def merge(self) -> None:
        with patch("turnout.receipts.index.MERGE_RECORDS", 1):
            while stretches := self.index.mergeable():
                self.index.replace(stretches, merged(stretches), self.now)

    @rule(days=st.sampled_from([0, 1, 8]))
    def time_passes(self, days: int) -> None:
        self.now += days * 86_400_000 + 1
        while retain(self.store, self.now - 7 * 86_400_000) or roll_up(self.store, self.now):
            continue

    @invariant()
    def the_sums_close(self) -> None:
        report = audit(self.log, self.store)
        assert report.closes, report
        for one in report.destinations:
            mine = self.codes[one.destination]
            expected = Counter(OUTCOME_OF[code] for code in mine.values() if code != Code.NOT_OFFERED)
            assert {word: n for word, n in one.outcomes.items() if n} == dict(expected)
            number = next(known.id for known in self.store.registered() if known.ref == one.destination)
            assert self.store.pending(number) == self.store.ledger_size(number) == len(self.waiting[one.destination])
            figures = self.store.figures(number)
            assert figures.dead == self.store.dead_size(number)
            if figures.codes.get(Code.PENDING, 0):
                assert self.store.next_due(number), "something waits, but nothing will ever be due"


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
