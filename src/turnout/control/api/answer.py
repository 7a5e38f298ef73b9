"""From a request to its answer: log in, check the site and the scope, read, run, write. In threads, without sockets.

What must stay true: nothing of a request is looked at before its token is; a foreign site and one that does not
exist get the same answer; an operation runs only with its scope.
"""

import hashlib
import sqlite3
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
import structlog

from turnout.control.access.gate import Gate, LoginRefusedError
from turnout.control.access.logins import Logins
from turnout.control.api.checking import read_body, read_query
from turnout.control.api.documents import Nothing
from turnout.control.api.operation import Call, Operation, missing_scope
from turnout.control.api.problems import ApiError, Fault, failure, not_found, problem
from turnout.control.api.world import World
from turnout.model.errors import ControlUnavailableError, LogUnavailableError, ReceiptsUnavailableError

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


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


class Api:
    """Answers for every operation of the table. Safe in threads."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._gate = Gate(world.tokens, Logins())

    def answer(self, operation: Operation, request: Request) -> Answer:
        """Never raises."""
        try:
            return self._answer(operation, request)
        except ApiError as error:
            return refusal(error, request)
        except _UNAVAILABLE as error:
            log.warning("request not answered", operation=operation.name, error=str(error), request_id=request.id)
            detail = "the data can't be read or written at the moment; the server's log tells why"
            return refusal(ApiError(503, [Fault("SERVICE_UNAVAILABLE", detail)], {"Retry-After": "5"}), request)
        except Exception:
            log.exception("request failed", operation=operation.name, request_id=request.id)
            return refusal(failure(500, "SERVER_ERROR", "this should not happen; the server's log tells more"), request)

    def _answer(self, operation: Operation, request: Request) -> Answer:
        now_ms = self._world.clock()
        try:
            token = self._gate.admit(request.headers.get("authorization"), request.address, now_ms)
        except LoginRefusedError as error:
            raise _login_problem(error) from error
        site = request.params.get("site", "")
        if "site" in request.params and not token.opens(site):
            raise failure(403, "SITE_ACCESS_FORBIDDEN", "the token is not for this site")
        if operation.scope is not None and operation.scope not in token.scopes:
            raise missing_scope(operation.scope)
        if "site" in request.params and site not in self._world.snapshot().sites:
            raise not_found("the configuration has no such site")
        if operation.takes_body:
            _check_media_type(request.headers)
        pairs = parse_qsl(request.url.partition("?")[2], keep_blank_values=True)
        call: Call[msgspec.Struct, msgspec.Struct] = Call(
            world=self._world,
            token=token,
            site=site,
            path=request.params,
            query=read_query(pairs, operation.query),
            body=read_body(request.body, operation.body) if operation.takes_body else Nothing(),
            url=request.url,
            address=request.address,
            now_ms=now_ms,
        )
        return _success(operation, msgspec.json.encode(operation.run(call)), request)


def refusal(error: ApiError, request: Request) -> Answer:
    """The answer for an error."""
    body = problem(error, request.url.partition("?")[0], request.id)
    headers = {**_headers(request), **error.headers, "Content-Type": PROBLEM}
    return Answer(status=error.status, headers=headers, body=msgspec.json.encode(body))


def _success(operation: Operation, body: bytes, request: Request) -> Answer:
    wanted = request.headers.get("accept", "")
    headers = {**_headers(request), "Content-Type": JSON_API if JSON_API in wanted else JSON}
    if operation.etag:
        headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if known & {headers["ETag"], "*"}:
            return Answer(status=304, headers=headers)
    return Answer(status=operation.status, headers=headers, body=body)


def _headers(request: Request) -> dict[str, str]:
    return {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Request-Id": request.id}


def _login_problem(error: LoginRefusedError) -> ApiError:
    fault = Fault(error.code, str(error))
    if error.wait_ms:
        return ApiError(429, [fault], {"Retry-After": str(-(-error.wait_ms // 1000))})
    return ApiError(401, [fault], {"WWW-Authenticate": "Bearer"})


def _check_media_type(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, JSON_API):
        raise failure(415, "UNSUPPORTED_HEADER", f"Content-Type must be {JSON} or {JSON_API}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise failure(415, "UNSUPPORTED_HEADER", "Content-Encoding is not supported here")
