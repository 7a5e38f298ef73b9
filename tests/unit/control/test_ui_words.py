"""Every text of the interface is there in French, and nothing else is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2.ext import babel_extract

from turnout.control.access import gate
from turnout.control.ui import words as words_module
from turnout.control.ui.words import preferred, words

UI = Path(words_module.__file__).parent


def texts_of_templates() -> Iterator[str]:
    for path in sorted(UI.glob("templates/**/*.html")):
        with path.open("rb") as file:
            for _, _, found, _ in babel_extract(file, ("_",), (), {}):
                # Nothing, where a template asks for the text in a variable: what is said by the server.
                text = found[0] if isinstance(found, tuple) else found
                if text:
                    yield text


def texts_of_pages() -> Iterator[str]:
    for path in sorted(UI.glob("**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            if ast.unparse(node.func).endswith("words") and isinstance(node.args[0].value, str):
                yield node.args[0].value


def test_every_text_is_there_in_french() -> None:
    wanted = {*texts_of_templates(), *texts_of_pages()}
    assert wanted - set(words("fr").known) == set()
    # What the server says is said by its own words.
    assert set(words("fr").known) - wanted <= set(gate._SAID.values())


@pytest.mark.parametrize("text", sorted(words("fr").known))
def test_a_translation_names_the_same_values(text: str) -> None:
    assert values(words("fr").known[text]) == values(text)


def values(text: str) -> set[str]:
    return {part.partition(")")[0] for part in text.split("%(")[1:]}


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("fr", "fr"),
        ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("de,fr;q=0.5,en;q=0.7", "en"),
        ("en;q=0.2, fr;q=0.3", "fr"),
        ("*", "en"),
        ("fr;q=nonsense", "en"),
    ],
)
def test_the_language_is_what_the_browser_prefers(header: str, language: str) -> None:
    assert preferred(header) == language
