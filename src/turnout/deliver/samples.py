"""What the inspector shows of deliveries: which attempts are kept, and as what.

An attempt that is not kept costs a look-up. One that is is encoded here and recorded with the outcome it tells of.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec

from turnout.destinations.secrets import Secrets
from turnout.model import config
from turnout.model.attempt import Attempt, Outcome, encode_attempt
from turnout.model.event import Processed
from turnout.model.outcome import DELIVERED, OUTCOME_OF, REASON_OF, Code, Result
from turnout.model.sampling import Kept, Sampler
from turnout.receipts.records import LedgerEntry, Settlement

TESTS_PER_MINUTE = 100
"""Attempts with a `test_code` that a site may have beside its quotas."""
_TEST_CODE = b'"test_code"'


class Tried(NamedTuple):
    """One attempt: a result for each of its events, when it began, and how long it took."""

    results: Sequence[Result]
    at_ms: int
    duration_ms: int


class Samples:
    """See the module. One per destination; those of a worker share the sampler."""

    def __init__(self, settings: config.Destination, sampler: Sampler) -> None:
        self._ref, self._site, self._sampler = settings.ref, settings.site, sampler
        self._secrets = Secrets(settings.settings)

    def keep(self, record: Processed | LedgerEntry, failing: bool, now_ms: int) -> Kept | None:
        """Why an attempt with this event is kept; None if it is not."""
        kept = self._sampler.keep(self._ref, record.name, failing, now_ms)
        if kept is None and (record.tested if isinstance(record, Processed) else _is_test(record.payload)):
            return self._sampler.keep_test(self._site, now_ms)
        return kept

    def delivered(self, kept: Kept, offset: int, record: Processed, tried: Tried, result: Result) -> bytes:
        """A first attempt that the partner accepted."""
        return self._encoded(kept, offset, record, 1, tried, "delivered", result)

    def settled(
        self, settlement: Settlement, record: Processed | LedgerEntry, tried: Tried, result: Result
    ) -> list[bytes]:
        """An attempt and what it led to, if it is kept."""
        code = settlement.code
        kept = self.keep(record, code in (None, Code.REJECTED, Code.ERROR), tried.at_ms)
        if kept is None:
            return []
        outcome, due_ms = ("pending", settlement.due_ms) if code is None else (OUTCOME_OF[code], None)
        number = max(1, settlement.attempts)
        return [self._encoded(kept, settlement.entry.offset, record, number, tried, outcome, result, due_ms)]

    def untried(self, code: Code, offset: int, record: Processed | LedgerEntry, now_ms: int) -> list[bytes]:
        """An event that was not to be sent, if it is kept."""
        kept = self.keep(record, False, now_ms)
        if kept is None:
            return []
        result = Result("filtered", REASON_OF.get(code, ""))
        return [self._encoded(kept, offset, record, 0, Tried((), now_ms, 0), OUTCOME_OF[code], result)]

    def rehearsed(self, kept: Kept, offset: int, record: Processed | LedgerEntry, tried: Tried) -> bytes:
        """What would have been sent in dry mode, or why it could not have been."""
        return self._encoded(kept, offset, record, 0, tried, "dry_run", tried.results[0])

    def _encoded(
        self,
        kept: Kept,
        offset: int,
        record: Processed | LedgerEntry,
        number: int,
        tried: Tried,
        outcome: str,
        result: Result = DELIVERED,
        due_ms: int | None = None,
    ) -> bytes:
        exchange = None if result.exchange is None else self._secrets.masked(result.exchange)
        return encode_attempt(
            Attempt(
                destination=self._ref,
                source=record.source,
                event_id=record.event_id,
                name=record.name,
                offset=offset,
                attempt=number,
                at_ms=tried.at_ms,
                duration_ms=tried.duration_ms,
                outcome=cast("Outcome", outcome),
                reason=result.reason,
                detail=result.detail,
                next_attempt_ms=due_ms,
                replay_id=record.replay_id if isinstance(record, LedgerEntry) else "",
                sampling=kept,
                request=None if exchange is None else exchange.request,
                response=None if exchange is None else exchange.response,
                payload=record.payload,
                received_ms=record.received_ms,
            )
        )


def _is_test(payload: bytes) -> bool:
    """The same as `Processed.tested`, for an event of the ledger."""
    if _TEST_CODE not in payload:
        return False
    try:
        return isinstance(msgspec.json.decode(payload, type=_Tested).test_code, str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


class _Tested(msgspec.Struct):
    test_code: object = None
