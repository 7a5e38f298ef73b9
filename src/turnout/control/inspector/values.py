"""Reading an event for a search: what is at a path, as which text, and equal to what. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,300})(?:\.[0-9]{1,300})?(?:[eE][+-]?[0-9]{1,3})?").fullmatch
UNSEARCHABLE = "context.device"
"""What is never searched: nobody should be found by their device (`config-api.md` C4)."""

Scalar = str | int | float | bool


def is_searchable(path: str) -> bool:
    """Whether a property may be searched for."""
    return path != UNSEARCHABLE and not path.startswith(f"{UNSEARCHABLE}.")


def found(document: object, path: Sequence[str]) -> Iterator[object]:
    """Every value at a path. A name met on an array is read from each element, a number picks one element."""
    for place, name in enumerate(path):
        if isinstance(document, Mapping):
            if name not in document:
                return
            document = document[name]
        elif isinstance(document, list):
            if name.isascii() and name.isdigit():
                if len(name) > 6 or int(name) >= len(document):
                    return
                document = document[int(name)]
            else:
                for one in document:
                    yield from found(one, path[place:])
                return
        else:
            return
    yield document


def scalars(value: object) -> Iterator[Scalar]:
    """The texts, numbers and booleans that a value is, or has as elements."""
    if isinstance(value, str | int | float):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from scalars(one)


def texts(document: object, path: str = "") -> Iterator[str]:
    """Every value in the searchable part of a document, as text."""
    if isinstance(document, Mapping):
        for name, member in document.items():
            inner = f"{path}.{name}" if path else name
            if inner != UNSEARCHABLE:
                yield from texts(member, inner)
    elif isinstance(document, list):
        for one in document:
            yield from texts(one, path)
    elif isinstance(document, str | int | float):
        yield text_of(document)


def text_of(value: Scalar) -> str:
    """A value as it is written in a query: a whole number without a fraction, booleans as in JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def number_of(text: str) -> int | float | None:
    """The number that a text is in JSON's writing, if it is one."""
    if not _NUMBER(text):
        return None
    return int(text) if text.lstrip("-").isdigit() else float(text)


def spellings(literal: str) -> tuple[str, ...]:
    """The texts (`text_of`) of everything that a literal of a query equals: `42.0` is the number 42, too."""
    number = number_of(literal)
    if number is None or (isinstance(number, float) and number in (float("inf"), float("-inf"))):
        return (literal,)
    return (literal,) if (written := text_of(number)) == literal else (literal, written)


def equal(value: Scalar, literal: str) -> bool:
    """Whether a value is what a literal says: text is compared as text, a number as a number."""
    if isinstance(value, str):
        return value == literal
    if isinstance(value, bool):
        return text_of(value) == literal
    return value == number_of(literal)
