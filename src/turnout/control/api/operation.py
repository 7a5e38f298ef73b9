"""Operations: what the API can do, each declared once.

    @operation("GET", "/v2/{site}/sources/{id}", scope="sources:read", tag="Sources")
    def get_source(call: Call[Nothing, Nothing]) -> Single[Source]:
        '''One source. …'''

The types of the call (query, body) and of the answer are read from the annotations. Routes, authorization, checks,
the OpenAPI document, the page at `/docs` and the tests of the authorization matrix are made from this table.

What follows from the declaration: a body whose members all have defaults may be left out. None is answered with 204.
With 201 and 202 `Location` is the resource's own link; a dry run (a query with `dry_run`) is answered with 200. A POST
takes an `Idempotency-Key`; what changes a path that has a GET with an ETag takes `If-Match`.
"""

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

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
    last_event_id: str = ""
    """Of the header of that name: where a stream of events goes on."""
    unchanged: Callable[[], None] | None = None
    """With `If-Match`: raises `ApiError` 412 if the resource is another now. Ask where nobody else can change it."""

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


AnyCall = Call[Any, Any]
"""For what serves operations of all types."""


class Feed(Protocol):
    """What an operation gives that goes on: server-sent events, asked for again and again."""

    def read(self) -> bytes | None:
        """What is new, empty if nothing is; None ends it. Quick, and bounded in size. May raise what operations do."""
        ...


Run = Callable[[AnyCall], msgspec.Struct | Feed | None]
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
    """A `Single`, a `Listing` or another document, `Feed` for a stream of events; None: never one."""
    may_be_empty: bool
    """Whether a document is given in some cases only: 204 in the others."""
    status: int
    etag: bool
    run: Run

    @property
    def document(self) -> object:
        """The answer if it is a document of JSON, else None."""
        return None if self.answer is Feed else self.answer

    @property
    def takes_body(self) -> bool:
        return self.body is not Nothing

    @property
    def needs_body(self) -> bool:
        return any(field.required for field in msgspec.structs.fields(self.body))

    @property
    def takes_dry_run(self) -> bool:
        return "dry_run" in self.query.__struct_fields__


def operation(
    method: Method, path: str, *, scope: str | None, tag: str, status: int = 200, etag: bool = False
) -> Callable[[Run], Operation]:
    """Declare an operation; see the module. `status`: 200, 201 or 202. `etag`: a GET's answer has one."""
    assert scope is None or scope in SCOPES, scope
    assert path.startswith("/v2/"), path
    assert not etag or method == "GET", path

    def declare(run: Run) -> Operation:
        hints = typing.get_type_hints(run, include_extras=True)
        query, body = typing.get_args(hints["call"])
        summary, _, description = inspect.cleandoc(run.__doc__ or "").partition("\n\n")
        assert summary, f"{run.__name__} has no docstring"
        members = typing.get_args(hints["return"]) if isinstance(hints["return"], types.UnionType) else ()
        documents = [one for one in members or (hints["return"],) if one is not type(None)]
        answer = documents[0] if documents else None
        assert not (etag or status in (201, 202)) or typing.get_origin(answer) is Single
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
            answer=answer,
            may_be_empty=len(documents) < len(members),
            status=204 if answer is None else status,
            etag=etag,
            run=run,
        )

    return declare


def twins(operations: Iterable[Operation]) -> dict[str, Operation]:
    """By path: the GET whose ETag `If-Match` on the same path means."""
    return {one.path: one for one in operations if one.etag}


def missing_scope(scope: str) -> Exception:
    """The error for a token that lacks a scope."""
    return failure(403, "MISSING_SCOPE", f"the token lacks the scope {scope}", required=scope)
