"""From a request to its answer: log in, check the site and the scope, read, run, write. In threads, without sockets.

What must stay true: nothing of a request is looked at before its token is; a foreign site and one that does not
exist get the same answer; an operation runs only with its scope. Between the check of `If-Match` and the change
nobody else changes anything through here; what others may change too, the configuration, is checked again by `writing`
when it is locked.
"""

import dataclasses
import hashlib
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec
import structlog

from turnout.control.access.door import Door
from turnout.control.access.gate import Gate, LoginRefusedError, Visit
from turnout.control.access.logins import Logins
from turnout.control.access.sessions import COOKIE, CSRF_HEADER, Sessions
from turnout.control.access.token import Token
from turnout.control.api.checking import read_body, read_query
from turnout.control.api.documents import LARGEST_ID, Nothing, Single
from turnout.control.api.operation import AnyCall, Call, Feed, Operation, missing_scope, twins
from turnout.control.api.problems import ApiError, Fault, failure, not_found, problem
from turnout.control.api.repeats import Answer, Claim, Repeats
from turnout.control.api.world import World
from turnout.model.errors import ControlUnavailableError, LogUnavailableError, ReceiptsUnavailableError

_STREAMED = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
"""Proxies are not to wait for more."""
JSON, JSON_API, PROBLEM = "application/json", "application/vnd.api+json", "application/problem+json"
_UNAVAILABLE = (ControlUnavailableError, LogUnavailableError, ReceiptsUnavailableError, sqlite3.Error, OSError)


