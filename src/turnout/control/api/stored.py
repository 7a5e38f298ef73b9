"""Dynamic values as the vendor's API stores them → the texts that `turnout.yaml` has (`formulas.md` §9). Pure.

A stored value is an object: `expression_text` as somebody typed it, in the language `_language`, and `expression`, the
tree that this was compiled to. The text counts; where there is none, the tree is read back. Old exports write paths
with `properties.` in front, which events here do not have.
"""

from collections.abc import Callable, Mapping

from turnout.control.api import filters
from turnout.control.api.problems import ApiError, Fault, Place
from turnout.formula import Formula, FormulaError, Run, Template, compile_formula, compile_template, text_of
from turnout.formula.tree import Constant, Path, walk

_TEXT, _TREE, _LANGUAGE = "expression_text", "expression", "_language"
_TEMPLATE = "TEMPLATE"
_MODE, _CUSTOM = "_filterMode", "_customText"
_OLD = "properties."
_OTHER = {"rename": "to", "map": "from"}
_ROWS = ("customEventMapping", "customEventPropertiesTable")


def plain(given: Mapping[str, object], pointer: str) -> dict[str, object]:
    """The parameters of a destination at `pointer`, with text in the place of every stored value.

    What is none stays as it is. Raises `ApiError` 422 with all that is wrong.
    """
    faults: list[Fault] = []
    made: dict[str, object] = {}
    for name, value in given.items():
        where = f"{pointer}/{name}"
        if name == "mapping" and isinstance(value, list):
            made[name] = [_change(row, f"{where}/{index}", faults) for index, row in enumerate(value)]
        elif name in _ROWS and isinstance(value, list):
            as_template = name == "customEventMapping"
            made[name] = [_row(row, f"{where}/{index}", as_template, faults) for index, row in enumerate(value)]
        else:
            made[name] = _value(value, where, faults)
    if faults:
        raise ApiError(422, faults)
    return made


def is_stored(value: object) -> bool:
    """Whether this is a stored value."""
    return isinstance(value, Mapping) and (
        not value.keys().isdisjoint((_TEXT, _TREE, _LANGUAGE)) or value.get("type") in filters.TYPES
    )


def is_stored_filter(value: Mapping[str, object]) -> bool:
    """Whether this is a filter as it is stored: how it was made stands in it."""
    return not value.keys().isdisjoint((_MODE, _CUSTOM))


def filter_of(value: Mapping[str, object], pointer: str) -> str:
    """The formula of a stored filter: its text if it was typed, else its tree. Raises `ApiError` 422."""
    text = value.get(_CUSTOM)
    tree = {name: one for name, one in value.items() if name not in (_MODE, _CUSTOM)}
    typed = value.get(_MODE, "custom") == "custom" and isinstance(text, str) and text.strip()
    faults: list[Fault] = []
    found = _read(formula_of, {_TEXT: text} if typed else tree, pointer, faults)
    if faults:
        raise ApiError(422, faults)
    return str(found)


def formula_of(value: Mapping[str, object], pointer: str) -> str:
    """The formula that a stored value at `pointer` stands for. Raises `ApiError` 422, `FormulaError`."""
    text, tree = value.get(_TEXT), value.get(_TREE)
    if isinstance(text, str) and text.strip():
        return _joined(compile_template(text)) if value.get(_LANGUAGE) == _TEMPLATE else _text(compile_formula(text))
    if "type" in value:
        return filters.formula_of(_renamed(value), pointer)
    if isinstance(tree, Mapping):
        return formula_of(tree, f"{pointer}/{_TREE}")
    raise ApiError(422, [_wrong(pointer, f"has neither {_TEXT} nor a tree in {_TREE}")])


def template_of(value: Mapping[str, object], pointer: str) -> str:
    """The same as a text with `{{ }}`. Raises `ApiError` 422, `FormulaError`."""
    text = value.get(_TEXT)
    if isinstance(text, str) and value.get(_LANGUAGE) == _TEMPLATE:
        return "".join(_island(part) for part in compile_template(text).parts)
    return _island(compile_formula(formula_of(value, pointer)))


