"""Links between the pages lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name_of

_LINKED = [*PAGES, ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs" / "decisions").glob("*.md"))]


@pytest.mark.parametrize("page", _LINKED, ids=name_of)
def test_relative_links_resolve(page: Path) -> None:
    for link in _links(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)}: {link}"
        if anchor:
            assert anchor in _anchors(target.read_text()), f"{name_of(page)}: {link}"


def test_every_page_of_the_documentation_is_in_its_contents() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _links(index.read_text())}
    pages = {page.resolve() for page in PAGES if "docs" in page.parts and page != index}
    assert pages - linked == set()


def _links(text: str) -> Iterator[str]:
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\[[^\]]+\]\(([^)\s]+)\)", prose):
        if not link.startswith(("http://", "https://", "mailto:")):
            yield link


def _anchors(text: str) -> set[str]:
    """The anchors of headings, as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    }
