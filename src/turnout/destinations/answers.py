"""What a partner's HTTP answer means for the events that were sent (`destinations.md` §1 and §2).

For destinations over HTTP whose partner speaks plain status codes.
"""

import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from turnout.destinations.interface import Response
from turnout.model.outcome import DELIVERED, Result

_RETRYABLE = frozenset((408, 425, 429))
_DETAIL_CHARACTERS = 300

_PHRASES = {
    413: "content_too_large",
    414: "uri_too_long",
    416: "range_not_satisfiable",
    422: "unprocessable_content",
}
"""Phrases that the standard library renames from one Python release to the next; reasons must not change."""


def result_of(response: Response, secrets: Iterable[str] = ()) -> Result:
    """The result for one answer: 2xx is delivered; 408, 425, 429 and 5xx are worth another attempt.

    Everything else is a final error. `secrets` are masked where the partner's answer repeats them.
    """
    status = response.status
    if 200 <= status < 300:
        return DELIVERED
    detail = _detail(response, secrets)
    if is_retryable(status):
        return Result("retry", reason_of(status), detail, retry_after_s(response.headers))
    return Result("error", reason_of(status), detail)


def is_retryable(status: int) -> bool:
    """Whether another attempt may help after this answer."""
    return status in _RETRYABLE or 500 <= status < 600


def reason_of(status: int) -> str:
    """The reason token for a status: "502_bad_gateway"; the number alone when it has no known phrase."""
    if status in _PHRASES:
        return f"{status}_{_PHRASES[status]}"
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        return str(status)
    words = re.findall("[a-z0-9]+", phrase.lower().replace("'", ""))
    return "_".join([str(status), *words])


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks to wait, or None when it says nothing usable.

    A date is compared with the answer's own `Date`, so that clocks that disagree do no harm.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        sent = parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - sent).total_seconds())
    except (ValueError, TypeError):
        # Not a date, or one with a time zone and one without: the partner gave no usable hint.
        return None


def _detail(response: Response, secrets: Iterable[str]) -> str:
    """The beginning of what the partner said, fit for a terminal: one line, no control characters."""
    if "content-encoding" in response.headers:
        return ""
    text = response.body.decode("utf-8", "replace")
    for secret in secrets:
        text = text.replace(secret, "***")
    words = "".join(character if character.isprintable() else " " for character in text).split()
    return " ".join(words)[:_DETAIL_CHARACTERS]
