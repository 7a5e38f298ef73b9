"""Pages, each declared once: what a path shows, and what its forms do.

    @page("GET", "/ui/{site}/sources")
    def list_sources(visit: Visit) -> View:
        found = visit.ask(sources.list_sources, Listing[SourceAttributes])
        return View("sources/list.html", sources=found.data)

A page never touches the configuration, the log or the receipts: it asks operations of the API as the person who is
logged in, and shows what it gets. What a page does not catch of `Refused` the shell shows: a login, or an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from turnout.control.access.sessions import COOKIE, CSRF_HEADER
from turnout.control.api.answer import Api, Request
from turnout.control.api.me import Me
from turnout.control.api.operation import Operation
from turnout.control.api.problems import KINDS, Problem, failure, problem
from turnout.control.ui.words import Words
from turnout.model.errors import TurnoutError

T = TypeVar("T")
Query = Mapping[str, str | int | bool | Sequence[str] | None]


class Refused(TurnoutError):
    """An operation said no. `faults` tell what is wrong."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem, self.status, self.faults = problem, problem.status, problem.errors

    @classmethod
    def because(cls, status: int, detail: str) -> "Refused":
        """One that no operation gave."""
        code = KINDS[status].codes[0]
        return cls(problem(failure(status, code, detail), "", ""))


class View:
    """A template and what it shows."""

    def __init__(self, template: str, status: int = 200, **data: object) -> None:
        self.template, self.status, self.data = template, status, data


@dataclass(frozen=True)
class Redirect:
    """Go on elsewhere, and show `notice` there once. `cookies` are set on the way; an empty one is removed."""

    to: str
    notice: str = ""
    cookies: Mapping[str, str] = field(default_factory=dict)


Shown = View | Redirect


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request for a page. `me` is None for who is not logged in, on pages that are open to everybody."""

    api: Api
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    """Fields by their names; of several with one name the last."""
    url: str
    session: str
    """The secret of the session, or nothing."""
    csrf: str
    """What the form brought along."""
    address: str
    id: str
    words: Words
    me: Me | None = None

    @property
    def site(self) -> str:
        """The site that the page is of; empty if it is of none."""
        return self.path.get("site", "")

    def may(self, scope: str) -> bool:
        """Whether who looks at the page has this scope."""
        return self.me is not None and scope in self.me.scopes

    def ask(
        self, operation: Operation, kind: type[T], query: Query | None = None, body: object = None, **path: str | int
    ) -> T:
        """What an operation answers, read as `kind`. `path` has what its path needs beside the site.

        Raises `Refused`.
        """
        return msgspec.json.decode(self._asked(operation, query, body, path), type=kind)

    def do(self, operation: Operation, query: Query | None = None, body: object = None, **path: str | int) -> None:
        """The same where the answer does not matter. Raises `Refused`."""
        self._asked(operation, query, body, path)

    def _asked(self, operation: Operation, query: Query | None, body: object, path: Mapping[str, str | int]) -> bytes:
        params = {"site": self.site, **{name: str(value) for name, value in path.items()}}
        url = operation.path.format_map({name: quote(value, safe="") for name, value in params.items()})
        given = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        headers = {"cookie": f"{COOKIE}={self.session}", CSRF_HEADER: self.csrf, "content-type": "application/json"}
        request = Request(
            url=f"{url}?{urlencode(given, doseq=True)}" if given else url,
            params=params if "{site}" in operation.path else {n: v for n, v in params.items() if n != "site"},
            headers=headers,
            body=b"" if body is None else msgspec.json.encode(body),
            address=self.address,
            id=self.id,
        )
        answer = self.api.answer(operation, request)
        if answer.status >= 400:
            raise Refused(msgspec.json.decode(answer.body, type=Problem))
        return answer.body


def _text(value: str | int | bool | Sequence[str] | None) -> str | Sequence[str]:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else value or ""


Show = Callable[[Visit], Shown]


@dataclass(frozen=True)
class Page:
    """One line of the table. `is_open`: for everybody, logged in or not."""

    method: Literal["GET", "POST"]
    path: str
    is_open: bool
    show: Show


def page(method: Literal["GET", "POST"], path: str, *, is_open: bool = False) -> Callable[[Show], Page]:
    """Declare a page; see the module."""
    assert path.startswith("/ui"), path
    return lambda show: Page(method, path, is_open, show)
