"""The OpenAPI document and its page, made from the table of operations."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from turnout.control.access.scopes import SCOPES
from turnout.control.api import docs, openapi
from turnout.control.api.operation import Operation
from turnout.control.api.problems import KINDS
from turnout.control.api.table import OPERATIONS

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"
DOCUMENT = json.loads(openapi.render(OPERATIONS))
PAGE = docs.render(openapi.document(OPERATIONS))
TEXT = PAGE.body.decode()


def references(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(tree, list):
        for one in tree:
            yield from references(one)


class Reader(HTMLParser):
    """Collects what a page loads, its anchors and whether its elements close."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src"):
                self.links.append(value or "")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_document_names_everything_that_can_be_asked() -> None:
    described = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == {(one.method, one.path) for one in OPERATIONS}
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["security"] == [{"token": []}, {"session": []}]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_every_operation_has_an_example_that_is_run(operation: Operation) -> None:
    """`tests/docs` runs the page: here, that nothing is left out."""
    sections = re.split(r"^### ", REFERENCE.read_text(), flags=re.MULTILINE)
    (section,) = [one for one in sections if one.startswith(f"{operation.method} {operation.path}\n")]
    address = re.escape(operation.path).replace(r"\{site\}", "29")
    path = re.sub(r"\\\{\w+\\\}", "[^ ]+", address)
    assert re.search(rf"^\$ curl .*http://127\.0\.0\.1:8081{path}(?:[ '?]|$)", section, re.MULTILINE)


def test_references_lead_to_schemas_and_every_schema_is_used() -> None:
    found = set(references(DOCUMENT))
    assert found == {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_an_operation_is_described_whole(operation: Operation) -> None:
    described = DOCUMENT["paths"][operation.path][operation.method.lower()]
    assert described["operationId"] == operation.name
    assert described["x-scope"] == operation.scope
    assert described["summary"].endswith(".")
    in_path = [one["name"] for one in described["parameters"] if one["in"] == "path"]
    assert in_path == re.findall(r"\{(\w+)\}", operation.path)
    for parameter in described["parameters"]:
        assert parameter["schema"]
        assert parameter["description"], f"{operation.name}: {parameter['name']} is not described"
        assert {"type": "null"} not in parameter["schema"].get("anyOf", [])
    assert ("requestBody" in described) == operation.takes_body
    assert str(operation.status) in described["responses"]
    assert {int(status) for status in described["responses"] if int(status) >= 400} <= set(KINDS)


def test_the_page_loads_nothing_runs_nothing_and_may_not() -> None:
    reader = Reader()
    reader.feed(TEXT)
    assert reader.open == []
    assert reader.tags.isdisjoint({"script", "img", "link", "iframe", "form", "object"})
    assert all(link.startswith("#") or link == "/openapi.json" for link in reader.links)
    policy = PAGE.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "url(" not in TEXT
    assert "@import" not in TEXT


def test_the_page_has_a_place_for_every_operation_scope_and_problem() -> None:
    reader = Reader()
    reader.feed(TEXT)
    assert len(reader.ids) == len(set(reader.ids))
    assert {one.name for one in OPERATIONS} <= set(reader.ids)
    assert {f"problems/{kind.slug}" for kind in KINDS.values()} <= set(reader.ids)
    assert {link.removeprefix("#") for link in reader.links if link.startswith("#")} <= set(reader.ids)
    assert all(f"<code>{scope}</code>" in TEXT for scope in SCOPES)


def test_text_of_the_document_can_not_become_html() -> None:
    hostile = openapi.document(OPERATIONS)
    hostile["info"] = {"title": "<script>1</script>", "version": "<b>", "description": "<img src=x> & `<i>`"}
    text = docs.render(hostile).body.decode()
    assert "<script" not in text
    assert "<img" not in text
    assert "<code>&lt;i&gt;</code>" in text
