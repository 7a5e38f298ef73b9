"""Small changes of a YAML text, proposed: pure, and not yet known to do what they should.

Each proposal is a whole new text. The first ones touch least; the last ones write an enclosing value anew, from the
innermost to the whole document. Whoever asks reads each of them back and takes the first that says what it should.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import yaml

from turnout.control.configuration.places import Entry, Place, along, entries, whole
from turnout.control.configuration.render import block, flow

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")
_ITEM = re.compile(r"[ \t]*-[ \t]+")


def with_value(text: str, path: Sequence[str], wanted: object) -> Iterator[str]:
    """New texts, one of which reads as `wanted`: what `text` says, with another value, or a new one, at `path`."""
    root, newline = whole(text), _newline(text)
    if root is None:
        yield from _only(text, wanted, newline)
        return
    found = along(text, root, path)
    depth = len(found) - 1
    if depth < len(path):
        yield from _added(text, found, path[depth], _at(wanted, path[: depth + 1]), newline)
    for level in range(depth, -1, -1):
        yield from _written(text, found[level], _at(wanted, path[:level]), newline)


def without(text: str, path: Sequence[str], wanted: object) -> Iterator[str]:
    """New texts, one of which reads as `wanted`: what `text` says without what it says at `path`."""
    root, newline = whole(text), _newline(text)
    if root is None:
        return
    found = along(text, root, path)
    if len(found) == len(path) + 1:
        yield from _removed(text, entries(text, found[-2]), path[-1], found[-2].is_block)
    for level in range(min(len(found), len(path)) - 1, -1, -1):
        yield from _written(text, found[level], _at(wanted, path[:level]), newline)


def spliced(text: str, values: Mapping[tuple[str, ...], object]) -> str:
    """The text with each of these values where one stands now, anchors kept: a proposal too. Aliases are left alone."""
    root = whole(text)
    spans: dict[int, tuple[int, str]] = {}
    for path, value in values.items():
        found = along(text, root, path) if root is not None else []
        if len(found) == len(path) + 1:
            place = found[-1]
            properties = _PROPERTIES.match(text, place.start, place.end)
            start = properties.end() if properties is not None else place.start
            spans[start] = (place.end, flow(value, _quote(place)))
    for start in sorted(spans, reverse=True):
        end, written = spans[start]
        text = text[:start] + written + text[end:]
    return text


def _only(text: str, value: object, newline: str) -> Iterator[str]:
    """For a text that says nothing: after its comments."""
    head = text if not text or text.endswith(newline) else text + newline
    if _is_full(value):
        yield head + block(value, 0, newline) + newline
    yield head + flow(value) + newline


def _written(text: str, place: Place, value: object, newline: str) -> Iterator[str]:
    """Another value in the place of one."""
    before, after = text[: place.start], text[place.end :]
    if place.is_block:
        if _is_full(value):
            yield before + block(value, place.column, newline) + after
        elif (head := before.rstrip()).endswith((":", "-")):
            yield f"{head} {flow(value)}{after}"
    space = " " if place.start == place.end and before and not before[-1].isspace() else ""
    yield before + space + flow(value, _quote(place)) + after


def _added(text: str, found: Sequence[Place], name: str, value: object, newline: str) -> Iterator[str]:
    """A new member of a collection: at its end, else at its beginning."""
    place = found[-1]
    members = entries(text, place)
    is_list = isinstance(place.node, yaml.SequenceNode)
    in_brackets = _prefer_brackets(members)
    short = flow(value) if is_list else f"{flow(name)}: {flow(value)}"
    if place.is_block:
        column = _column(text, members[0].start)
        if is_list:
            column -= len("- ")
        fresh = f"- {short}" if is_list and in_brackets else short
        if not in_brackets:
            fresh = block([value] if is_list else {name: value}, column, newline)
        yield _with_line(text, members[-1].value.end, " " * column + fresh, newline)
        first = _line_start(text, members[0].start)
        yield text[:first] + " " * column + fresh + newline + text[first:]
    elif members:
        last = members[-1]
        line = text[_line_start(text, last.start) : last.start]
        between = f",{newline}{line}" if len(members) > 1 and not line.strip() else ", "
        yield text[: last.value.end] + between + short + text[last.value.end :]
        yield text[: members[0].start] + short + ", " + text[members[0].start :]
    elif isinstance(place.node, yaml.CollectionNode):
        yield text[: place.end - 1] + short + text[place.end - 1 :]
    elif place.start == place.end and len(found) > 1 and found[-2].is_block:
        # Nothing stands after the colon yet.
        column = found[-2].column + 2
        yield _with_line(text, place.end, " " * column + block({name: value}, column, newline), newline)


def _removed(text: str, members: Sequence[Entry], name: str, is_block: bool) -> Iterator[str]:
    """The text without one member of several."""
    index = next(index for index, entry in enumerate(members) if entry.name == name)
    entry, following = members[index], members[index + 1 :]
    if len(members) == 1:
        return
    start, end = entry.start, entry.value.end
    if is_block:
        first = _line_start(text, start)
        line = text[first:start]
        if not line.strip() or _ITEM.fullmatch(line):
            last = text.find("\n", end)
            yield text[:first] + text[last + 1 :] if last >= 0 else text[:first].rstrip("\r\n")
    if following:
        yield text[:start] + text[following[0].start :]
    elif index:
        yield text[: members[index - 1].value.end] + text[end:]


def _prefer_brackets(members: Sequence[Entry]) -> bool:
    """Whether the last member that is a collection is in brackets: a new one looks like it."""
    for entry in reversed(members):
        if isinstance(entry.value.node, yaml.CollectionNode):
            return not entry.value.is_block
    return False


def _with_line(text: str, after: int, line: str, newline: str) -> str:
    """The text with a new line below the one that holds an offset."""
    end = text.find("\n", after)
    if end < 0:
        return text + newline + line
    return text[: end + 1] + line + newline + text[end + 1 :]


def _line_start(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1


def _column(text: str, offset: int) -> int:
    return offset - _line_start(text, offset)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _quote(place: Place) -> str | None:
    return place.node.style if isinstance(place.node, yaml.ScalarNode) else None


def _is_full(value: object) -> bool:
    return isinstance(value, Mapping | list) and bool(value)


def _at(value: object, path: Sequence[str]) -> object:
    for name in path:
        if isinstance(value, list):
            value = value[int(name)]
        elif isinstance(value, Mapping):
            value = value[name]
    return value
