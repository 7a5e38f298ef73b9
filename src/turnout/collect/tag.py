"""The answer to `GET /tag.js`: the browser tag, read once, as bytes that are ready to be sent. No sockets here.

`tag.js` is written to be read. It is served without its comments and its indentation, otherwise line by line as it
stands in the file, so a browser's debugger shows readable code.
"""

import gzip
import re
from functools import cache
from hashlib import sha256
from pathlib import Path

import msgspec

CONTENT_TYPE = "text/javascript; charset=utf-8"
CACHE_CONTROL = "public, max-age=3600"
"""A new release reaches every page within the hour; within it, pages load the tag without asking."""

_BLOCK_COMMENT = re.compile(r"/\*\*.*?\*/", re.DOTALL)
_NEVER = re.compile(r"q=0(?:\.0*)?")
_HEADERS = (
    ("Cache-Control", CACHE_CONTROL),
    ("Vary", "Accept-Encoding"),
    ("Access-Control-Allow-Origin", "*"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("X-Content-Type-Options", "nosniff"),
)


class Tag(msgspec.Struct, frozen=True):
    """The script as served. `etag` stands for the script, whichever way it is encoded."""

    body: bytes
    gzipped: bytes
    etag: str


class TagAnswer(msgspec.Struct, frozen=True):
    """What to write: status 200 or 304, header fields (`Content-Length` is the shell's), body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def compact(source: str) -> str:
    """The script without block comments that begin with two asterisks, line comments, indentation and empty lines.

    Safe for a source in which no string, template or pattern holds the beginning of a comment or the end of a line.
    """
    lines = (line.strip() for line in _BLOCK_COMMENT.sub("", source).splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))


@cache
def load() -> Tag:
    """The tag of this release. Reads and packs the file the first time, so call it once before serving."""
    body = compact(Path(__file__).with_name("tag.js").read_text("utf-8")).encode()
    return Tag(body, gzip.compress(body, 9, mtime=0), f'W/"{sha256(body).hexdigest()[:32]}"')


def answer(accept_encoding: bytes | None, if_none_match: bytes | None) -> TagAnswer:
    """The answer to a GET of the tag, from these two request headers. Never raises for any header value.

    For HEAD, send the same without the body.
    """
    tag = load()
    headers: tuple[tuple[str, str], ...] = (("ETag", tag.etag), *_HEADERS)
    if _unchanged(if_none_match, tag.etag):
        return TagAnswer(304, headers, b"")
    headers = (("Content-Type", CONTENT_TYPE), *headers)
    if not _takes_gzip(accept_encoding):
        return TagAnswer(200, headers, tag.body)
    return TagAnswer(200, (("Content-Encoding", "gzip"), *headers), tag.gzipped)


def _takes_gzip(accept_encoding: bytes | None) -> bool:
    for part in (accept_encoding or b"").decode("latin-1").lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() == "gzip":
            return not _NEVER.fullmatch(quality.strip())
    return False


def _unchanged(if_none_match: bytes | None, etag: str) -> bool:
    """Weak comparison, as RFC 9110 §13.1.2 has it for GET."""
    known = {tag.strip().removeprefix("W/") for tag in (if_none_match or b"").decode("latin-1").split(",")}
    return "*" in known or etag.removeprefix("W/") in known
