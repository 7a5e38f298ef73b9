"""Webhook: events as JSON to any URL (`destinations.md` §7).

The body is the event, the event with rows over it, or rows alone. With `delivery.batch_size` above 1 it is an
array, always, and its events share the answer; where URL or headers depend on the event, a request carries one.
A `secret` signs requests as standardwebhooks.com describes, so that receivers can check them with a library they
already have.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from turnout.destinations.answers import result_of
from turnout.destinations.body import flatten, is_index, place
from turnout.destinations.headers import Headers
from turnout.destinations.interface import Context, Destination, Event, Request, Response
from turnout.destinations.signing import message_id, sign, signing_key
from turnout.destinations.templates import (
    ABSENT,
    INDEX_DIGITS,
    credentials,
    evaluator,
    is_constant,
    key_of,
    literals,
)
from turnout.destinations.url import UrlTemplate
from turnout.formula.run import Run
from turnout.model.errors import Problem
from turnout.model.outcome import Result

TYPE = "webhook"
CATEGORY = "Own systems"

_BODILESS = frozenset(("GET", "DELETE"))
_MASKED_FROM = 6
"""Shorter values are not masked in details: they would blot out ordinary words."""
_NOTHING = Run({}, 0)
"""For settings that read nothing."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a webhook destination."""

    url: Annotated[
        str,
        Meta(
            description="Where to send to, http or https. What an event fills in is percent-encoded.",
            examples=[
                "https://hooks.example.org/orders",
                "https://api.example.org/users/{{user.id}}?from={{currency}}",
            ],
            extra={"template": True},
        ),
    ]
    method: Annotated[
        Literal["POST", "GET", "PUT", "PATCH", "DELETE"],
        Meta(description="GET and DELETE have a body only when `body` has rows.", examples=["PUT"]),
    ] = "POST"
    headers: Annotated[
        dict[str, str],
        Meta(
            description="Headers to add; they win over the ones turnout sets itself.",
            examples=[{"X-Api-Key": "4f1c2b7a90", "X-Event": "{{event_name}}"}],
            extra={"secret": True, "template": True},
        ),
    ] = {}
    timeout_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=120_000,
            description="Time limit of one attempt in ms, unless `delivery.timeout_ms` sets one.",
            examples=[3000],
        ),
    ] = 3000
    all_event_data: Annotated[
        bool | None,
        Meta(
            description="Send the whole event. Left out, it is on exactly when `body` has no rows.",
            examples=[True],
        ),
    ] = None
    body: Annotated[
        dict[str, object],
        Meta(
            description="Rows of the body, key to value; they win over event data. A dot in a key nests,"
            " a number between dots is a place in a list.",
            examples=[{"order.id": "{{id}}", "order.total": "{{NUMBER(value)}}", "shop.tags.0": "web"}],
            extra={"template": True},
        ),
    ] = {}
    flatten_keys: Annotated[
        bool,
        Meta(
            description="One flat object: nested keys joined with `_`, and `-` in keys becomes `_`.",
            examples=[True],
        ),
    ] = False
    literal_dots: Annotated[
        bool,
        Meta(description="A dot in a key of `body` is part of the key and does not nest.", examples=[True]),
    ] = False
    secret: Annotated[
        str | None,
        Meta(
            description="Sign requests with HMAC-SHA256 (headers webhook-id, webhook-timestamp,"
            " webhook-signature). `whsec_` and base64, or any text.",
            examples=["whsec_bm90LWEtcmVhbC1zZWNyZXQtanVzdC1hbi1leGFtcGxl"],
            extra={"secret": True},
        ),
    ] = None


def check(config: Config) -> list[Problem]:
    """What the types of `Config` cannot say; paths are relative to the settings."""
    return [
        *(Problem("url", problem.message, problem.fix) for problem in UrlTemplate(config.url).problems()),
        *Headers(config.headers, signed=config.secret is not None).problems(),
        *_body_problems(config),
        *_secret_problems(config),
    ]


def open_destination(config: Config, context: Context) -> Destination:
    """A webhook that really sends."""
    return context.http(Webhook(config, context))


