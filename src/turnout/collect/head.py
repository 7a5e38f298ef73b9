"""What we read of a request's head: its limits, the headers we want, and how to decline an upgrade. Pure."""

from collections.abc import Mapping

REQUEST_LINE_BYTES = 40_960
HEADER_BYTES = 16_384
LENGTH_DIGITS = 19
GZIP_SLACK_BYTES = 1_024

WANTED = {
    b"content-type": "content_type",
    b"content-encoding": "content_encoding",
    b"authorization": "authorization",
    b"origin": "origin",
    b"user-agent": "user_agent",
    b"expect": "expect",
    b"content-length": "content_length",
    b"transfer-encoding": "transfer_encoding",
    b"connection": "connection",
    b"upgrade": "upgrade",
    b"host": "host",
    b"cookie": "cookie",
    b"sec-fetch-site": "sec_fetch_site",
    b"accept-encoding": "accept_encoding",
    b"if-none-match": "if_none_match",
    b"x-forwarded-for": "x_forwarded_for",
    b"forwarded": "forwarded",
    b"x-forwarded-host": "x_forwarded_host",
    b"x-forwarded-proto": "x_forwarded_proto",
    b"x-forwarded-country": "x_forwarded_country",
    b"x-forwarded-region": "x_forwarded_region",
    b"x-forwarded-countryregion": "x_forwarded_countryregion",
}
"""Everything else a client sends is counted and forgotten."""

JOINED = {
    "cookie": b"; ",
    "x_forwarded_for": b", ",
    "forwarded": b", ",
    "x_forwarded_host": b", ",
    "x_forwarded_proto": b", ",
}
"""Lists, which may come in several headers, and what joins their parts. Of any other header the last one counts."""


def well_framed(headers: Mapping[str, bytes]) -> bool:
    """Whether the end of the body can be told as we tell it; the parser has refused what is contradictory."""
    coding = headers.get("transfer_encoding", b"chunked")
    return coding.lower() == b"chunked" and len(headers.get("content_length", b"0")) <= LENGTH_DIGITS


def wire_limit(body_bytes: int, headers: Mapping[str, bytes]) -> int:
    """How long a body may be on the wire: its limit is for what comes out of it, and gzip can make it longer."""
    return body_bytes + body_bytes // 100 + GZIP_SLACK_BYTES if "content_encoding" in headers else body_bytes


def without_upgrade(method: bytes, url: bytes, version: str, headers: Mapping[str, bytes]) -> bytes:
    """The head of a request as if it had not asked for another protocol.

    Clients ask in passing (`h2c`), with a body, and are content with HTTP/1.1 (RFC 9110, 7.8).
    """
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    if b"close" in headers["connection"].lower():
        lines.append(b"Connection: close")
    lines += [
        b"%b: %b" % (name.replace("_", "-").encode(), value)
        for name, value in headers.items()
        if name not in ("connection", "upgrade")
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"