def _change(row: object, pointer: str, faults: list[Fault]) -> object:
    """A row of `mapping`: in stored ones the other name of `rename` and `map` is their expression."""
    if not isinstance(row, Mapping):
        return row
    found = {name: value for name, value in row.items() if name not in (_TEXT, _TREE, _LANGUAGE)}
    other, expression = _OTHER.get(str(row.get("action"))), row.get(_TREE)
    if other is not None and other not in row and (expression is not None or _TEXT in row):
        name = expression if isinstance(expression, str) else row.get(_TEXT)
        if not isinstance(name, str):
            faults.append(_wrong(f"{pointer}/{_TREE}", f"must be the name of a property, for action: {row['action']}"))
            return row
        return _of_old(found) | {other: name.removeprefix(_OLD)}
    if _TEXT not in row and not isinstance(expression, Mapping):
        return row
    stored = {name: row[name] for name in (_TEXT, _TREE, _LANGUAGE) if name in row}
    return _of_old(found) | {_TREE: _read(formula_of, stored, pointer, faults)}


def _row(row: object, pointer: str, as_template: bool, faults: list[Fault]) -> object:
    """A row of `name` and `value`, of which each may be stored."""
    if not isinstance(row, Mapping):
        return row
    found = dict(row)
    for name, read in (("name", template_of), ("value", template_of if as_template else formula_of)):
        if is_stored(row.get(name)):
            found[name] = _read(read, row[name], f"{pointer}/{name}", faults)
    return found


def _value(value: object, pointer: str, faults: list[Fault]) -> object:
    return _read(formula_of, value, pointer, faults) if is_stored(value) else value


def _read(read: Callable[[Mapping[str, object], str], str], value: object, pointer: str, faults: list[Fault]) -> object:
    """What is read of a stored value; what is wrong is noted."""
    assert isinstance(value, Mapping)
    try:
        return read(value, pointer)
    except ApiError as error:
        faults += error.faults
    except FormulaError as error:
        faults.append(_wrong(f"{pointer}/{_TEXT}", str(error)))
    return value


def _of_old(row: Mapping[str, object]) -> dict[str, object]:
    name = row.get("property")
    return {**row, "property": name.removeprefix(_OLD)} if isinstance(name, str) else dict(row)


def _joined(template: Template) -> str:
    """A text with `{{ }}` as a formula: null is nothing in both."""
    parts = [text_of(Constant(part)) if isinstance(part, str) else _text(part) for part in template.parts]
    return parts[0] if len(parts) == 1 else f"CONCAT({', '.join(parts)})"


def _island(part: str | Formula) -> str:
    if isinstance(part, Formula) and not (isinstance(part.tree, Constant) and isinstance(part.tree.value, str)):
        return f"{{{{{_text(part)}}}}}"
    text = part if isinstance(part, str) else str(part.value(Run({}, 0)))
    return text.replace("{{", r"\{{")


def _text(formula: Formula) -> str:
    """A formula as it was typed, without the old prefix of paths."""
    text = formula.text
    paths = [
        one.at for one in walk(formula.tree) if isinstance(one, Path) and f"{one.parts[0]}." == _OLD and one.parts[1:]
    ]
    for at in sorted(paths, reverse=True):
        text = text[:at] + text[at:].removeprefix(_OLD)
    return text.strip()


def _renamed(tree: object) -> object:
    """A tree without the old prefix of paths."""
    if isinstance(tree, list):
        return [_renamed(one) for one in tree]
    if not isinstance(tree, Mapping):
        return tree
    name = tree.get("name")
    if tree.get("type") == "property" and isinstance(name, str):
        return {**tree, "name": name.removeprefix(_OLD)}
    return {key: _renamed(one) if key == "operands" else one for key, one in tree.items()}


def _wrong(pointer: str, detail: str) -> Fault:
    return Fault("INVALID_PROPERTY_FORMAT", detail, Place(pointer=pointer))
