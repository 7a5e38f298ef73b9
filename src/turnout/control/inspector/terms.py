"""The words of the index: short hashes of what a record says, so that a search looks at few records.

A hash may stand for something else, too: whoever searches checks the record itself, so that costs a look and no truth.
An event may have any number of properties; a record with some beyond the bound says so (`MORE_PROPERTIES`,
`MORE_WORDS`), and every search looks at it.

What must stay true: the terms of a record follow from the record alone, or erasing would leave some of them behind.
Change them only with `segment.FORMAT`.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Mapping
from zlib import crc32

from turnout.control.inspector.values import UNSEARCHABLE, Scalar, text_of

CUSTOM_PATHS = 100
"""So many properties of an event's own are indexed, beside the members of `user`, `context` and `items`."""
_TERMS = 600
_WORDS = 300
_WORD_CHARACTERS = 40
_TEXT_CHARACTERS = 256
_STANDARD = ("user.", "context.", "items.")
_WORD = re.compile(r"[^\W_]+")
_PREFIX_FROM = 3
_DEPTH = 32


def _hashed(text: str) -> str:
    return f"{crc32(text.encode('utf-8', 'replace')):08x}"


MORE_PROPERTIES, MORE_WORDS = _hashed("#properties"), _hashed("#words")


def field_term(name: str, value: str) -> str:
    """The term of what we say of a record, such as its status."""
    return _hashed(f"#{name}={value}")


def value_term(path: str, text: str) -> str:
    """The term of a property with this value, in the writing of `text_of`."""
    return _hashed(f"{_without_numbers(path)}={text[:_TEXT_CHARACTERS]}")


def path_term(path: str) -> str:
    """The term of a property that is there, whatever its value."""
    return _hashed_path(_without_numbers(path))


def words_of(text: str) -> list[str]:
    """The words of a text: letters and digits, in lower case, cut where they are long."""
    return [word[:_WORD_CHARACTERS] for word in _WORD.findall(text.lower())]


def begins(word: str, sought: str) -> bool:
    """Whether a word is what is searched for: short ones must be the same, longer ones begin it."""
    return word.startswith(sought) if len(sought) >= _PREFIX_FROM else word == sought


def word_candidates(sought: str) -> list[str]:
    """For each word of a text, what the index is asked for."""
    return [f'"w{word}"' + " *" * (len(word) >= _PREFIX_FROM) for word in words_of(sought)]


def event_terms(event: Mapping[str, object]) -> set[str]:
    """Everything the index knows of an event: its properties, their values, the words in these."""
    terms: set[str] = set()
    texts: list[str] = []
    custom: set[str] = set()
    properties: list[tuple[str, Scalar | None]] = []
    _collect(event, "", 0, properties)
    for path, value in properties:
        if not path.startswith(_STANDARD):
            custom.add(path)
        if len(custom) > CUSTOM_PATHS or len(terms) >= _TERMS:
            terms |= {MORE_PROPERTIES, MORE_WORDS}
            break
        terms.add(_hashed_path(path))
        if value is not None:
            text = text_of(value)[:_TEXT_CHARACTERS]
            terms.add(_hashed(f"{path}={text}"))
            texts.append(text)
    words = dict.fromkeys(_WORD.findall(" ".join(texts).lower()))
    if len(words) > _WORDS or any(len(text) == _TEXT_CHARACTERS for text in texts):
        terms.add(MORE_WORDS)
    terms.update(f"w{word[:_WORD_CHARACTERS]}" for word in itertools.islice(words, _WORDS))
    return terms


def as_text(terms: Iterable[str]) -> str:
    """Terms as the index takes them."""
    return " ".join(terms).encode("utf-8", "replace").decode()


def _collect(value: object, path: str, depth: int, into: list[tuple[str, Scalar | None]]) -> None:
    """Add every property with its value, by its path without the numbers of elements; only scalars have a value here.

    Adds a list's elements one by one; stops where there are more than anybody indexes.
    """
    if isinstance(value, str | int | float) or value is None:
        into.append((path, value))
        return
    if depth == _DEPTH or len(into) > _TERMS:
        return
    if isinstance(value, Mapping):
        if path:
            into.append((path, None))
        for name, member in value.items():
            inner = (path if name.isdigit() else f"{path}.{name}") if path else name
            if inner != UNSEARCHABLE:
                _collect(member, inner, depth + 1, into)
    elif isinstance(value, list):
        into.append((path, None))
        for one in value:
            _collect(one, path, depth + 1, into)


@functools.lru_cache(20_000)
def _hashed_path(path: str) -> str:
    return _hashed(path)


def _without_numbers(path: str) -> str:
    first, *others = path.split(".")
    return ".".join([first, *(part for part in others if not part.isdigit())])
