"""Names and signs requests so that receivers can tell repeats and forgeries (standardwebhooks.com)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import quote

SIGNATURE_HEADERS = frozenset(("webhook-id", "webhook-timestamp", "webhook-signature"))

_SECRET_PREFIX = "whsec_"
_LONGEST_NAME = 200


def message_id(event_ids: Sequence[str], ref: str) -> str:
    """Names this request to the receiver, alike in every attempt: `<event id>:<destination>`.

    Event ids come from clients and may hold anything, so what is not safe in a header is percent-encoded,
    and what is too long for one is replaced by its hash. A batch is named by the hash of its ids.
    """
    if len(event_ids) == 1:
        name = quote(f"{event_ids[0]}:{ref}", safe="!#$&'()*+,/:;=?@")
        if len(name) <= _LONGEST_NAME:
            return name
    digest = hashlib.sha256("\n".join(event_ids).encode()).hexdigest()
    return f"{digest}:{quote(ref, safe='/')}"


def sign(key: bytes, message: str, now_s: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks: HMAC-SHA256 over `<id>.<seconds>.<body>`."""
    # The parts of the signed text are joined with dots, so that the id must not have one.
    message = message.replace(".", "%2E")
    digest = hmac.digest(key, f"{message}.{now_s}.".encode() + body, "sha256")
    return {
        "webhook-id": message,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def signing_key(secret: str) -> bytes:
    """The bytes to sign with. Raises ValueError when a `whsec_` secret is not base64."""
    if not secret.startswith(_SECRET_PREFIX):
        return secret.encode()
    text = secret.removeprefix(_SECRET_PREFIX)
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
