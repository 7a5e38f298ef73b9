"""A client that asks as browsers and proxies do, and a look at the records that a request left."""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.support.server import Server
from turnout.app import open_log
from turnout.log.interface import Log
from turnout.model.event import ACCEPTED, Received, decode_received
from turnout.settings import Settings


class Reply(NamedTuple):
    """An answer, its headers by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    port: int,
    target: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | object | None = None,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """One request; a body that isn't bytes is sent as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} if data is not None else {}
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=tls)
        if tls is not None
        else http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    )
    try:
        connection.request(method, target, data, {**sent, **(headers or {})})
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


class Records:
    """What a server accepted or refused."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def of(self, act: Callable[[], Reply]) -> tuple[Reply, list[Received]]:
        """A request's answer and the records it left."""
        start = self.log.end(ACCEPTED)
        return act(), self.since(start)

    def since(self, start: int) -> list[Received]:
        """All from that offset on."""
        visitor = self.log.subscribe(ACCEPTED, None, start)
        found: list[Received] = []
        while batches := visitor.fetch(1000):
            found += [decode_received(record) for batch in batches for record in batch.records]
        visitor.close()
        return found


@contextmanager
def records_of(server: Server) -> Iterator[Records]:
    """The records of a running server."""
    log = open_log(Settings(data=str(server.data)))
    try:
        yield Records(log)
    finally:
        log.close()


def payload(record: Received) -> dict[str, object]:
    """The event in a record."""
    found: dict[str, object] = json.loads(record.payload)
    return found
