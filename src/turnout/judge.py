"""What would become of a payload, decided by the very code that collects and processes; nothing is kept.

Limits that depend on what came before (rates, ids seen twice) find an empty past.
"""

from turnout.collect.directory import Access
from turnout.collect.endpoint import Endpoint, Request
from turnout.model.config import Snapshot, Source
from turnout.model.event import Processed, Reason, Received
from turnout.process.arrays import is_array
from turnout.process.build import chain_for
from turnout.process.chain import Tally, process

Judged = tuple[Received, list[Processed]]
"""An event as the collector would take or refuse it, and as it would be processed; those derived from it follow."""


def judge(snapshot: Snapshot, source: Source, body: bytes, now_ms: int) -> tuple[int, list[Judged]]:
    """The HTTP status that `body` would get from this source, and its events.

    A body with `batch` is one of `/events/batch`, any other one of `/events`. Never raises for anything a client can
    send.
    """
    refusal = None
    if source.status != "active":
        refusal = Reason(f"source_{source.status}", "", f"source {source.name} is {source.status}")
    request = Request(
        endpoint="events/batch" if b'"batch"' in body else "events",
        access=Access(source, source.ref, refusal),
        body=body,
        content_type=b"application/json",
        content_encoding=None,
        origin=None,
        user_agent=None,
        client_ip="",
        received_ms=now_ms,
    )
    decision = Endpoint(is_array=is_array).handle(request)
    chain = chain_for(snapshot, Tally())
    return decision.answer.status, [(one, process(one, 0, chain)) for one in decision.records]
