"""Text settings with `{{ formula }}` islands (`destinations.md` §1): checked when saved, compiled once, read per event.

A setting takes templates where its annotation says so: `Meta(extra={"template": True})`. Then they may stand in its
text, and in every text inside a mapping or list; a key of the mapping itself is one too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import msgspec

from turnout.destinations.body import is_index
from turnout.formula import FAILED, Formula, FormulaError, Run, Template, compile_template
from turnout.formula.tree import Call, Path
from turnout.model.errors import Problem

ABSENT: Final = object()
"""The value of what is not sent."""
INDEX_DIGITS: Final = 3
"""A list place has no more: a list never becomes long because of an event."""

Evaluate: TypeAlias = Callable[[Run], object]


def template_problems(config: msgspec.Struct) -> Iterator[Problem]:
    """What is wrong with the templates of these settings, with their place."""
    for name, written in _template_fields(type(config)).items():
        yield from template_problems_in(written, getattr(config, name))


@cache
def _template_fields(config: type[msgspec.Struct]) -> Mapping[str, str]:
    """The settings that take templates, and how they are written. Remembered: there are few types of destinations."""
    return {field.name: field.encode_name for field in msgspec.structs.fields(config) if takes_templates(field.type)}


def template_problems_in(path: str, value: object) -> Iterator[Problem]:
    """What is wrong with the templates of one setting, its own keys included."""
    yield from _problems(path, value)
    for key in value if isinstance(value, dict) else ():
        yield from _problems(f"{path}.{key}", key)


def takes_templates(kind: object) -> bool:
    """Whether a type of a setting is annotated to take templates."""
    info = msgspec.inspect.type_info(kind)
    return isinstance(info, msgspec.inspect.Metadata) and bool((info.extra or {}).get("template"))


def is_constant(value: object) -> bool:
    """Whether a setting is the same for every event."""
    if isinstance(value, str):
        return compile_template(value).constant
    if isinstance(value, dict):
        return all(map(is_constant, value.values()))
    return not isinstance(value, list) or all(map(is_constant, value))


def literals(text: str) -> list[str]:
    """The texts that a template has around its islands; all of a text that is no template."""
    try:
        return [part for part in compile_template(text).parts if isinstance(part, str)]
    except FormulaError:
        return [text]


def credentials(text: str) -> list[str]:
    """The passwords and keys that a URL carries, without what events add to them."""
    try:
        url = urlsplit("\0".join(literals(text)))
        found = [url.password or "", *(value for _, value in parse_qsl(url.query))]
    except ValueError:
        return []
    return [part for value in found for part in value.split("\0") if part]


def evaluator(value: object) -> Evaluate:
    """Gives the value of a setting for an event: of any text in it the template's, all else as it stands.

    `ABSENT` is what is not sent: a property that is missing or null, or what exceeded a bound. The null of a formula
    that computes stays.
    """
    if isinstance(value, str):
        return _of_text(compile_template(value))
    if is_constant(value):
        return lambda run: value
    if isinstance(value, dict):
        members = [(name, evaluator(member)) for name, member in value.items()]
        return lambda run: {name: made for name, member in members if (made := member(run)) is not ABSENT}
    assert isinstance(value, list)
    items = [evaluator(item) for item in value]
    return lambda run: [None if (made := item(run)) is ABSENT else made for item in items]


class Key(NamedTuple):
    """Where a row of a body goes: dots in the text nest, dots that an event brings do not."""

    segments: Sequence[str | Template]

    def path(self, run: Run) -> list[str] | None:
        """The segments for this event; None, with a warning, where they lead nowhere."""
        made = [segment if isinstance(segment, str) else _written(segment, run) for segment in self.segments]
        if not all(made) or any(is_index(one) and len(one) > INDEX_DIGITS for one in made[1:]):
            run.warn("key", f"a key of the body becomes {'.'.join(made)[:80]!r}")
            return None
        return made


def key_of(text: str, literal_dots: bool) -> Key:
    """The key that a template writes."""
    segments: list[list[str | Formula]] = [[]]
    for part in compile_template(text).parts:
        if isinstance(part, Formula) or literal_dots:
            segments[-1].append(part)
            continue
        first, *others = part.split(".")
        segments[-1].append(first)
        segments += [[other] for other in others]
    return Key([_segment(parts) for parts in segments])


def _segment(parts: list[str | Formula]) -> str | Template:
    kept = [part for part in parts if part != ""]
    made = Template("", kept)
    return "".join(str(part) for part in kept) if made.constant else made


def _written(template: Template, run: Run) -> str:
    value = template.value(run)
    return value if isinstance(value, str) else "" if value is None or value is FAILED else str(value)


def _of_text(template: Template) -> Evaluate:
    (first, *others) = template.parts
    property_alone = not others and isinstance(first, Formula) and _is_property(first)

    def evaluate(run: Run) -> object:
        value = template.value(run)
        return ABSENT if value is FAILED or (value is None and property_alone) else value

    return evaluate


def _is_property(formula: Formula) -> bool:
    """Whether it reads a property and computes nothing."""
    tree = formula.tree
    return isinstance(tree, Path) or (isinstance(tree, Call) and tree.name == "GET")


def _problems(path: str, value: object) -> Iterator[Problem]:
    if isinstance(value, str):
        try:
            compile_template(value)
        except FormulaError as error:
            yield Problem(path, f"line {error.line}, column {error.column}: {error.message}", error.fix)
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _problems(f"{path}.{key}", member)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _problems(f"{path}.{index}", item)
