"""Which paths the catalogue types as arrays: what a query string can't tell (`collect.md` §9, rule 7)."""

from collections.abc import Iterator, Mapping

from turnout.specification.catalogue import CATALOGUE, Listed

Path = tuple[str, ...]
ELEMENT = "[]"
"""In a path: any element of an array."""


def _arrays(at: Path, listed: Mapping[str, Listed]) -> Iterator[Path]:
    for name, entry in listed.items():
        for spelling in (name, *entry.other_names):
            path = (*at, *spelling.split("."))
            inside = path
            if any(kind.startswith("array<") for kind in entry.kinds):
                yield path
                inside = (*path, ELEMENT)
            if entry.schema is not None:
                yield from _arrays(inside, CATALOGUE.schemas[entry.schema])


ARRAYS: frozenset[Path] = frozenset(
    path
    for properties in (CATALOGUE.schemas["event"], *(event.properties for event in CATALOGUE.events.values()))
    for path in _arrays((), properties)
)


def is_array(path: Path) -> bool:
    """Whether some standard event has an array at this path, such as `("items", "[]", "product", "colors")`.

    Of some event, not of the one at hand: a custom event's `items` are meant as an array too.
    """
    return path in ARRAYS
