"""Operations: what the API can do, each declared once.

    @operation("GET", "/v2/{site}/sources/{id}", scope="sources:read", tag="Sources")
    def get_source(call: Call[Nothing, Nothing]) -> Single[Source]:
        '''One source. …'''

The types of the call (query, body) and of the answer are read from the annotations. Routes, authorization, checks,
the OpenAPI document, the page at `/docs` and the tests of the authorization matrix are made from this table.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec

from turnout.control.access.activity import Entry
from turnout.control.access.scopes import SCOPES
from turnout.control.access.token import Token
from turnout.control.api.documents import Nothing, Single
from turnout.control.api.problems import failure
from turnout.control.api.world import World

Method = Literal["GET", "POST", "PATCH", "DELETE"]
Q = TypeVar("Q")
B = TypeVar("B")


@dataclass(frozen=True, kw_only=True)
class Call(Generic[Q, B]):
    """One admitted request: its token opens `site` and has the operation's scope."""

    world: World
    token: Token
    site: str
    path: Mapping[str, str]
    query: Q
    body: B
    url: str
    """Path and query, for links."""
    address: str
    now_ms: int

    def require(self, scope: str) -> None:
        """Raise `ApiError` 403 if the token lacks a scope that only some calls need."""
        if scope not in self.token.scopes:
            raise missing_scope(scope)

    def record(self, feature: str, action: str, subject: str, **properties: object) -> None:
        """Write down a change, or a look at personal data, before it is done. No secrets in `properties`."""
        self.world.activity.add(
            Entry(
                at_ms=self.now_ms,
                site=self.site,
                token=self.token.id,
                address=self.address,
                feature=feature,
                action=action,
                subject=subject,
                properties=properties,
            )
        )


Run = Callable[[Call[Any, Any]], msgspec.Struct]
"""Any, because each takes a call of its own types; `Operation` knows which."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One line of the table. `scope` None: any valid token will do."""

    method: Method
    path: str
    scope: str | None
    tag: str
    name: str
    summary: str
    description: str
    query: type[msgspec.Struct]
    body: type[msgspec.Struct]
    answer: object
    status: int
    etag: bool
    run: Run

    @property
    def takes_body(self) -> bool:
        return self.body is not Nothing


def operation(
    method: Method, path: str, *, scope: str | None, tag: str, status: int = 200, etag: bool = False
) -> Callable[[Run], Operation]:
    """Declare an operation; see the module. `etag`: the answer may be asked for with `If-None-Match`."""
    assert scope is None or scope in SCOPES, scope
    assert path.startswith("/v2/"), path

    def declare(run: Run) -> Operation:
        hints = typing.get_type_hints(run, include_extras=True)
        query, body = typing.get_args(hints["call"])
        summary, _, description = inspect.cleandoc(run.__doc__ or "").partition("\n\n")
        assert summary, f"{run.__name__} has no docstring"
        assert not etag or typing.get_origin(hints["return"]) is Single
        return Operation(
            method=method,
            path=path,
            scope=scope,
            tag=tag,
            name=run.__name__,
            summary=" ".join(summary.split()),
            description=" ".join(description.split()),
            query=query,
            body=body,
            answer=hints["return"],
            status=status,
            etag=etag,
            run=run,
        )

    return declare


def missing_scope(scope: str) -> Exception:
    """The error for a token that lacks a scope."""
    return failure(403, "MISSING_SCOPE", f"the token lacks the scope {scope}", required=scope)
