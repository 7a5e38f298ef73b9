"""From data to YAML text, on one line or in a block. Both read back as exactly the same data.

A text is always on one line, in double quotes where it has to be, so that a block can be indented line by line.
"""

from collections.abc import Mapping, Sequence

import yaml

_NO_LIMIT = 1 << 30


class _Dumper(yaml.SafeDumper):
    """The safe dumper without aliases: whoever reads the result sees the value in its place."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"')


_Dumper.add_representer(str, _text)


def flow(value: object, quote: str | None = None) -> str:
    """A value on one line, as it may stand inside brackets too; a text in these quotes, if they fit it."""
    if isinstance(value, str) and value.isprintable():
        if quote == "'":
            return "'" + value.replace("'", "''") + "'"
        if quote == '"' and not set(value) & {'"', "\\"}:
            return f'"{value}"'
    listed = yaml.dump(
        [value], Dumper=_Dumper, default_flow_style=True, width=_NO_LIMIT, allow_unicode=True, sort_keys=False
    )
    return str(listed).rstrip("\n")[1:-1]


def block(value: object, column: int, newline: str) -> str:
    """A collection that is not empty. Its lines but the first are indented by `column`, the last has no end."""
    return f"{newline}{' ' * column}".join(_lines(value))


def _lines(value: object) -> list[str]:
    found = []
    if isinstance(value, Mapping):
        for key, item in value.items():
            if _is_simple(item):
                found.append(f"{flow(key)}: {flow(item)}")
            else:
                found += [f"{flow(key)}:", *(f"  {line}" for line in _lines(item))]
    elif isinstance(value, Sequence):
        for item in value:
            first, *others = [flow(item)] if _is_simple(item) else _lines(item)
            found += [f"- {first}", *(f"  {line}" for line in others)]
    return found


def _is_simple(value: object) -> bool:
    """Whether a value holds nothing that holds something: it is on one line then."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return not isinstance(value, list) or not any(isinstance(item, Mapping | list) and item for item in value)
