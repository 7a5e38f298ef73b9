"""Sends the simulated shop's requests to a collector at a steady rate, and counts the answers."""

import http.client
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from turnout.demo.visits import Sending

_WAIT_S = 10.0
_AGAIN_S = 1.0
_FOREIGN_KEY = "00000000-0000-4000-8000-000000000000"


class Count(msgspec.Struct):
    """What was sent and answered so far."""

    sent: int = 0
    events: Counter[str] = msgspec.field(default_factory=Counter)
    """By event name; "-" for what has none."""
    broken: int = 0
    """How many of them were broken on purpose."""
    answers: Counter[int] = msgspec.field(default_factory=Counter)
    """By status code; 0 where there was no answer. What was not taken is sent again."""


class Sender:
    """One keep-alive connection to the collector at `url`. `keys` are those of the sources; not for several threads."""

    def __init__(self, url: str, site: str, keys: Mapping[Literal["web", "server"], str]) -> None:
        target = urlsplit(url)
        kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(target.netloc, timeout=_WAIT_S)
        self._path, self._site, self._keys = target.path.rstrip("/"), site, keys
        self.count = Count()

    def run(self, requests: Iterable[Sending], rate: float, counted: Callable[[], None]) -> None:
        """Send all `requests`, `rate` a second; what gets no 200 or 400 is tried again.

        `counted` is called after each attempt.
        """
        count = self.count
        start = time.monotonic()
        for number, request in enumerate(requests):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            while (status := self._send(request)) not in (200, 400):
                count.answers[status] += 1
                counted()
                time.sleep(_AGAIN_S)
                start += _AGAIN_S
            count.sent += 1
            count.answers[status] += 1
            count.broken += bool(request.broken)
            count.events[_name(request.body)] += 1
            counted()

    def _send(self, request: Sending) -> int:
        """The status of the answer; 0 if there is none."""
        key = _FOREIGN_KEY if request.broken == "key" else self._keys[request.source]
        query = urlencode({"tc_s": self._site, "token": key})
        # A browser's beacon can't say that it is JSON without asking first; a backend can.
        kind = "application/json" if request.source == "server" else "text/plain;charset=UTF-8"
        try:
            self._connection.request("POST", f"{self._path}/events?{query}", request.body, {"Content-Type": kind})
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0
        return response.status


def _name(body: bytes) -> str:
    try:
        event = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "-"
    return str(event.get("event_name", "-")) if isinstance(event, dict) else "-"