log = structlog.get_logger("api")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the shell read it. `headers` have lower-case names; `params` are those of the path."""

    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    address: str
    id: str


A = TypeVar("A")


class Stream(NamedTuple):
    """An answer that goes on, with status 200."""

    headers: Mapping[str, str]
    feed: Feed


class Api:
    """Answers for every operation of a table. Safe in threads. Through `door` people log in and out."""

    def __init__(self, world: World, operations: Sequence[Operation]) -> None:
        self._world = world
        logins = Logins()
        self._gate = Gate(world.tokens, Sessions(world.database), logins)
        self.door = Door(world.database, logins)
        self._repeats = Repeats(world.database)
        self._twins = twins(operations)
        self._changing = threading.Lock()

    def answer(self, operation: Operation, request: Request) -> Answer:
        """The answer of an operation that gives a document or nothing. Never raises."""
        return self._guarded(operation, request, self._answer)

    def stream(self, operation: Operation, request: Request) -> Stream | Answer:
        """The answer of an operation that gives a `Feed`, or why there is none. Never raises."""
        return self._guarded(operation, request, self._stream)

    def _guarded(self, operation: Operation, request: Request, do: Callable[[Operation, Request], A]) -> A | Answer:
        try:
            return do(operation, request)
        except ApiError as error:
            return refusal(error, request)
        except _UNAVAILABLE as error:
            log.warning("request not answered", operation=operation.name, error=str(error), request_id=request.id)
            detail = "the data can't be read or written at the moment; the server's log tells why"
            return refusal(ApiError(503, [Fault("SERVICE_UNAVAILABLE", detail)], {"Retry-After": "5"}), request)
        except Exception:
            log.exception("request failed", operation=operation.name, request_id=request.id)
            return refusal(failure(500, "SERVER_ERROR", "this should not happen; the server's log tells more"), request)

    def _stream(self, operation: Operation, request: Request) -> Stream:
        feed = operation.run(self._call(operation, request))
        return Stream({**_headers(request), **_STREAMED}, cast("Feed", feed))

    def _call(self, operation: Operation, request: Request) -> AnyCall:
        """The call that a request is, admitted and read."""
        now_ms = self._world.clock()
        token = self._admitted(operation, request, now_ms)
        if operation.takes_body and (request.body or operation.needs_body):
            _check_media_type(request.headers)
        pairs = parse_qsl(request.url.partition("?")[2], keep_blank_values=True)
        return Call(
            world=self._world,
            token=token,
            site=request.params.get("site", ""),
            path=request.params,
            query=read_query(pairs, operation.query),
            body=read_body(request.body, operation.body) if operation.takes_body else Nothing(),
            url=request.url,
            address=request.address,
            now_ms=now_ms,
            last_event_id=request.headers.get("last-event-id", ""),
        )

    def _answer(self, operation: Operation, request: Request) -> Answer:
        call = self._call(operation, request)
        if operation.method == "GET":
            return _unless_known(operation, _success(operation, call, request), request)
        if operation.method == "POST" and "idempotency-key" in request.headers:
            return self._once(operation, call, request)
        return self._changed(operation, call, request)

    def _admitted(self, operation: Operation, request: Request, now_ms: int) -> Token:
        """The token of a request that may be run."""
        secret = _session(request)
        csrf = request.headers.get(CSRF_HEADER, "")
        visit = Visit(secret, csrf, changes=operation.method != "GET") if secret is not None else None
        try:
            token = self._gate.admit(request.headers.get("authorization"), request.address, now_ms, visit)
        except LoginRefusedError as error:
            raise _login_problem(error) from error
        site = request.params.get("site")
        if site is not None and not token.opens(site):
            raise failure(403, "SITE_ACCESS_FORBIDDEN", "the token is not for this site")
        if operation.scope is not None and operation.scope not in token.scopes:
            raise missing_scope(operation.scope)
        if site is not None and site not in self._world.snapshot().sites:
            raise not_found("the configuration has no such site")
        if not 0 <= int(request.params.get("id", 0)) <= LARGEST_ID:
            raise not_found()
        return token

    def _once(self, operation: Operation, call: AnyCall, request: Request) -> Answer:
        """The answer of a request with an `Idempotency-Key`: as it was, or by running it."""
        told = b"\n".join((operation.method.encode(), request.url.encode(), request.body))
        begun = self._repeats.begin(request.headers["idempotency-key"], _credential(request), told, call.now_ms)
        if isinstance(begun, Answer):
            return msgspec.structs.replace(begun, headers={**begun.headers, **_headers(request)})
        answer = None
        try:
            answer = self._changed(operation, call, request)
        finally:
            self._keep(begun, answer)
        return answer

    def _keep(self, claim: Claim, answer: Answer | None) -> None:
        try:
            self._repeats.end(claim, answer)
        except _UNAVAILABLE as error:
            # It is done: to say otherwise would be wrong. Who asks again is told that it was interrupted.
            log.warning("answer not kept for its Idempotency-Key", error=str(error))

    def _changed(self, operation: Operation, call: AnyCall, request: Request) -> Answer:
        """The answer of an operation that changes something."""
        twin = self._twins.get(operation.path) if operation.method != "POST" else None
        if twin is None:
            if "if-match" in request.headers:
                raise failure(400, "INVALID_PARAMETER", "If-Match can't be kept here: use the path of the resource")
            return _success(operation, call, request)
        with self._changing:
            wanted = request.headers.get("if-match")
            if wanted is not None:

                def unchanged() -> None:
                    if not _names(wanted, self._etag_of(twin, call, request)):
                        raise failure(412, "ETAG_MISMATCH", "it was changed since you read it: read it again")

                unchanged()
                call = dataclasses.replace(call, unchanged=unchanged)
            answer = _success(operation, call, request)
            if operation.method == "PATCH":
                answer.headers["ETag"] = self._etag_of(twin, call, request)
            return answer

    def _etag_of(self, twin: Operation, call: AnyCall, request: Request) -> str:
        return _etag(_success(twin, _plain(twin, call), request).body)


def refusal(error: ApiError, request: Request) -> Answer:
    """The answer for an error."""
    body = problem(error, request.url.partition("?")[0], request.id)
    headers = {**_headers(request), **error.headers, "Content-Type": PROBLEM}
    return Answer(status=error.status, headers=headers, body=msgspec.json.encode(body))


def _success(operation: Operation, call: AnyCall, request: Request) -> Answer:
    """Run it. Raises `ApiError`."""
    document = operation.run(call)
    headers = _headers(request)
    if document is None:
        return Answer(status=204, headers=headers)
    headers["Content-Type"] = JSON_API if JSON_API in request.headers.get("accept", "") else JSON
    dry = operation.takes_dry_run and bool(getattr(call.query, "dry_run", False))
    if isinstance(document, Single) and operation.status in (201, 202) and not dry:
        links = document.data.links
        assert links is not msgspec.UNSET, f"{operation.name} made something without a link to it"
        headers["Location"] = links["self"]
    return Answer(status=200 if dry else operation.status, headers=headers, body=msgspec.json.encode(document))


def _unless_known(operation: Operation, answer: Answer, request: Request) -> Answer:
    """The answer with its ETag, or 304 if the asker has it already."""
    if not operation.etag:
        return answer
    etag = answer.headers["ETag"] = _etag(answer.body)
    known = request.headers.get("if-none-match")
    if known is None or not _names(known, etag):
        return answer
    return Answer(status=304, headers={name: value for name, value in answer.headers.items() if name != "Content-Type"})


def _plain(twin: Operation, call: AnyCall) -> AnyCall:
    """The call that reads what another one changes, without parameters."""
    return dataclasses.replace(call, query=twin.query(), body=Nothing(), url=call.url.partition("?")[0])


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _names(header: str, etag: str) -> bool:
    """Whether a list of ETags has this one; `*` is any."""
    return bool({tag.strip().removeprefix("W/") for tag in header.split(",")} & {etag, "*"})


def _headers(request: Request) -> dict[str, str]:
    return {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Request-Id": request.id}


def _session(request: Request) -> str | None:
    """The secret of the session that a browser sends with a request."""
    pairs = (pair.strip().partition("=") for pair in request.headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), None)


def _credential(request: Request) -> str:
    """What only the asker of an admitted request has."""
    return request.headers.get("authorization", "").strip() or _session(request) or ""


def _login_problem(error: LoginRefusedError) -> ApiError:
    fault = Fault(error.code, str(error))
    if error.code == "CSRF_TOKEN_MISMATCH":
        return ApiError(403, [fault])
    if error.wait_ms:
        return ApiError(429, [fault], {"Retry-After": str(-(-error.wait_ms // 1000))})
    return ApiError(401, [fault], {"WWW-Authenticate": "Bearer"})


def _check_media_type(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, JSON_API):
        raise failure(415, "UNSUPPORTED_HEADER", f"Content-Type must be {JSON} or {JSON_API}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise failure(415, "UNSUPPORTED_HEADER", "Content-Encoding is not supported here")
