"""The languages of the interface. English is what is written in pages and templates; `languages/fr/*.json` has French.

A file of words is an object: the English text to the French one, for texts with a number `[one, many]` to the same.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, get_args

Language = Literal["en", "fr"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
FOLDER = Path(__file__).parent / "languages"


class Words:
    """Texts in one language."""

    def __init__(self, language: Language, known: Mapping[str, str], counted: Mapping[str, tuple[str, str]]) -> None:
        self.language, self._known, self._counted = language, known, counted

    def __call__(self, text: str, **values: object) -> str:
        """A text, with `%(name)s` in it replaced."""
        found = self._known.get(text, text)
        return found % values if values else found

    def many(self, one: str, many: str, number: int, **values: object) -> str:
        """The text for a number of things, with `%(number)s` in it and others replaced."""
        singular, plural = self._counted.get(one, (one, many))
        # French says "0 événement".
        found = singular if number == 1 or (number == 0 and self.language == "fr") else plural
        return found % {"number": number, **values}


@cache
def words(language: Language) -> Words:
    """The texts of a language. Raises ValueError for a file that is not as it should be."""
    known: dict[str, str] = {}
    counted: dict[str, tuple[str, str]] = {}
    for path in sorted((FOLDER / language).glob("*.json")):
        for text, said in json.loads(path.read_text("utf-8")).items():
            if isinstance(said, str):
                known[text] = said
            else:
                singular, plural = said
                counted[text] = (singular, plural)
    return Words(language, known, counted)


def preferred(accept_language: str) -> Language:
    """The language for a header `Accept-Language`: the first of ours in its order."""
    wanted = []
    for place, part in enumerate(accept_language.split(",")[:20]):
        tag, _, quality = part.partition(";q=")
        try:
            wanted.append((-float(quality or 1), place, tag.strip().lower()[:2]))
        except ValueError:
            continue
    return next((one for _, _, tag in sorted(wanted) for one in LANGUAGES if one == tag), "en")
