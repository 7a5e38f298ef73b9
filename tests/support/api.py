"""A client of the API for tests: JSON in, JSON out, from any loopback address."""

import http.client
import json
import re
from typing import NamedTuple

from tests.support.server import Server
from turnout.control.access.desk import opened
from turnout.control.access.scopes import Role
from turnout.control.api.operation import Operation
from turnout.model.clock import now_ms


class Reply(NamedTuple):
    """An answer; `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def codes(self) -> list[str]:
        """The codes of all errors."""
        return [str(error["code"]) for error in items(self.json["errors"])]


def items(value: object) -> list[dict[str, object]]:
    """A list of objects."""
    assert isinstance(value, list)
    return value


def at(value: object, *path: str | int) -> object:
    """What is at a path in a document."""
    for step in path:
        if isinstance(step, int):
            assert isinstance(value, list)
            value = value[step]
        else:
            assert isinstance(value, dict)
            value = value[step]
    return value


def call(
    server: Server,
    method: str,
    path: str,
    token: str | None = None,
    body: object = None,
    headers: dict[str, str] | None = None,
    address: str = "127.0.0.1",
) -> Reply:
    """One request; a body that isn't bytes is sent as JSON."""
    sent = {"Authorization": f"Bearer {token}"} if token is not None else {}
    if body is not None:
        sent["Content-Type"] = "application/json"
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.control_port, timeout=60, source_address=(address, 0))
    try:
        connection.request(method, path, data, sent | (headers or {}))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        # Of an answer that goes on, only how it begins.
        goes_on = names.get("content-type", "").startswith("text/event-stream")
        return Reply(response.status, names, b"" if goes_on else response.read())
    finally:
        connection.close()


def token_for(
    server: Server,
    role: Role,
    *sites: str,
    scopes: tuple[str, ...] = (),
    expires_ms: int | None = None,
    revoked: bool = False,
) -> str:
    """The text of a new token, made beside the running server as the command makes it."""
    with opened(server.data, "cli") as desk:
        token, credential = desk.issue(
            name="test", role=role, scopes=scopes, sites=sites, expires_ms=expires_ms, now_ms=now_ms()
        )
        if revoked:
            desk.revoke(token.id, now_ms())
    return credential.text


def path_of(operation: Operation, site: str, **parameters: str) -> str:
    """The operation's path with its parameters filled in."""
    names = re.findall(r"\{(\w+)\}", operation.path)
    known = {"site": site, "id": "1", "version": "1", "event_id": "e-1"}
    return operation.path.format(**{name: parameters.get(name, known.get(name, f"{name}-1")) for name in names})