class Webhook:
    """Events in, one request out; an answer in, results out."""

    concurrency = 16

    def __init__(self, config: Config, context: Context) -> None:
        self.timeout_ms = context.delivery_timeout_ms or config.timeout_ms
        self._has_body = bool(config.body) or config.method not in _BODILESS
        self._url = UrlTemplate(config.url)
        self._headers = Headers(config.headers, signed=config.secret is not None)
        alike = self._url.constant and self._headers.constant
        self.batch_size = context.delivery_batch_size or 1 if self._has_body and alike else 1
        self._config = config
        self._context = context
        self._whole_event = not config.body if config.all_event_data is None else config.all_event_data
        self._rows = [(key_of(key, config.literal_dots), evaluator(value)) for key, value in config.body.items()]
        rows_alike = is_constant(config.body) and all(map(is_constant, config.body))
        self._constant = alike and rows_alike
        self._key = None if config.secret is None else signing_key(config.secret)
        self._secrets = _secrets(config)

    def request(self, events: Sequence[Event], now_ms: int) -> Request | Result:
        """The one request that carries these events; a result if a template makes none of it."""
        runs = [_NOTHING] * len(events) if self._constant else [event.run(self._context.zone) for event in events]
        made = self._request(events, runs, now_ms)
        for run in runs:
            if run.warnings:
                self._context.warned(run.warnings)
        return made

    def read(self, events: Sequence[Event], response: Response) -> Sequence[Result]:
        """The events of one request share its answer."""
        return [result_of(response, self._secrets)] * len(events)

    def _request(self, events: Sequence[Event], runs: Sequence[Run], now_ms: int) -> Request | Result:
        # Where these are not the same for every event, a request carries one.
        url = self._url.render(runs[0])
        own = self._headers.render(runs[0])
        if isinstance(url, Result):
            return url
        if isinstance(own, Result):
            return own
        body = self._body(events, runs) if self._has_body else b""
        return Request(self._config.method, url, self._with_ours(own, events, body, now_ms), body)

    def _with_ours(
        self, own: Mapping[str, str], events: Sequence[Event], body: bytes, now_ms: int
    ) -> Mapping[str, str]:
        message = message_id([event.event_id for event in events], self._context.ref)
        headers = {"Idempotency-Key": message}
        if body:
            headers["Content-Type"] = "application/json; charset=utf-8"
        if self._key is not None:
            headers |= sign(self._key, message, now_ms // 1000, body)
        names = {name.lower() for name in own}
        return {**{name: value for name, value in headers.items() if name.lower() not in names}, **own}

    def _body(self, events: Sequence[Event], runs: Sequence[Run]) -> bytes:
        items = [self._item(event, run) for event, run in zip(events, runs, strict=True)]
        return b"[" + b",".join(items) + b"]" if self.batch_size > 1 else items[0]

    def _item(self, event: Event, run: Run) -> bytes:
        if self._whole_event and not self._rows and not self._config.flatten_keys:
            return event.payload
        item = event.data() if self._whole_event else {}
        for key, evaluate in self._rows:
            value = evaluate(run)
            if value is not ABSENT and (path := key.path(run)) is not None:
                place(item, path, value)
        if self._config.flatten_keys:
            item = flatten(item)
        return msgspec.json.encode(item)


def _secrets(config: Config) -> list[str]:
    """What must not appear in a detail although the partner may repeat it, the longest first."""
    values = [
        *(part.strip() for value in config.headers.values() for part in literals(value)),
        config.secret,
        *credentials(config.url),
    ]
    return sorted({value for value in values if value and len(value) >= _MASKED_FROM}, key=len, reverse=True)


def _body_problems(config: Config) -> Iterator[Problem]:
    if config.all_event_data is False and not config.body and config.method not in _BODILESS:
        yield Problem("all_event_data", "is off and `body` has no rows: nothing to send", "add rows or turn it on")
    for key in config.body:
        segments = key_of(key, config.literal_dots).segments
        if "" in segments:
            yield Problem(f"body.{key}", "has an empty part in its key", "a key like order.id")
        elif any(isinstance(part, str) and is_index(part) and len(part) > INDEX_DIGITS for part in segments[1:]):
            yield Problem(f"body.{key}", "has a list place above 999", "use smaller numbers, or `literal_dots`")


def _secret_problems(config: Config) -> Iterator[Problem]:
    if config.secret is None:
        return
    try:
        empty = not signing_key(config.secret)
    except ValueError:
        yield Problem("secret", "is not base64 after whsec_", "copy it again, or use another text")
        return
    if empty:
        yield Problem("secret", "is empty", "leave it out to send unsigned")
