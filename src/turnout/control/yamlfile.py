"""Reading `turnout.yaml`: YAML that may not say a thing twice, with `${VARIABLES}`."""

import re
from collections.abc import Hashable, Mapping

import yaml

from turnout.model.errors import ConfigError, Problem

_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::-([^}]*))?\})")


class _Loader(yaml.SafeLoader):
    """The safe loader, refusing duplicate keys (YAML lets the last one win, unseen)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse(text: str) -> object:
    """The plain value of a YAML text. Raises `ConfigError` with line and column."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError([Problem(where, f"not readable as YAML: {error.problem}")]) from error
    except yaml.YAMLError as error:
        raise ConfigError([Problem("", f"not readable as YAML: {error}")]) from error


def expand(value: object, environment: Mapping[str, str], path: str, problems: list[Problem]) -> object:
    """Replace `${VAR}` and `${VAR:-default}` in every text of `value`; `$$` is a dollar sign."""
    if isinstance(value, dict):
        return {key: expand(item, environment, join(path, key), problems) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, environment, f"{path}[{i}]", problems) for i, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if name is None:
            return "$"
        if name not in environment and default is None:
            problems.append(Problem(path, f"the variable {name} is not set", f"set it, or write ${{{name}:-…}}"))
            return ""
        return environment.get(name, default or "")

    return _VARIABLE.sub(replace, value)


def join(path: str, key: object) -> str:
    """The path of a member, quoted where it isn't a plain word."""
    word = str(key) if re.fullmatch(r"[A-Za-z_][\w-]*", str(key)) else f'"{key}"'
    return f"{path}.{word}" if path else word
