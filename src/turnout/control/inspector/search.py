"""From what is sought to what the index is asked and how each record is checked. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from turnout.control.inspector.conditions import Condition, candidates, predicate, word_predicate
from turnout.control.inspector.counts import KINDLESS, Fields
from turnout.control.inspector.terms import MORE_WORDS, field_term, word_candidates

R = TypeVar("R")
Reader = Callable[[R], tuple[str, ...]]


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """Everything must hold; of several values of a field one must.

    `fields` are those of the direction's `FIELDS`. `conditions` are on the document that the reader looks at, `ids` on
    the event in any case, as they are on what everybody sees. `prefix` is how the event's name begins.
    """

    fields: Mapping[str, tuple[str, ...]]
    prefix: str = ""
    ids: tuple[Condition, ...] = ()
    conditions: tuple[Condition, ...] = ()
    words: str = ""
    indexed: bool = True
    """Whether the document that conditions look at is the one that the index knows."""

    def match(self) -> str:
        """What the index is asked, in FTS5's writing. Never empty as long as a site is among the fields."""
        parts = [_any([field_term(name, value) for value in values]) for name, values in self.fields.items()]
        conditions = (*self.ids, *self.conditions) if self.indexed else self.ids
        parts += [_any(asked) for one in conditions if (asked := candidates(one)) is not None]
        if self.words and self.indexed:
            parts += [f'({asked} OR "{MORE_WORDS}")' for asked in word_candidates(self.words)]
        return " AND ".join(dict.fromkeys(parts))

    def of_kind(self) -> Callable[[Fields], bool] | None:
        """What tells whether records of a kind are sought; None if that takes more than their kind."""
        if self.ids or self.conditions or self.words or not KINDLESS.isdisjoint(self.fields):
            return None
        wanted = [(name, frozenset(values)) for name, values in self.fields.items()]

        def meets(kind: Fields) -> bool:
            return kind["event_name"][0].startswith(self.prefix) and not any(
                values.isdisjoint(kind[name]) for name, values in wanted
            )

        return meets


class Check(Generic[R]):
    """Whether a record is what is sought. Raises `ConditionError` for what can't be sought."""

    def __init__(
        self,
        sought: Sought,
        fields: Mapping[str, Reader[R]],
        event: Callable[[R], object],
        document: Callable[[R], object],
    ) -> None:
        """`event` gives what everybody may search by id, `document` what this reader may search; None: nothing."""
        self._fields = [(fields[name], frozenset(values)) for name, values in sought.fields.items()]
        self._name = fields["event_name"]
        self._prefix = sought.prefix
        self._event, self.document = event, document
        self._ids = [predicate(one) for one in sought.ids]
        self._tests = [predicate(one) for one in sought.conditions]
        if sought.words:
            self._tests.append(word_predicate(sought.words))

    def __call__(self, record: R) -> bool:
        if any(wanted.isdisjoint(read(record)) for read, wanted in self._fields):
            return False
        if self._prefix and not self._name(record)[0].startswith(self._prefix):
            return False
        if self._ids and ((event := self._event(record)) is None or not all(test(event) for test in self._ids)):
            return False
        if not self._tests:
            return True
        document = self.document(record)
        return document is not None and all(test(document) for test in self._tests)


def _any(terms: Sequence[str]) -> str:
    return "(" + " OR ".join(f'"{term}"' for term in terms) + ")"
