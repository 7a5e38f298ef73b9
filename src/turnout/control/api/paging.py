"""Pages (`config-api.md` B5): numbered ones of what is configured, cursors through what happened."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import UNSET, Meta

from turnout.control.api.documents import Listing, ListMeta, Pagination, Resource
from turnout.control.api.problems import ApiError, Fault, Place

A = TypeVar("A")
T = TypeVar("T")

LARGEST = 200
WHOLE = 500
_PER_NUMBERED, _PER_CURSOR = 10, 50

When = Annotated[datetime, Meta(tz=True, examples=["2026-03-01T00:00:00Z"])]
"""A moment in a query or body, with its zone."""
Size = Annotated[int, Meta(ge=1, le=LARGEST, description="How many at most.", examples=[20])]


class Numbered(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a numbered list. Without any, the whole list is given (500 at most)."""

    page_number: Annotated[int, Meta(ge=1, description="Which page, from 1.", examples=[1])] | None = msgspec.field(
        default=None, name="page[number]"
    )
    page_size: Size | None = msgspec.field(default=None, name="page[size]")
    sort: (
        Annotated[
            str,
            Meta(
                pattern="^-?[a-z_]{1,32}$", description="An attribute, or `id`; `-` before it turns the order around."
            ),
        ]
        | None
    ) = None
    sort_by: Annotated[str, Meta(pattern="^[a-z_]{1,32}$", description="The same as `sort`, without `-`.")] | None = (
        msgspec.field(default=None, name="sort[by]")
    )
    sort_desc: Annotated[bool, Meta(description="With `sort[by]`: turn the order around.")] = msgspec.field(
        default=False, name="sort[desc]"
    )


class Cursored(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a list of what happened, newest first. Follow `links.next` to go on."""

    page_size: Size = msgspec.field(default=_PER_CURSOR, name="page[size]")
    page_after: Annotated[str, Meta(max_length=64, description="What is older than this cursor.")] | None = (
        msgspec.field(default=None, name="page[after]")
    )
    page_before: Annotated[str, Meta(max_length=64, description="What is newer than this cursor.")] | None = (
        msgspec.field(default=None, name="page[before]")
    )


def numbered(items: Sequence[Resource[A]], query: Numbered, url: str) -> Listing[A]:
    """The page of a list that a query asks for; `url` is the request's, for the links.

    `items` are as they are to be when no order is asked for. Raises `ApiError` 400 for an order that can't be.
    """
    items = _ordered(items, query)
    if query.page_number is None and query.page_size is None:
        return Listing(data=list(items[:WHOLE]), links={"self": url})
    number, size = query.page_number or 1, query.page_size or _PER_NUMBERED
    pages = max(1, -(-len(items) // size))
    shown = list(items[(number - 1) * size : number * size])
    around = {"first": 1, "last": pages, "prev": number - 1, "next": number + 1}
    links = {word: with_parameters(url, {"page[number]": str(to)}) for word, to in around.items() if 1 <= to <= pages}
    links["self"] = url
    pagination = Pagination(total=len(items), count=len(shown), per_page=size, current_page=number, total_pages=pages)
    return Listing(data=shown, links=links, meta=ListMeta(pagination=pagination))


def _ordered(items: Sequence[Resource[A]], query: Numbered) -> Sequence[Resource[A]]:
    """By the attribute that is asked for; what has none comes first, what is equal stays as it was."""
    parameter = "sort" if query.sort is not None else "sort[by]"
    wanted = query.sort if query.sort is not None else query.sort_by
    if wanted is None or not items:
        return items
    name = wanted.removeprefix("-")
    values = [_sortable(one, name) for one in items]
    if UNSET in values:
        raise ApiError(400, [Fault("INVALID_PARAMETER", f"{name} can't be sorted by", Place(parameter=parameter))])
    places = sorted(range(len(items)), key=lambda place: _rank(values[place]))
    descending = wanted.startswith("-") or (parameter == "sort[by]" and query.sort_desc)
    return [items[place] for place in (reversed(places) if descending else places)]


def _sortable(resource: Resource[A], name: str) -> object:
    value = resource.id if name == "id" else getattr(resource.attributes, name, UNSET)
    return value if value is None or isinstance(value, str | int | float) else UNSET


def _rank(value: object) -> tuple[bool, float, str]:
    if isinstance(value, str):
        return True, 0, value.lower()
    return value is not None, value if isinstance(value, int | float) else 0, ""


def cursored(
    found: Sequence[T],
    query: Cursored,
    url: str,
    resource: Callable[[T], Resource[A]],
    cursor: Callable[[T], str],
    retention_days: int,
) -> Listing[A]:
    """The page of what a search for `query.page_size + 1` things gave, newest first."""
    back = query.page_before is not None
    more = len(found) > query.page_size
    shown = found[-query.page_size :] if back else found[: query.page_size]
    links = {"self": url}
    if shown and (more or back):
        links["next"] = with_parameters(url, {"page[after]": cursor(shown[-1])})
    if shown and (query.page_after is not None or (back and more)):
        links["prev"] = with_parameters(url, {"page[before]": cursor(shown[0])})
    return Listing(data=[resource(one) for one in shown], links=links, meta=ListMeta(retention_days=retention_days))


def read_cursor(query: Cursored, parts: int) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """The numbers in `page[after]` and `page[before]`. Raises `ApiError` 400."""
    faults = []
    read: list[tuple[int, ...] | None] = []
    for name, text in (("page[after]", query.page_after), ("page[before]", query.page_before)):
        words = (text or "").split("-")
        fits = len(words) == parts and all(word.isascii() and word.isdigit() and len(word) < 19 for word in words)
        read.append(tuple(map(int, words)) if fits else None)
        if text is not None and not fits:
            faults.append(Fault("INVALID_PARAMETER", f"{name} is no cursor of this list", Place(parameter=name)))
    if read[0] is not None and read[1] is not None:
        both = "page[after] and page[before] exclude each other"
        faults.append(Fault("INVALID_PARAMETER", both, Place(parameter="page[before]")))
    if faults:
        raise ApiError(400, faults)
    return read[0], read[1]


def milliseconds(when: datetime) -> int:
    """A moment in milliseconds since 1970."""
    return int(when.timestamp() * 1000)


def with_parameters(url: str, changes: dict[str, str]) -> str:
    """A URL with these parameters in place of others of the same kind."""
    path, _, query = url.partition("?")
    dropped = {*changes, "page[after]", "page[before]"} if "page[number]" not in changes else set(changes)
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in dropped]
    return f"{path}?{urlencode([*kept, *changes.items()], safe='[]:,')}"
