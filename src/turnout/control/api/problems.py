"""What goes wrong, as RFC 9457 problems that old clients can read too (`config-api.md` B10)."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from turnout.model.errors import TurnoutError


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a fault is: in the body, or in the query."""

    pointer: Annotated[str, Meta(description="JSON pointer into the body.")] = ""
    parameter: Annotated[str, Meta(description="Name of the query parameter.")] = ""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong: `code` is stable and for programs, `detail` is for a person."""

    code: str
    detail: str
    source: Place | UnsetType = UNSET
    meta: Mapping[str, object] | UnsetType = UNSET


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer from 400 on. `errors` holds everything that is wrong, not only the first."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: tuple[Fault, ...]
    description: Annotated[str, Meta(description="Only with 429: `detail` under its older name.")] | UnsetType = UNSET


class Kind(msgspec.Struct, frozen=True):
    """A kind of problem; `type` in the body leads to its place in `/docs`."""

    slug: str
    title: str
    codes: tuple[str, ...]


KINDS: Mapping[int, Kind] = {
    400: Kind(
        "bad-request",
        "The request is not valid",
        ("INVALID_JSON", "INVALID_PARAMETER", "PROPERTY_NOT_SEARCHABLE", "PERIOD_TOO_LONG"),
    ),
    401: Kind(
        "unauthenticated",
        "There is no valid token",
        (
            "MISSING_AUTHORIZATION_HEADER",
            "UNKNOWN_TOKEN_TYPE",
            "INVALID_TOKEN_TYPE",
            "UNKNOWN_TOKEN",
            "EXPIRED_TOKEN",
            "REVOKED_TOKEN",
            "UNKNOWN_SESSION",
        ),
    ),
    403: Kind(
        "forbidden",
        "The token does not allow this",
        ("SITE_ACCESS_FORBIDDEN", "MISSING_SCOPE", "CSRF_TOKEN_MISMATCH"),
    ),
    404: Kind("not-found", "There is nothing here", ("NOT_FOUND",)),
    405: Kind("method-not-allowed", "This can't be done here", ("METHOD_NOT_ALLOWED",)),
    409: Kind(
        "conflict", "This does not go together with what there is", ("CONFLICT", "ALREADY_EXISTS", "REPLAY_RUNNING")
    ),
    410: Kind("gone", "It is not there any more", ("PAYLOAD_EXPIRED",)),
    412: Kind("precondition-failed", "It was changed in the meantime", ("ETAG_MISMATCH",)),
    413: Kind("too-large", "The body is too large", ("PAYLOAD_TOO_LARGE",)),
    415: Kind("unsupported-media-type", "The body is not JSON", ("UNSUPPORTED_HEADER",)),
    422: Kind(
        "validation-failed",
        "The request body is not valid",
        ("MISSING_REQUIRED_PROPERTY", "INVALID_PROPERTY_TYPE", "INVALID_PROPERTY_FORMAT", "UNKNOWN_ATTRIBUTE"),
    ),
    429: Kind("rate-limited", "Too many requests", ("REQUEST_LIMIT_REACHED", "CONNECTION_LIMIT_REACHED")),
    500: Kind("internal", "The server made a mistake", ("SERVER_ERROR",)),
    503: Kind("unavailable", "The server can't do this now", ("SERVICE_UNAVAILABLE",)),
}


class ApiError(TurnoutError):
    """Ends an operation with a problem. `status` is one of `KINDS`."""

    def __init__(self, status: int, faults: Sequence[Fault], headers: Mapping[str, str] | None = None) -> None:
        super().__init__("; ".join(fault.detail for fault in faults))
        self.status, self.faults, self.headers = status, tuple(faults), dict(headers or {})


def failure(status: int, code: str, detail: str, **meta: object) -> ApiError:
    """An error with one fault, which is in no particular place."""
    return ApiError(status, [Fault(code, detail, meta=meta or UNSET)])


def not_found(detail: str = "there is nothing with this id") -> ApiError:
    """The answer for what is not there, or is not for this caller to know of."""
    return failure(404, "NOT_FOUND", detail)


def problem(error: ApiError, instance: str, request_id: str) -> Problem:
    """The body for an error."""
    kind = KINDS[error.status]
    faults = error.faults
    detail = faults[0].detail if len(faults) == 1 else f"{len(faults)} problems were found"
    return Problem(
        type=f"/docs#problems/{kind.slug}",
        title=kind.title,
        status=error.status,
        detail=detail,
        instance=instance,
        request_id=request_id,
        errors=faults,
        description=detail if error.status == 429 else UNSET,
    )
