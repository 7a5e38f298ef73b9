"""Reading `turnout.yaml`: YAML that may not say a thing twice, with `${VARIABLES}` and sealed secrets.

Keys are text as written: `29:` and `"29":` are the same key, and `010:` is not 8.
"""

import re
from collections.abc import Hashable, Mapping

import yaml

from turnout.control.configuration.secrets import Secrets
from turnout.model.errors import ConfigError, Problem, SecretError

_VARIABLE = re.compile(
    r"""\$(?: (?P<dollar>\$)
          | (?P<secret>\{secret:[^}]*\})
          | \{(?P<name>[A-Za-z_]\w*) (?: :-(?P<default>[^}]*) )?\}
          | (?P<broken>\{[^}]*\}?) )""",
    re.X,
)
_OPENERS = 10_000
MERGE = "tag:yaml.org,2002:merge"


class _Constructor(yaml.constructor.SafeConstructor):
    """Plain values, with textual keys, refusing duplicates (YAML lets the last one win, unseen)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be one word or text", key.start_mark)
            if key.tag == MERGE:
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
            key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


class _Loader(_Constructor, yaml.SafeLoader):
    """In Python: of any depth, it can only fail."""


class _FastLoader(_Constructor, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """In C, where PyYAML was built with it: eight times as fast. What is nested 40,000 deep would end the process."""


def loader(text: str) -> type[_Loader | _FastLoader]:
    """What reads this text: the fast one unless something in it could be too deep."""
    openers = sum(text.count(opener) for opener in ("[", "{", "- ", "? "))
    return _Loader if openers > _OPENERS else _FastLoader


def parse(text: str) -> object:
    """The plain value of a YAML text. Raises `ConfigError` with line and column."""
    try:
        return yaml.load(text, Loader=loader(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        fix = "keep one" if "stands twice" in str(error.problem) else "mind indentation, quotes and brackets there"
        raise ConfigError([Problem(where, f"not readable as YAML: {error.problem}", fix)]) from error
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: a date that does not exist, a number too long.
        raise ConfigError([Problem("", f"not readable as YAML: {error}", "put texts in quotes")]) from error
    except RecursionError as error:
        raise _too_deep() from error


def _too_deep() -> ConfigError:
    return ConfigError([Problem("", "nested too deeply, or into itself", "write it out without the alias")])


def expand(
    value: object,
    environment: Mapping[str, str],
    path: str,
    problems: list[Problem],
    secrets: Secrets | None = None,
) -> object:
    """Replace `${VAR}`, `${VAR:-default}` and `${secret:…}` in every text of `value`; `$$` is a dollar sign.

    As in a shell, the default also stands in for a variable that is set but empty. Adds to `problems` every
    variable that is not set, every secret that can't be opened and every `${` that is none. Raises `ConfigError`
    for a value that holds itself.
    """
    try:
        return _expand(value, environment, path, problems, secrets)
    except RecursionError as error:
        raise _too_deep() from error


def _expand(
    value: object, environment: Mapping[str, str], path: str, problems: list[Problem], secrets: Secrets | None
) -> object:
    if isinstance(value, dict):
        return {key: _expand(item, environment, join(path, key), problems, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, environment, f"{path}[{i}]", problems, secrets) for i, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match["dollar"]:
            return "$"
        if match["secret"]:
            return _opened(match[0], path, problems, secrets)
        if match["broken"]:
            problems.append(Problem(path, f"{match[0]} is no variable", "write ${NAME}, or $$ for a dollar sign"))
            return ""
        if default is not None:
            return environment.get(name) or default
        if name not in environment:
            problems.append(Problem(path, f"the variable {name} is not set", f"set it, or write ${{{name}:-…}}"))
        return environment.get(name, "")

    return _VARIABLE.sub(replace, value)


def _opened(token: str, path: str, problems: list[Problem], secrets: Secrets | None) -> str:
    if secrets is None:
        problems.append(Problem(path, "is sealed, and there are no keys here", "write a variable instead: ${NAME}"))
        return ""
    try:
        return secrets.open(token)
    except SecretError as error:
        problems.append(Problem(path, error.message, error.fix))
        return ""


def join(path: str, key: object) -> str:
    """The path of a member, quoted where it isn't a plain word."""
    word = str(key) if re.fullmatch(r"[A-Za-z_][\w-]*", str(key)) else f'"{key}"'
    return f"{path}.{word}" if path else word
