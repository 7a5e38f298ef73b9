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
_PROPERTIES = 600
"""So many values of an event are indexed, whatever their paths."""
_WORDS = 300
_WORD_CHARACTERS = 40
_TEXT_CHARACTERS = 256
_STANDARD = ("user.", "context.", "items.")
_WORD = re.compile(r"[^\W_]+")
_PREFIX_FROM = 3
_DEPTH = 32
_Property = tuple[str, Scalar | None]


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


def record_terms(fields: Mapping[str, Iterable[str]], event: Mapping[str, object] | None) -> str:
    """What the index gets of a record, as it takes it: what we say of it, and what is in its event."""
    found = {field_term(name, value) for name, values in fields.items() for value in values}
    found |= event_terms(event) if event is not None else set()
    return " ".join(found).encode("utf-8", "replace").decode()


def unindexed_paths(event: Mapping[str, object]) -> list[str]:
    """Paths of an event's properties that are beyond the bound: whatever searches for them looks at the event."""
    return _divided(event)[1]


def event_terms(event: Mapping[str, object]) -> set[str]:
    """Everything the index knows of an event: its properties, their values, the words in these."""
    properties, _, whole = _divided(event)
    terms = set() if whole else {MORE_PROPERTIES, MORE_WORDS}
    texts: list[str] = []
    for path, value in properties:
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


def _divided(event: Mapping[str, object]) -> tuple[list[_Property], list[str], bool]:
    """The properties that are indexed, the paths of others, and whether that is all of the event."""
    found: list[_Property] = []
    _collect(event, "", 0, found)
    custom: set[str] = set()
    indexed: list[_Property] = []
    others: dict[str, None] = {}
    for path, value in found[:_PROPERTIES]:
        if not f"{path}.".startswith(_STANDARD) and path not in custom:
            if len(custom) == CUSTOM_PATHS:
                others[path] = None
                continue
            custom.add(path)
        indexed.append((path, value))
    others |= dict.fromkeys(path for path, _ in found[_PROPERTIES:])
    return indexed, list(others), not others


def _collect(value: object, path: str, depth: int, into: list[_Property]) -> None:
    """Add every property with its value, by its path without the numbers of elements; only scalars have a value here.

    Adds a list's elements one by one; stops where there are more than anybody indexes.
    """
    if isinstance(value, str | int | float) or value is None:
        into.append((path, value))
        return
    if depth == _DEPTH or len(into) > _PROPERTIES:
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
