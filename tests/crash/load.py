"""Clients at full speed: each sends the next request when the last one is answered; a quarter are batches."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from tests.support.server import BACKEND

PADDING = "x" * 500
_RETRY_S = 0.02
BATCH = 20


class Load:
    """Sends to a collector until `stop`. Ids are "client-number"; each client counts up and never repeats one."""

    def __init__(
        self, port: int, connections: int = 24, mark: Callable[[], int] = lambda: 0, ahead: int | None = None
    ) -> None:
        """`mark` is asked at every 200: what it gave is kept with the events.

        With `ahead`, clients pause when so many events more than `acknowledge` waited for have got their 200.
        """
        self.acknowledged: dict[str, int] = {}
        """Every event that got a 200, and its mark."""
        self.requests: list[list[str]] = []
        """The ids of every request that was sent, answered or not."""
        self.answers: Counter[int] = Counter()
        """Answers by status."""
        self.without_retry_after = 0
        """Answers 503 that did not say when to come again."""
        self._port, self._connections, self._mark = port, connections, mark
        self._dice = random.Random()
        self._stop = False
        self._goal, self._ahead = 0, ahead
        self._wanted = asyncio.Event()
        if ahead is None:
            self._wanted.set()
        self._reached = asyncio.Event()

    async def run(self) -> None:
        """Send until `stop`."""
        await asyncio.gather(*(self._client(number) for number in range(self._connections)))

    def stop(self) -> None:
        self._stop = True
        self._wanted.set()

    async def acknowledge(self, events: int) -> None:
        """Wait until so many more events got a 200."""
        self._goal = len(self.acknowledged) + events
        self._reached.clear()
        self._wanted.set()
        await asyncio.wait_for(self._reached.wait(), 120)

    async def _client(self, client: int) -> None:
        number = 0
        while not self._stop:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(_RETRY_S)
                continue
            try:
                while not self._stop:
                    await self._wanted.wait()
                    count = self._dice.randint(2, BATCH) if self._dice.random() < 0.25 else 0
                    ids = [f"{client}-{number + i}" for i in range(count or 1)]
                    number += len(ids)
                    self.requests.append(ids)
                    writer.write(_request(ids, batch=count > 0))
                    if not self._note(ids, await _answer(reader)):
                        await asyncio.sleep(_RETRY_S)
            except (OSError, asyncio.IncompleteReadError):
                continue
            finally:
                writer.close()

    def _note(self, ids: list[str], answer: bytes) -> bool:
        """Keep what the answer says; whether it is a 200."""
        status = int(answer[9:12])
        self.answers[status] += 1
        if status == 200:
            self.acknowledged.update(dict.fromkeys(ids, self._mark()))
            if len(self.acknowledged) >= self._goal:
                self._reached.set()
            if self._ahead is not None and len(self.acknowledged) >= self._goal + self._ahead:
                self._wanted.clear()
        else:
            self.without_retry_after += b"\r\nRetry-After: " not in answer
        return status == 200


def _request(ids: list[str], *, batch: bool) -> bytes:
    events = [
        f'{{"event_name":"crash","context":{{"event_id":"{one}"}},"user":{{"id":"u"}},"padding":"{PADDING}"}}'
        for one in ids
    ]
    body = f'{{"batch":[{",".join(events)}]}}' if batch else events[0]
    path = "/events/batch" if batch else "/events"
    return (
        f"POST {path}?tc_s=29&token={BACKEND} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The head of the next answer; its body is read away."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return head
