"""What must not be shown of what was sent to a partner and what it answered. Pure."""

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

import msgspec

from turnout.destinations.registry import is_secret
from turnout.destinations.templates import credentials, literals
from turnout.model.attempt import BODY_BYTES, Answer, Exchange, Sent

_MASK = "***"
_HEADERS = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"))
_MASKED_FROM = 6
"""Shorter values are not looked for inside of others: they would blot out ordinary words."""


class Secrets:
    """The secrets in one destination's settings: fields marked so, and credentials in URLs."""

    def __init__(self, settings: object) -> None:
        values = set(_values(settings, secret=False))
        self._names = _HEADERS | {name.lower() for name in _names(settings)}
        self._values = values
        self._long = sorted((value for value in values if len(value) >= _MASKED_FROM), key=len, reverse=True)

    def masked(self, exchange: Exchange) -> Exchange:
        """The same without secrets, bodies cut to `BODY_BYTES`."""
        request, response = exchange.request, exchange.response
        return Exchange(
            Sent(request.method, self._url(request.url), self._headers(request.headers), self._body(request.body)),
            None
            if response is None
            else Answer(response.status, self._headers(response.headers), self._body(response.body)),
        )

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {
            name: _MASK if name.lower() in self._names or value in self._values else self._text(value)
            for name, value in headers.items()
        }

    def _url(self, url: str) -> str:
        head, mark, query = url.partition("?")
        parts = [self._part(part) for part in query.split("&")]
        return self._text(head) + mark + "&".join(parts)

    def _part(self, part: str) -> str:
        known = any(value in self._values for _, value in parse_qsl(part))
        return f"{part.partition('=')[0]}={_MASK}" if known else self._text(part)

    def _text(self, text: str) -> str:
        for secret in self._long:
            text = text.replace(secret, _MASK)
        return text

    def _body(self, body: bytes) -> bytes:
        body = body[:BODY_BYTES]
        for secret in self._long:
            body = body.replace(secret.encode(), _MASK.encode())
        return body


def _values(value: object, secret: bool) -> Iterator[str]:
    """All texts that are secret."""
    if isinstance(value, str):
        if value and secret:
            yield from filter(None, map(str.strip, literals(value)))
        elif "://" in value:
            yield from credentials(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _values(item, secret)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _values(item, secret)
    elif isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(type(value)):
            yield from _values(getattr(value, field.name), secret or is_secret(field.type))


def _names(settings: object) -> Iterator[str]:
    """The keys of secret mappings: names of headers."""
    if isinstance(settings, msgspec.Struct):
        for field in msgspec.structs.fields(type(settings)):
            value = getattr(settings, field.name)
            if isinstance(value, Mapping) and is_secret(field.type):
                yield from map(str, value)
