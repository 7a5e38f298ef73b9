"""Reading queries and bodies, pages and cursors: pure parts of the API."""

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from turnout.control.api.checking import read_body, read_query
from turnout.control.api.documents import Resource, moment
from turnout.control.api.paging import WHOLE, Cursored, Numbered, cursored, numbered, read_cursor
from turnout.control.api.problems import ApiError, Place


class Query(msgspec.Struct, frozen=True, kw_only=True):
    needed: int
    words: tuple[str, ...] = msgspec.field(default=(), name="filter[words]")
    kind: Literal["a", "b"] = "a"
    flag: bool | None = None


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1)]
    size: int = 0


class Body(msgspec.Struct, frozen=True, kw_only=True):
    one: Inner
    many: list[Inner] = []
    named: dict[str, int] = {}
    perhaps: Inner | None = None


def faults_of(body: bytes) -> dict[str, str]:
    """Code by pointer of everything wrong with a body."""
    with pytest.raises(ApiError) as refused:
        read_body(body, Body)
    assert refused.value.status == 422
    return {fault.source.pointer: fault.code for fault in refused.value.faults if isinstance(fault.source, Place)}


def test_a_query_is_read_into_its_type() -> None:
    pairs = [("needed", "5"), ("filter[words]", "a,b"), ("filter[words]", "c"), ("flag", "false"), ("kind", "b")]
    assert read_query(pairs, Query) == Query(needed=5, words=("a", "b", "c"), flag=False, kind="b")


@pytest.mark.parametrize(
    ("pairs", "wrong"),
    [
        ([], ["needed"]),
        ([("needed", "x")], ["needed"]),
        ([("needed", "1"), ("needed", "1")], ["needed"]),
        ([("needed", "1"), ("kind", "c"), ("flag", "perhaps"), ("other", "")], ["flag", "kind", "other"]),
        ([("needed", "1"), ("filter[words", "a")], ["filter[words"]),
        ([("needed", "1"), ("flag", "null")], ["flag"]),
    ],
)
def test_every_wrong_parameter_is_named(pairs: list[tuple[str, str]], wrong: list[str]) -> None:
    with pytest.raises(ApiError) as refused:
        read_query(pairs, Query)
    assert refused.value.status == 400
    places = [fault.source for fault in refused.value.faults]
    assert sorted(place.parameter for place in places if isinstance(place, Place)) == wrong


class Change(msgspec.Struct, frozen=True, kw_only=True):
    inner: Inner | UnsetType = UNSET
    size: int | UnsetType | None = UNSET


def test_what_a_change_leaves_out_is_not_what_it_sets_to_null() -> None:
    assert read_body(b"", Change) == Change()
    assert read_body(b'{"size":null}', Change) == Change(size=None)
    with pytest.raises(ApiError) as refused:
        read_body(b'{"inner":{"nam":"x"},"size":"1"}', Change)
    places = [one.source.pointer for one in refused.value.faults if isinstance(one.source, Place)]
    assert places == ["/inner/nam", "/inner/name", "/size"]


class Named(msgspec.Struct, frozen=True):
    name: str | None
    size: int = 0
    parts: list[int] = []


ORDERED = [Resource(type="x", id=place, attributes=Named(name, place % 2)) for place, name in enumerate("bCa")]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ([], [0, 1, 2]),
        ([("sort", "name")], [2, 0, 1]),
        ([("sort", "-name")], [1, 0, 2]),
        ([("sort", "size")], [0, 2, 1]),
        ([("sort", "-id")], [2, 1, 0]),
        ([("sort[by]", "name")], [2, 0, 1]),
        ([("sort[by]", "name"), ("sort[desc]", "true")], [1, 0, 2]),
        ([("sort", "-id"), ("page[size]", "2")], [2, 1]),
    ],
)
def test_a_list_is_in_the_order_that_is_asked_for(query: list[tuple[str, str]], ids: list[int]) -> None:
    assert [one.id for one in numbered(ORDERED, read_query(query, Numbered), "/x").data] == ids


@pytest.mark.parametrize(("parameter", "value"), [("sort", "-parts"), ("sort", "other"), ("sort[by]", "parts")])
def test_an_order_that_can_not_be_is_told(parameter: str, value: str) -> None:
    with pytest.raises(ApiError) as refused:
        numbered(ORDERED, read_query([(parameter, value)], Numbered), "/x")
    assert [one.source for one in refused.value.faults] == [Place(parameter=parameter)]


