"""Webhook: events as JSON to any URL (`destinations.md` §7), body values as literals, without templates.

The body is the event, the event with rows over it, or rows alone. With `delivery.batch_size` above 1 it is an
array, always, and its events share the answer. A `secret` signs requests as standardwebhooks.com describes,
so that receivers can check them with a library they already have.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Meta

from turnout.destinations.answers import result_of
from turnout.destinations.body import flatten, is_index, place
from turnout.destinations.interface import Context, Destination, Event, Request, Response
from turnout.destinations.signing import SIGNATURE_HEADERS, message_id, sign, signing_key
from turnout.model.errors import Problem
from turnout.model.outcome import Result

TYPE = "webhook"

_BODILESS = frozenset(("GET", "DELETE"))
_FRAMING = frozenset(("connection", "content-length", "te", "trailer", "transfer-encoding", "upgrade"))
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_INDEX_DIGITS = 3
_MASKED_FROM = 6
"""Shorter values are not masked in details: they would blot out ordinary words."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a webhook destination."""

    url: Annotated[
        str,
        Meta(description="Where to send to, http or https.", examples=["https://hooks.example.org/orders"]),
    ]
    method: Annotated[
        Literal["POST", "GET", "PUT", "PATCH", "DELETE"],
        Meta(description="GET and DELETE have a body only when `body` has rows.", examples=["PUT"]),
    ] = "POST"
    headers: Annotated[
        dict[str, str],
        Meta(
            description="Headers to add; they win over the ones turnout sets itself.",
            examples=[{"X-Api-Key": "4f1c2b7a90"}],
            extra={"secret": True},
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
            examples=[{"shop.name": "north", "shop.tags.0": "web"}],
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
        *_url_problems(config),
        *_header_problems(config),
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
        self.batch_size = context.delivery_batch_size or 1 if self._has_body else 1
        self._config = config
        self._ref = context.ref
        self._whole_event = not config.body if config.all_event_data is None else config.all_event_data
        self._rows = [([key] if config.literal_dots else key.split("."), value) for key, value in config.body.items()]
        self._own_names = {name.lower() for name in config.headers}
        self._key = None if config.secret is None else signing_key(config.secret)
        self._secrets = _secrets(config)

    def request(self, events: Sequence[Event], now_ms: int) -> Request:
        """The one request that carries these events."""
        body = self._body(events) if self._has_body else b""
        return Request(self._config.method, self._config.url, self._headers(events, body, now_ms), body)

    def read(self, events: Sequence[Event], response: Response) -> Sequence[Result]:
        """The events of one request share its answer."""
        return [result_of(response, self._secrets)] * len(events)

    def _headers(self, events: Sequence[Event], body: bytes, now_ms: int) -> dict[str, str]:
        message = message_id([event.event_id for event in events], self._ref)
        headers = {"Idempotency-Key": message}
        if body:
            headers["Content-Type"] = "application/json; charset=utf-8"
        if self._key is not None:
            headers |= sign(self._key, message, now_ms // 1000, body)
        kept = {name: value for name, value in headers.items() if name.lower() not in self._own_names}
        return kept | self._config.headers

    def _body(self, events: Sequence[Event]) -> bytes:
        items = [self._item(event) for event in events]
        return b"[" + b",".join(items) + b"]" if self.batch_size > 1 else items[0]

    def _item(self, event: Event) -> bytes:
        if self._whole_event and not self._rows and not self._config.flatten_keys:
            return event.payload
        item = event.data() if self._whole_event else {}
        for path, value in self._rows:
            place(item, path, value)
        if self._config.flatten_keys:
            item = flatten(item)
        return msgspec.json.encode(item)


def _secrets(config: Config) -> list[str]:
    """What must not appear in a detail although the partner may repeat it, the longest first."""
    url = urlsplit(config.url)
    values = [
        *config.headers.values(),
        config.secret,
        url.password,
        *(value for _, value in parse_qsl(url.query)),
    ]
    return sorted({value for value in values if value and len(value) >= _MASKED_FROM}, key=len, reverse=True)


def _url_problems(config: Config) -> Iterator[Problem]:
    fix = "for example https://hooks.example.org/orders"
    if _CONTROL.search(config.url) or " " in config.url.strip() or config.url != config.url.strip():
        yield Problem("url", "has spaces or control characters", "percent-encode them")
        return
    try:
        url = urlsplit(config.url)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError as error:
        yield Problem("url", f"is not a URL: {error}", fix)
        return
    if not usable:
        yield Problem("url", "must start with http:// or https:// and name a host", fix)


def _header_problems(config: Config) -> Iterator[Problem]:
    seen: set[str] = set()
    for name, value in config.headers.items():
        path, lower = f"headers.{name}", name.lower()
        if not _TOKEN.fullmatch(name):
            yield Problem(path, "is not a header name", "letters, digits and - only")
        elif lower in _FRAMING:
            yield Problem(path, "is set by the connection itself", "remove it")
        elif lower in SIGNATURE_HEADERS and config.secret is not None:
            yield Problem(path, "is part of the signature", "remove it, or remove `secret`")
        elif lower in seen:
            yield Problem(path, "stands here twice, in different letter case", "keep one")
        if _CONTROL.search(value):
            yield Problem(path, "has a line break or control character in its value", "remove it")
        seen.add(lower)


def _body_problems(config: Config) -> Iterator[Problem]:
    if config.all_event_data is False and not config.body and config.method not in _BODILESS:
        yield Problem("all_event_data", "is off and `body` has no rows: nothing to send", "add rows or turn it on")
    for key in config.body:
        segments = [key] if config.literal_dots else key.split(".")
        if "" in segments:
            yield Problem(f"body.{key}", "has an empty part in its key", "a key like order.id")
        elif any(is_index(part) and len(part) > _INDEX_DIGITS for part in segments[1:]):
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
