"""Where the parts of a YAML text stand, as offsets into it, from what PyYAML's `compose` says.

A block collection ends for PyYAML where the next token begins; here it ends with the last thing in it, so that comments
and blank lines after it belong to nobody. An alias (`*name`) is a place with nothing inside, whatever it stands for.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import yaml

from turnout.control.yamlfile import MERGE, loader

_ALIAS_IN_MAPPING = re.compile(r"\s*:\s*(\*[^\s,\[\]{}]+)")
_ALIAS_IN_LIST = re.compile(r"[\s,\-]*(\*[^\s,\[\]{}]+)")


class Place(NamedTuple):
    """A value in the text. `node` is None for an alias."""

    node: yaml.Node | None
    start: int
    end: int

    @property
    def is_block(self) -> bool:
        """Whether it is a collection without brackets."""
        return isinstance(self.node, yaml.CollectionNode) and not self.node.flow_style

    @property
    def column(self) -> int:
        """Of its first character in its line."""
        return int(self.node.start_mark.column) if self.node is not None else 0


class Entry(NamedTuple):
    """A member of a collection. `name` is its key, or its number in a list; it starts with the key."""

    name: str
    start: int
    value: Place


def whole(text: str) -> Place | None:
    """The document in a text; None if there is nothing in it. Raises `yaml.YAMLError`."""
    node = yaml.compose(text, Loader=loader(text))
    return _place(text, node) if node is not None else None


def entries(text: str, place: Place) -> list[Entry]:
    """The members of a collection, in their order; empty for anything else."""
    node = place.node
    if isinstance(node, yaml.MappingNode):
        found = []
        for key, value in node.value:
            after = key.end_mark.index
            name = key.value if isinstance(key, yaml.ScalarNode) and key.tag != MERGE else ""
            found.append(Entry(name, key.start_mark.index, _member(text, value, after, _ALIAS_IN_MAPPING)))
        return found
    found = []
    after = place.start
    for index, value in enumerate(node.value if isinstance(node, yaml.SequenceNode) else ()):
        item = _member(text, value, after, _ALIAS_IN_LIST)
        found.append(Entry(str(index), item.start, item))
        after = max(after, item.end)
    return found


def along(text: str, place: Place, path: Sequence[str]) -> list[Place]:
    """The places from one down a path, as far as they are in the text; the place itself first."""
    found = [place]
    for name in path:
        inner = next((entry.value for entry in entries(text, found[-1]) if entry.name == name), None)
        if inner is None:
            break
        found.append(inner)
    return found


def _member(text: str, node: yaml.Node, after: int, alias: re.Pattern[str]) -> Place:
    """The place of a member that stands somewhere after an offset; what stands before it is meant by an alias."""
    if node.start_mark.index >= after:
        return _place(text, node)
    found = alias.match(text, after)
    return Place(None, *found.span(1)) if found else Place(None, after, after)


def _place(text: str, node: yaml.Node) -> Place:
    start, end = int(node.start_mark.index), int(node.end_mark.index)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        inside = entries(text, Place(node, start, end))
        end = max([start, *(entry.value.end for entry in inside)])
    elif isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        end = len(text[:end].rstrip())
    return Place(node, start, end)
