"""The mail server that messages go through, as one URL."""

from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

Security = Literal["tls", "starttls", "none"]

_SCHEMES: dict[str, tuple[Security, int]] = {
    "smtps": ("tls", 465),
    "smtp": ("starttls", 587),
    "smtp+plain": ("none", 25),
}


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how to hand mail over. With `starttls` nothing is sent before the connection is encrypted."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = ""


def read(url: str) -> MailServer:
    """The mail server of a URL `smtps://`, `smtp://` (STARTTLS) or `smtp+plain://`, user and password before the host.

    Raises ValueError with what is wrong; the text has no password in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is no URL: a password with special characters needs them percent-encoded") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError("must start with smtp://, smtps:// or smtp+plain://")
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must be scheme://user:password@host:port and nothing more")
    security, usual = _SCHEMES[parts.scheme]
    if security == "none" and parts.username is not None:
        raise ValueError("has a password, which would be sent unencrypted: use smtp:// or smtps://")
    return MailServer(
        host=parts.hostname,
        port=port or usual,
        security=security,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
