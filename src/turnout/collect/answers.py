"""The bytes of every answer (`collect.md` §1, §4 "Responses")."""

from base64 import b64decode
from enum import Enum
from functools import lru_cache
from http import HTTPStatus

import msgspec

_ERROR = '{{"error":{{"code":"{}","message":"{}"}}}}'
_ORIGIN_BYTES = 512
_PREFLIGHT_LINES = (
    "Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n"
    "Access-Control-Allow-Headers: Content-Type, Authorization\r\n"
    "Access-Control-Max-Age: 86400\r\n"
)


_NO_STORE = "Cache-Control: no-store\r\n"
_CROSS_ORIGIN = "Cross-Origin-Resource-Policy: cross-origin\r\n"
_GIF = b64decode("R0lGODlhAQABAIAAAAAAAAAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
"""One transparent pixel."""


class Page(msgspec.Struct, frozen=True):
    """An answer that is made for one request: status, content type, body, extra header lines."""

    status: int
    content_type: str
    body: bytes
    extra: str
    shared: bool = False
    """It is the same for every origin, and `extra` says who may keep it and read it."""


def _render(answer: "Answer | Page", origin: bytes | None, keep_alive: bool, cookie: str = "") -> bytes:
    status, content_type, body = answer.status, answer.content_type, answer.body
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"]
    if content_type:
        lines.append(f"Content-Type: {content_type}\r\n")
    if status not in (204, 304):
        lines.append(f"Content-Length: {len(body)}\r\n")
    shared = isinstance(answer, Page) and answer.shared
    lines.append(answer.extra if shared else f"{_NO_STORE}{answer.extra}")
    if cookie:
        lines.append(f"Set-Cookie: {cookie}\r\n")
    if origin and not shared:
        lines.append(
            f"Access-Control-Allow-Origin: {origin.decode('ascii')}\r\n"
            "Access-Control-Allow-Credentials: true\r\nVary: Origin\r\n"
        )
    if answer.status == 204:
        lines.append(_PREFLIGHT_LINES)
    if not keep_alive:
        lines.append("Connection: close\r\n")
    return ("".join(lines) + "\r\n").encode() + body


class Answer(Enum):
    """What the collector can answer: status, content type, body, extra header lines."""

    def __init__(self, status: int, content_type: str, body: str | bytes, extra: str) -> None:
        self.status, self.content_type, self.extra = status, content_type, extra
        self.body = body if isinstance(body, bytes) else body.encode()
        self.usual = _render(self, None, True)
        """The whole response in the usual case: no `Origin`, the connection stays open."""

    OK = (200, "application/json", "{}", "")
    HEALTHY = (200, "text/plain", "ok", "")
    PREFLIGHT = (204, "", "", "")
    PIXEL = (200, "image/gif", _GIF, _CROSS_ORIGIN)
    PIXEL_TOO_LARGE = (400, "", "", _CROSS_ORIGIN)
    TOO_LARGE = (
        400,
        "application/json",
        _ERROR.format("payload_too_large", "at most 32768 bytes per event and 512000 per batch"),
        "",
    )
    INVALID_JSON = (400, "application/json", _ERROR.format("invalid_json", "the body is not valid JSON"), "")
    BAD_REQUEST = (400, "text/plain", "this is not HTTP/1.1 as RFC 9112 has it\n", "")
    NOT_FOUND = (404, "text/plain", "not here; events go to POST /events\n", "")
    USE_GET_OR_POST = (405, "text/plain", "use GET or POST\n", "Allow: GET, HEAD, POST, OPTIONS\r\n")
    USE_POST = (405, "text/plain", "use POST\n", "Allow: POST, OPTIONS\r\n")
    USE_GET = (405, "text/plain", "use GET\n", "Allow: GET, HEAD, OPTIONS\r\n")
    TIMEOUT = (408, "text/plain", "the request did not arrive in time\n", "")
    URI_TOO_LONG = (414, "text/plain", "at most 40960 bytes in the request line\n", "")
    HEADERS_TOO_LARGE = (431, "text/plain", "at most 16384 bytes of headers\n", "")
    UNAVAILABLE = (
        503,
        "application/json",
        _ERROR.format("unavailable", "not stored; send it again later"),
        "Retry-After: 5\r\n",
    )


def render(answer: Answer | Page, origin: bytes | None, keep_alive: bool, cookie: str = "") -> bytes:
    """The whole response. `origin` is the request's header; it is echoed unless it isn't a plausible one."""
    if origin and (len(origin) > _ORIGIN_BYTES or not all(0x20 < byte < 0x7F for byte in origin)):
        origin = None
    if isinstance(answer, Page) and answer.shared:
        return _rendered(answer, None, keep_alive)
    if cookie or isinstance(answer, Page):
        return _render(answer, origin, keep_alive, cookie)
    return _rendered(answer, origin, keep_alive)


_rendered = lru_cache(1024)(_render)
