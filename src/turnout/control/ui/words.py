"""The languages of the interface. English is what is written in pages and templates; `languages/fr/*.json` has French.

A file of words is an object: the English text to the French one.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import msgspec

Language = Literal["en", "fr"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
FOLDER = Path(__file__).parent / "languages"


class Words:
    """Texts in one language."""

    def __init__(self, language: Language, known: Mapping[str, str]) -> None:
        self.language, self.known = language, known

    def __call__(self, text: str, **values: object) -> str:
        """A text, with `%(name)s` in it replaced."""
        found = self.known.get(text, text)
        return found % values if values else found


@cache
def words(language: Language) -> Words:
    """The texts of a language. Raises `msgspec.ValidationError` for a file that is not as it should be."""
    known: dict[str, str] = {}
    for path in sorted((FOLDER / language).glob("*.json")):
        known |= msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    return Words(language, known)


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
