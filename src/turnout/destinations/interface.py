"""What a destination type is: a module here with `TYPE`, `Config` and `open_destination`.

    TYPE = "webhook"                                    # the word in the configuration
    class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True): ...
    def open_destination(config: Config, context: Context) -> Destination: ...

`Config` fields carry their documentation with `Annotated[T, msgspec.Meta(description=..., examples=[...],
extra={"secret": True})]`; validation, forms and reference pages follow from it. A module may define
`check(config) -> list[Problem]` for what types cannot say (paths relative to `settings`).

A destination over HTTP does not open sockets itself: it implements `Translator` (pure) and returns
`context.http(translator)`, which sends, times out, follows the egress policy and maps transport failures
to results for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Protocol

import msgspec

from turnout.formula.run import Run, Warned
from turnout.model.attempt import Answer, Exchange, Sent
from turnout.model.outcome import Result


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event as a destination gets it: `payload` is compact JSON on one line, `data()` decodes it.

    `source` is the payload decoded, or what more than it has the templates of settings read; nobody changes it.
    """

    event_id: str
    name: str
    payload: bytes
    received_ms: int = 0
    source: Mapping[str, object] | None = None

    def run(self, zone: tzinfo = UTC) -> Run:
        """For the templates of settings. Its clock stands at the receipt, so that every attempt is the same."""
        return Run(self.data() if self.source is None else self.source, self.received_ms, zone)

    def data(self) -> dict[str, object]:
        """The event as a new dict that the caller may change."""
        event = msgspec.json.decode(self.payload)
        assert isinstance(event, dict)
        return event


class Destination(Protocol):
    """An open destination. One `send` at a time per unit of `concurrency`; `close` after the last."""

    batch_size: int
    """The most events one `send` takes."""
    concurrency: int
    """How many `send` calls may be under way at once."""

    async def send(self, events: Sequence[Event]) -> Sequence[Result]:
        """One attempt for these events; gives one result per event, in order.

        Returns only when the result is certain: for a file, after the fsync. Failures are results
        (`retry` when another attempt may help); an exception is a bug and is retried as `internal_error`.
        May be called again with events it already delivered, after a crash.
        """
        ...

    async def close(self) -> None:
        """Finish and give back what is open. Must not lose what `send` reported as delivered."""
        ...


class Request(msgspec.Struct, frozen=True):
    """One HTTP request to a partner, as data."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


class Response(msgspec.Struct, frozen=True):
    """What came back: `body` holds at most 16 KB of it. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def exchange_of(request: Request, response: Response | None = None) -> Exchange:
    """What went over the wire, to be shown."""
    return Exchange(
        Sent(request.method, request.url, request.headers, request.body),
        None if response is None else Answer(response.status, response.headers, response.body),
    )


class Translator(Protocol):
    """The pure half of a destination over HTTP: tables in tests, no sockets."""

    batch_size: int
    concurrency: int
    timeout_ms: int

    def request(self, events: Sequence[Event], now_ms: int) -> Request | Result:
        """The one request that carries these events. `now_ms` is for signatures and timestamps.

        A result instead of it, not `asked`, when they cannot be sent.
        """
        ...

    def read(self, events: Sequence[Event], response: Response) -> Sequence[Result]:
        """One result per event for an answer that did arrive, whatever its status code."""
        ...


def _unheard(_: Mapping[str, Warned]) -> None:
    """For who does not want to know."""


class Context(msgspec.Struct, frozen=True):
    """What a destination may use of the world around it."""

    ref: str
    """The destination's reference, "site/name"."""
    data_dir: Path
    """Relative paths in settings start here."""
    http: Callable[[Translator], Destination]
    """Wraps a translator into a destination that really sends."""
    delivery_batch_size: int | None = None
    delivery_timeout_ms: int | None = None
    warned: Callable[[Mapping[str, Warned]], None] = _unheard
    """Takes what formulas on one event could not compute, by code."""
    dry_mode: bool = False
    """Nothing may be sent: `http` does not, and what does not use it is never asked (`registry.py`)."""
    zone: tzinfo = UTC
    """Where dates without an offset are meant."""
