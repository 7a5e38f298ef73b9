"""Choosing dead letters for a replay, and following what becomes of them. Reads only; raises `sqlite3.Error`."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from turnout.model.outcome import OUTCOME_OF, Code
from turnout.receipts import index
from turnout.receipts.records import DeadLetter
from turnout.receipts.store import Store

DELIVERED = (Code.DELIVERED, Code.DELIVERED_AFTER_RETRY)
_AMONG = "offset IN (SELECT value FROM json_each(?))"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What dead letters must be like; what is empty does not restrict. `since_ms`, `until_ms`: when the event was
    received, the end not included. `meets` looks into the event.
    """

    since_ms: int = 0
    until_ms: int = 1 << 62
    codes: frozenset[int] = frozenset()
    reasons: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    event_ids: frozenset[str] = frozenset()
    accepts: Callable[[DeadLetter], bool] | None = None

    def admits(self, letter: DeadLetter) -> bool:
        """Whether this letter is meant."""
        return (
            self.since_ms <= letter.received_ms < self.until_ms
            and (not self.codes or letter.code in self.codes)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.names or letter.name in self.names)
            and (not self.sources or letter.source in self.sources)
            and (not self.event_ids or letter.event_id in self.event_ids)
            and (self.accepts is None or self.accepts(letter))
        )


def chosen(store: Store, destination: int, choice: Choice) -> Iterator[DeadLetter]:
    """The dead letters of a destination that are meant, the oldest first. An event dies after it was received."""
    return filter(choice.admits, store.dead_letters(destination, max(0, choice.since_ms)))


def letters_at(store: Store, destination: int, offsets: Collection[int]) -> dict[int, DeadLetter]:
    """The dead letters of these events, by offset."""
    rows = store.db.execute(
        "SELECT offset, event_id, name, payload, user_key, received_ms, code, reason, detail, attempts, died_ms,"
        f" source FROM dead WHERE destination=? AND {_AMONG}",
        (destination, json.dumps(list(offsets))),
    )
    return {row[0]: DeadLetter(*row) for row in rows}


def outcomes_at(store: Store, destination: int, offsets: Sequence[int]) -> dict[int, str]:
    """The outcome of these events at a destination, as a word; those that are forgotten are left out."""
    found = {}
    for offset in offsets:
        row = store.db.execute(
            "SELECT base, codes FROM outcomes WHERE destination=? AND base<=? ORDER BY base DESC LIMIT 1",
            (destination, offset),
        ).fetchone()
        if row is not None and offset - row[0] < len(row[1]):
            found[offset] = OUTCOME_OF[Code(row[1][offset - row[0]])]
    return found


def count_delivered(store: Store, destination: int, event_ids: Collection[str]) -> int:
    """How many events with these ids a destination has got."""
    offsets = [offset for event_id in event_ids for offset in index.find(store.db, event_id)]
    return sum(outcome == OUTCOME_OF[Code.DELIVERED] for outcome in outcomes_at(store, destination, offsets).values())