def test_a_body_is_read_into_its_type() -> None:
    body = b'{"one":{"name":"x"},"many":[{"name":"y","size":2}],"named":{"n":1},"perhaps":null}'
    assert read_body(body, Body) == Body(one=Inner(name="x"), many=[Inner(name="y", size=2)], named={"n": 1})


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (b"{}", {"/one": "MISSING_REQUIRED_PROPERTY"}),
        (b"5", {"": "INVALID_PROPERTY_TYPE"}),
        (b'{"one":[]}', {"/one": "INVALID_PROPERTY_TYPE"}),
        (b'{"one":{"name":""}}', {"/one/name": "INVALID_PROPERTY_FORMAT"}),
        (
            b'{"one":{"nam":"x","size":"1"},"many":[{"name":"y"},{"name":1}],"named":{"a/b":"x"},"perhaps":{}}',
            {
                "/one/nam": "UNKNOWN_ATTRIBUTE",
                "/one/name": "MISSING_REQUIRED_PROPERTY",
                "/one/size": "INVALID_PROPERTY_TYPE",
                "/many/1/name": "INVALID_PROPERTY_TYPE",
                "/named/a~1b": "INVALID_PROPERTY_TYPE",
                "/perhaps/name": "MISSING_REQUIRED_PROPERTY",
            },
        ),
    ],
)
def test_every_fault_of_a_body_is_named_with_its_pointer(body: bytes, faults: dict[str, str]) -> None:
    assert faults_of(body) == faults


def things(count: int) -> list[Resource[int]]:
    return [Resource(type="t", id=number, attributes=number) for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("number", "size", "shown", "links"),
    [
        (None, None, [1, 2, 3, 4, 5], {"self"}),
        (1, 2, [1, 2], {"self", "first", "last", "next"}),
        (2, 2, [3, 4], {"self", "first", "last", "next", "prev"}),
        (3, 2, [5], {"self", "first", "last", "prev"}),
        (1, None, [1, 2, 3, 4, 5], {"self", "first", "last"}),
        (9, 2, [], {"self", "first", "last"}),
    ],
)
def test_a_numbered_page_shows_its_part_and_leads_to_the_others(
    number: int | None, size: int | None, shown: list[int], links: set[str]
) -> None:
    page = numbered(things(5), Numbered(page_number=number, page_size=size), "/v2/29/sources?filter[search]=a%26b")
    assert [one.id for one in page.data] == shown
    assert set(page.links) == links
    assert all("filter[search]=a%26b" in link for link in page.links.values())


def test_an_unpaged_list_has_its_bound() -> None:
    assert len(numbered(things(WHOLE + 1), Numbered(), "/").data) == WHOLE


def test_an_empty_list_has_one_page() -> None:
    nothing: list[Resource[int]] = []
    page = numbered(nothing, Numbered(page_number=1), "/")
    assert not isinstance(page.meta.pagination, msgspec.UnsetType)
    assert (page.meta.pagination.total, page.meta.pagination.total_pages) == (0, 1)


@pytest.mark.parametrize(
    ("found", "after", "before", "shown", "links"),
    [
        ([5, 4], None, None, [5, 4], {"self"}),
        ([5, 4, 3], None, None, [5, 4], {"self", "next"}),
        ([3, 2, 1], "4", None, [3, 2], {"self", "next", "prev"}),
        ([1], "2", None, [1], {"self", "prev"}),
        ([5, 4], None, "3", [5, 4], {"self", "next"}),
        ([5, 4, 3], None, "2", [4, 3], {"self", "next", "prev"}),
        ([], "1", None, [], {"self"}),
    ],
)
def test_a_page_at_a_cursor_leads_on_only_where_there_is_more(
    found: list[int], after: str | None, before: str | None, shown: list[int], links: set[str]
) -> None:
    query = Cursored(page_size=2, page_after=after, page_before=before)
    page = cursored(found, query, "/x", lambda one: Resource(type="t", id=one, attributes=one), str, 7)
    assert [one.attributes for one in page.data] == shown
    assert set(page.links) == links
    if "next" in links:
        assert page.links["next"] == f"/x?page[after]={shown[-1]}"
    if "prev" in links:
        assert page.links["prev"] == f"/x?page[before]={shown[0]}"


def test_a_cursor_is_as_many_numbers_as_its_list_has() -> None:
    assert read_cursor(Cursored(page_after="1-2-3"), 3) == ((1, 2, 3), None)
    for text in ("", "1-2", "1-2-3-4", "a-b-c", "1--3", "1-2-" + "9" * 19, "１-2-3"):
        with pytest.raises(ApiError):
            read_cursor(Cursored(page_after=text), 3)


def test_moments_are_shown_in_utc_with_milliseconds() -> None:
    assert moment(1_772_323_200_000) == "2026-03-01T00:00:00.000Z"
    assert moment(1_772_323_200_009) == "2026-03-01T00:00:00.009Z"
