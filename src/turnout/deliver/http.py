"""Sends requests to partners over HTTP: one pool of connections for all destinations of a worker.

What may go wrong with a connection ends here as a result, never as an exception, so that destinations only
describe requests and read answers. An attempt has one time limit from the look-up of the name to the last
byte of the answer; of the answer, 16 KB are read and no more. Proxy settings in the environment are ignored:
through a proxy the egress policy could not see where a connection ends.
"""

import asyncio
from collections.abc import Mapping, Sequence
from email.utils import formatdate

import aiohttp
from msgspec import structs
from yarl import URL

import turnout
from turnout.destinations.interface import Event, Request, Response, Translator, exchange_of
from turnout.egress import EgressDeniedError, socket_factory
from turnout.model.clock import Clock
from turnout.model.outcome import Result

_CAPTURE_BYTES = 16 * 1024
_REDIRECTS = 3
_REDIRECT_STATUSES = frozenset((301, 302, 303, 307, 308))


def open_session(allow_private: bool) -> aiohttp.ClientSession:
    """The client that all destinations of a worker share; call it inside the event loop, close it last.

    With `allow_private` false, connections to loopback and private ranges are refused (`egress.py`).
    How many connections there are is bounded by each destination's `concurrency`, so that a slow partner
    never takes another's place in the pool.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, socket_factory=socket_factory(allow_private)),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"turnout/{turnout.__version__}", "Accept-Encoding": "identity"},
        # Each attempt has its own limit, over all of its redirects.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        # What is captured stays as it came: a small answer that unpacks to gigabytes costs nothing.
        auto_decompress=False,
        trust_env=False,
    )


class HttpDestination:
    """A `Destination` that really sends what its translator describes."""

    def __init__(self, translator: Translator, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.batch_size = translator.batch_size
        self.concurrency = translator.concurrency
        self._translator = translator
        self._session = session
        self._clock = clock

    async def send(self, events: Sequence[Event]) -> Sequence[Result]:
        """One attempt, one request; failures on the way are `retry` results for all of its events."""
        request = self._translator.request(events, self._clock())
        if isinstance(request, Result):
            return [request] * len(events)
        answer = await self._attempt(request)
        if isinstance(answer, Result):
            return [structs.replace(answer, exchange=exchange_of(request))] * len(events)
        exchange = exchange_of(request, answer)
        return [structs.replace(result, exchange=exchange) for result in self._translator.read(events, answer)]

    async def close(self) -> None:
        """Nothing of its own is open: the session belongs to the worker."""

    async def _attempt(self, request: Request) -> Response | Result:
        try:
            async with asyncio.timeout(self._translator.timeout_ms / 1000):
                return await self._follow(request)
        except TimeoutError:
            return Result("retry", "timeout", f"no complete answer within {self._translator.timeout_ms} ms")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failure(error)

    async def _follow(self, request: Request) -> Response:
        """Send, and for GET follow up to three redirects; a further one is given back as it is."""
        url, headers = URL(request.url), request.headers
        for _ in range(_REDIRECTS):
            response = await self._exchange(request, url, headers)
            location = response.headers.get("location")
            if request.method != "GET" or response.status not in _REDIRECT_STATUSES or not location:
                return response
            target = url.join(URL(location))
            headers = headers if _same_place(url, target) else _without_credentials(headers)
            url = target
        return await self._exchange(request, url, headers)

    async def _exchange(self, request: Request, url: URL, headers: Mapping[str, str]) -> Response:
        async with self._session.request(
            request.method, url, data=request.body or None, headers=headers, allow_redirects=False
        ) as response:
            body = await _capture(response)
            received = {name.lower(): value for name, value in response.headers.items()}
            # RFC 9110 §6.6.1: whoever receives an answer without a date adds the time it came.
            received.setdefault("date", formatdate(self._clock() / 1000, usegmt=True))
            return Response(response.status, received, body)


async def _capture(response: aiohttp.ClientResponse) -> bytes:
    """The first 16 KB of the body. A longer answer ends its connection, the rest is not read."""
    body = bytearray()
    while len(body) < _CAPTURE_BYTES:
        chunk = await response.content.read(_CAPTURE_BYTES - len(body))
        if not chunk:
            return bytes(body)
        body += chunk
    if not response.content.at_eof():
        response.close()
    return bytes(body)


def _same_place(url: URL, target: URL) -> bool:
    """Whether a redirect stays with the partner: the same origin, or its step up to HTTPS."""
    before, after = (url.scheme, url.host, url.port), (target.scheme, target.host, target.port)
    return before == after or (before == ("http", url.host, 80) and after == ("https", url.host, 443))


def _without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers fit for a stranger. Any header may hold a key, so only the one that explains the body stays."""
    return {name: value for name, value in headers.items() if name.lower() == "content-type"}


def _failure(error: Exception) -> Result:
    """The result for an attempt that brought no complete answer. Details never show the URL's query."""
    match error:
        case aiohttp.ClientConnectorError(os_error=EgressDeniedError()):
            return Result("error", "egress_denied", f"{error.host}: {error.os_error}")
        case aiohttp.ClientConnectorDNSError():
            return Result("retry", "dns_failed", str(error))
        case aiohttp.ClientSSLError():
            return Result("retry", "tls_failed", str(error))
        case aiohttp.ClientResponseError():
            return Result("retry", "bad_response", f"not an HTTP answer: {error.message}")
        case aiohttp.ClientPayloadError():
            return Result("retry", "bad_response", "the answer ended before it was complete")
        case aiohttp.NonHttpUrlClientError() | ValueError():
            return Result("error", "invalid_url", "the URL, or one the partner redirects to, cannot be used")
        case _:
            return Result("retry", "connection_failed", str(error) or type(error).__name__)
