"""Asks APIs for enrichments: once per call, a few at a time, and not at all while one is down.

What must stay true: whatever an API does, or does not, events go on. A part of a batch waits for its answers no
longer than the time-out of the slowest API that is up; one that keeps failing is left alone for a while.
"""

import asyncio
from collections.abc import Iterable

import aiohttp
import msgspec

from turnout.breaker import Breaker
from turnout.log.interface import Batch
from turnout.model.clock import Clock
from turnout.process.chain import Chain, process_batch
from turnout.process.enrichment.asking import Answer, Answers, Call, Rule

_AT_ONCE = 20
_ANSWER_BYTES = 256 * 1024
_ROUNDS = 3
"""An enrichment may ask for what another one has answered; more than so many in a row are not waited for."""

_decode = msgspec.json.Decoder(dict[str, object]).decode


class Fetcher:
    """Fetches what parts of batches will ask. One per worker."""

    def __init__(self, session: aiohttp.ClientSession, answers: Answers, clock: Clock) -> None:
        """`session` obeys the egress policy."""
        self._session, self._answers, self._clock = session, answers, clock
        self._breakers: dict[Rule, Breaker] = {}
        self._slots: dict[Rule, asyncio.Semaphore] = {}

    async def prepare(self, part: Batch, rehearsal: Chain) -> None:
        """Have an answer for all that the part will ask. `rehearsal` is its chain, but keeps and counts nothing."""
        self._answers.begin()
        for _ in range(_ROUNDS):
            process_batch(part, rehearsal)
            if not self._answers.wanted:
                return
            await self._fetch(list(self._answers.wanted))

    async def _fetch(self, calls: Iterable[Call]) -> None:
        await asyncio.gather(*(self._answer(call) for call in calls))

    async def _answer(self, call: Call) -> None:
        breaker = self._breakers.setdefault(call.rule, Breaker())
        slots = self._slots.setdefault(call.rule, asyncio.Semaphore(_AT_ONCE))
        async with slots:
            if not breaker.closed and not breaker.probe(self._clock()):
                answer = Answer(None, "api_error", "the API keeps failing and is left alone for a while")
            else:
                answer = await self._ask(call)
                if answer.value is None:
                    breaker.failed(self._clock())
                else:
                    breaker.succeeded()
        self._answers.put(call, answer)

    async def _ask(self, call: Call) -> Answer:
        """One attempt. Its answer's words never show the URL, which may hold personal data or a key."""
        headers = {"Content-Type": "application/json", **dict(call.headers)} if call.body else dict(call.headers)
        try:
            async with (
                asyncio.timeout(call.timeout_ms / 1000),
                self._session.request(
                    call.method, call.url, data=call.body or None, headers=headers, allow_redirects=False
                ) as response,
            ):
                body = await _captured(response)
        except TimeoutError:
            return Answer(None, "timeout", f"no complete answer within {call.timeout_ms} ms")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, "api_error", f"the API could not be asked: {type(error).__name__}")
        if not 200 <= response.status < 300:
            return Answer(None, "api_error", f"the API answered {response.status}")
        try:
            return Answer(_decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Answer(None, "api_error", "the answer is no JSON object")


async def _captured(response: aiohttp.ClientResponse) -> bytes:
    """The body; too long a one is cut, and then is no JSON."""
    body = bytearray()
    while len(body) < _ANSWER_BYTES and (chunk := await response.content.read(_ANSWER_BYTES - len(body))):
        body += chunk
    return bytes(body)
