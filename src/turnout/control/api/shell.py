"""The API on Litestar: routes from the table, bodies and their limits, work in threads of its own."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import structlog
from litestar import MediaType, Response, get, route
from litestar import Request as HttpRequest
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream as Streaming

from turnout.control.access import ids
from turnout.control.api import docs, openapi
from turnout.control.api.answer import Api, Request, Stream, refusal
from turnout.control.api.operation import Feed, Operation
from turnout.control.api.problems import ApiError, Fault, failure
from turnout.control.api.repeats import Answer
from turnout.model.clock import now_ms

BODY_BYTES = 1 << 20
_BODY_S = 30.0
_THREADS = 8
_WAITING = 64
"""Requests at work or waiting for a thread; more are turned away, so that a flood costs no memory."""
_KINDS = {"id": "int", "version": "int", "event_id": "path"}
"""What the router takes for a parameter of a path, if it is not a text without slashes; the rest is not found."""
_STREAMS = 32
"""Answers that go on, at the same time."""
_POLL_S, _SILENT_S = 0.25, 15.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger("api")

Http = HttpRequest[Any, Any, State]
"""Any: Litestar's user and login, which are not used."""


def handlers(api: Api, operations: Sequence[Operation], stop: asyncio.Event) -> list[HTTPRouteHandler]:
    """Litestar's handlers for all operations, the OpenAPI document and its page. `stop` ends answers that go on."""
    work = _Work(api, stop)
    described = openapi.render(operations)
    page = docs.render(openapi.document(operations))

    @get("/openapi.json", sync_to_thread=False)
    def openapi_json() -> Response[bytes]:
        return Response(described, media_type=MediaType.JSON)

    @get("/docs", sync_to_thread=False)
    def docs_page() -> Response[bytes]:
        return Response(page.body, media_type=MediaType.HTML, headers=page.headers)

    return [openapi_json, docs_page, *(_handler(work, one) for one in operations)]


def unrouted(request: Http, error: HTTPException) -> Response[bytes]:
    """The answer where the router finds nothing, or the body is too large."""
    known = {
        404: failure(404, "NOT_FOUND", "there is nothing at this path; /docs lists what there is"),
        405: ApiError(
            405,
            [Fault("METHOD_NOT_ALLOWED", f"{request.method} is not allowed here")],
            {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"},
        ),
        413: failure(413, "PAYLOAD_TOO_LARGE", f"a body has at most {BODY_BYTES} bytes"),
    }
    fallback = failure(400, "INVALID_PARAMETER", "the request can't be read")
    return _response(refusal(known.get(error.status_code, fallback), _read(request, b"")))


class _Work:
    """The threads in which operations run: not those of `/ready`, which must answer when these are busy."""

    def __init__(self, api: Api, stop: asyncio.Event) -> None:
        self._api, self._stop = api, stop
        self._threads = ThreadPoolExecutor(_THREADS, "api")
        self._under_way = self._streams = 0

    async def do(self, operation: Operation, http: Http) -> Answer | Stream:
        if self._under_way >= _WAITING or (operation.answer is Feed and self._streams >= _STREAMS):
            busy = Fault("CONNECTION_LIMIT_REACHED", "too many requests at the same time")
            return refusal(ApiError(429, [busy], {"Retry-After": "1"}), _read(http, b""))
        self._under_way += 1
        try:
            async with asyncio.timeout(_BODY_S):
                body = await http.body() if operation.takes_body else b""
            request = _read(http, body)
            answer = self._api.stream if operation.answer is Feed else self._api.answer
            return await asyncio.get_running_loop().run_in_executor(self._threads, answer, operation, request)
        except TimeoutError:
            return refusal(failure(400, "INVALID_JSON", "the body did not arrive in time"), _read(http, b""))
        finally:
            self._under_way -= 1

    async def events(self, feed: Feed) -> AsyncIterator[bytes]:
        """What a feed gives, as fast as it is taken, until it ends or we do. A silent one says so now and then."""
        self._streams += 1
        silent_s = 0.0
        try:
            while not self._stop.is_set():
                try:
                    chunk = await asyncio.get_running_loop().run_in_executor(self._threads, feed.read)
                except Exception as error:  # noqa: BLE001  (who listens comes again, and goes on where this ended)
                    log.warning("stream of events ended", error=str(error))
                    return
                if chunk is None:
                    return
                if chunk or silent_s >= _SILENT_S:
                    silent_s = 0.0
                    yield chunk or b":\n\n"
                    continue
                silent_s += _POLL_S
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _POLL_S)
        finally:
            self._streams -= 1


def routed(path: str) -> str:
    """A path as Litestar has it, with the kinds of its parameters."""
    return re.sub(r"\{(\w+)\}", lambda found: f"{{{found[1]}:{_KINDS.get(found[1], 'str')}}}", path)


def _handler(work: _Work, operation: Operation) -> HTTPRouteHandler:
    # The status is in each answer; the router's own for DELETE would allow no body.
    @route(routed(operation.path), http_method=[operation.method], name=operation.name, status_code=200)
    async def handle(request: Http) -> Response[Any]:
        answer = await work.do(operation, request)
        if isinstance(answer, Answer):
            return _response(answer)
        headers = {name: value for name, value in answer.headers.items() if name != "Content-Type"}
        return Streaming(work.events(answer.feed), headers=headers, media_type=answer.headers["Content-Type"])

    return handle


def _read(http: Http, body: bytes) -> Request:
    raw = http.scope["raw_path"].decode("ascii", "replace")
    query = http.scope["query_string"].decode("ascii", "replace")
    params = {name: str(value) for name, value in http.path_params.items()}
    if "event_id" in params:
        # As it was sent: the router would take a slash in an id, `%2F`, for two parts of the path.
        params["event_id"] = unquote(raw.split("/inspector/events/", 1)[-1])
    given = http.headers.get("x-request-id", "")
    return Request(
        url=f"{raw}?{query}" if query else raw,
        params=params,
        headers={name.lower(): value for name, value in http.headers.items()},
        body=body,
        address=http.client.host if http.client else "",
        id=given if _REQUEST_ID.fullmatch(given) else ids.fresh("req_", now_ms()),
    )


def _response(answer: Answer) -> Response[bytes]:
    kind = answer.headers.get("Content-Type", "")
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Type"}
    return Response(answer.body, status_code=answer.status, headers=headers, media_type=kind)
