"""Records as they are made, as server-sent events (`config-api.md` C4).

What must stay true: a client that comes again with the id of the last event it got misses none and gets none twice;
one that reads slowly costs one batch of memory, because the next is looked for when the last is sent. With `batch` it
misses what a person could not follow, and is told how much; then a flood costs it, and us, no more than a trickle.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from turnout.control.api import integrations
from turnout.control.api.documents import Nothing, Resource
from turnout.control.api.inspector_lists import incoming_resources, looking
from turnout.control.api.inspector_query import Question, StreamQuery
from turnout.control.api.inspector_records import Looker, incoming_id, outgoing_id, outgoing_resource, seq_in
from turnout.control.api.inspector_search import either, incoming_records, outgoing_records
from turnout.control.api.operation import Call, Feed, operation
from turnout.control.api.problems import failure
from turnout.control.inspector.store import Series

_AT_ONCE = 50
_EXAMINED = 5_000
_BATCH_EXAMINED = 2_000
_BATCH_MS = 500
"""How long it is at least from one message of a live view to the next."""
_CHECKED_MS = 5_000
"""How often it is looked whether the token still opens this."""
_PREFIXES = {"incoming": "in_", "outgoing": "out_"}


@operation("GET", "/v2/{site}/inspector/stream", scope="inspector:read", tag="Inspector")
def stream_records(call: Call[StreamQuery, Nothing]) -> Feed:
    """Records as they are made, as server-sent events: what the lists give, one by one, oldest first.

    Begins with what happens now, or behind the record that the header `Last-Event-ID` names, as browsers send it when
    a connection broke. Ends when the token does. 32 such answers go on at the same time; more get 429.

    With `batch` the messages are documents with the newest of these records, oldest first, at most every half second;
    `left_out` in `meta` is how many more there were, `partial` that even they were too many to count. A message has the
    id of the newest record then, so `Last-Event-ID` goes on behind it.
    """
    asked = either(call, call.query)
    inspector = call.world.inspector
    series = inspector.incoming if call.query.direction == "incoming" else inspector.outgoing
    start = series.newest()
    if call.last_event_id:
        found = seq_in(call.last_event_id, _PREFIXES[call.query.direction])
        if found is None:
            raise failure(400, "INVALID_PARAMETER", "Last-Event-ID is no id of a record of this direction")
        start = found
    full = call.query.fields == "full"
    looker = looking(call, full=full, personal=asked.personal, subject="", action=f"{call.query.direction}.stream")
    return Tail(call, series, asked, looker, start)


class BatchMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a message of a live view does not show."""

    left_out: int
    partial: bool = False


class Batch(msgspec.Struct, frozen=True):
    """A message of a live view."""

    data: Sequence[Resource[Any]]
    meta: BatchMeta


class Tail:
    """See `Feed`. For one client."""

    def __init__(
        self, call: Call[StreamQuery, Nothing], series: Series, asked: Question, looker: Looker, start: int
    ) -> None:
        self._call, self._series, self._asked, self._looker = call, series, asked, looker
        self._seen = start
        self._check_at_ms = self._read_at_ms = 0
        self._begun = False

    def read(self) -> bytes | None:
        if not self._is_open():
            return None
        head = b"" if self._begun else b"retry: 2000\n\n"
        self._begun = True
        batch, now_ms = self._call.query.batch, self._call.world.clock()
        if batch is not None and now_ms < self._read_at_ms:
            return head
        self._read_at_ms = now_ms + _BATCH_MS
        newest = self._series.newest()
        if newest <= self._seen:
            return head
        looker = msgspec.structs.replace(self._looker, numbers=integrations.numbers(self._call))
        asked = self._asked._replace(span=self._asked.span._replace(above=self._seen, below=newest + 1))
        if batch is not None:
            self._seen = newest
            return head + self._newest(asked, looker, batch, newest)
        resources, resume = self._resources(asked, looker)
        self._seen = newest if resume is None else resume
        return head + b"".join(_message(str(one.id), one.type, one) for one in resources)

    def _newest(self, asked: Question, looker: Looker, most: int, newest: int) -> bytes:
        """A message with the newest records, empty if none is sought."""
        call = self._call
        resources: Sequence[Resource[Any]]
        if call.query.direction == "incoming":
            came = incoming_records(call, asked).search(_BATCH_EXAMINED, examined=_BATCH_EXAMINED)
            resources = incoming_resources(call, came.items[:most][::-1], looker)
            found, resume, name = len(came.items), came.resume, incoming_id(newest)
        else:
            went = outgoing_records(call, asked).search(_BATCH_EXAMINED, examined=_BATCH_EXAMINED)
            resources = [outgoing_resource(one, looker) for one in went.items[:most][::-1]]
            found, resume, name = len(went.items), went.resume, outgoing_id(newest)
        if not resources:
            return b""
        meta = BatchMeta(left_out=found - len(resources), partial=resume is not None)
        return _message(name, resources[0].type, Batch(resources, meta))

    def _resources(self, asked: Question, looker: Looker) -> tuple[Sequence[Resource[Any]], int | None]:
        call = self._call
        if call.query.direction == "incoming":
            came = incoming_records(call, asked).search(_AT_ONCE, oldest_first=True, examined=_EXAMINED)
            return incoming_resources(call, came.items, looker), came.resume
        went = outgoing_records(call, asked).search(_AT_ONCE, oldest_first=True, examined=_EXAMINED)
        return [outgoing_resource(one, looker) for one in went.items], went.resume

    def _is_open(self) -> bool:
        """Whether the token is still good and the site still there."""
        world = self._call.world
        now_ms = world.clock()
        if now_ms < self._check_at_ms:
            return True
        self._check_at_ms = now_ms + _CHECKED_MS
        found = world.tokens.find(self._call.token.id)
        if found is None or self._call.site not in world.snapshot().sites:
            return False
        token, _ = found
        expired = token.expires_ms is not None and token.expires_ms <= now_ms
        good = self._call.token.scopes <= token.scopes and token.opens(self._call.site)
        return good and not expired and token.revoked_ms is None


def _message(name: str, kind: str, document: msgspec.Struct) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (name.encode(), kind.encode(), msgspec.json.encode(document))
