"""A specification as JSON Schema, and JSON Schema as a specification (`processing.md` §5.1).

An exported document says of every event what it must look like, for any validator. Beside that it keeps the
specification as it is written, under `x-turnout`, because JSON Schema has no words for actions and definitions: that is
what is read back. Of any other document the events are read, each a schema whose `event_name` is a constant.
"""

from collections.abc import Iterator, Mapping
from typing import get_args

from turnout.model.specification import FormatName, Property, Specification
from turnout.specification.catalogue import CATALOGUE, Rule
from turnout.specification.shape import EventShape, Members, Shape, Shapes
from turnout.specification.written import written

DIALECT = "https://json-schema.org/draft/2020-12/schema"
OURS = "x-turnout"
_RULES: Mapping[str, tuple[str, str]] = {
    "enum": ("enum", "string number integer id"), "pattern": ("pattern", "string id"),
    "min_length": ("minLength", "string id"), "max_length": ("maxLength", "string id"),
    "minimum": ("minimum", "number integer"), "maximum": ("maximum", "number integer"),
    "min_items": ("minItems", "array"), "max_items": ("maxItems", "array"),
}  # fmt: skip
"""By our word: that of JSON Schema, and the types that it holds for."""
_FORMATS = {"url": "uri", "iso8601": "date-time"}
_OUR_FORMATS = {_FORMATS.get(name, name): name for name in get_args(FormatName)}
_DEPTH = 32

Schema = dict[str, object]


def exported(specification: Specification, title: str) -> Schema:
    """The document of a specification: a schema for each of its events, standard ones included."""
    shapes = Shapes(specification)
    names = [*(CATALOGUE.events if specification.standard else ()), *specification.events]
    events = {name: shape for name in dict.fromkeys(names) if (shape := shapes.of(name)) is not None}
    return {
        "$schema": DIALECT,
        "title": title,
        "type": "object",
        "required": ["event_name"],
        "allOf": [
            {
                "if": {"properties": {"event_name": {"const": name}}, "required": ["event_name"]},
                "then": {"$ref": f"#/$defs/{_pointer(name)}"},
            }
            for name in events
        ],
        "$defs": {name: _event(name, shape, specification) for name, shape in events.items()},
        OURS: written(specification),
    }


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").replace("%", "%25")


def _event(name: str, shape: EventShape, specification: Specification) -> Schema:
    schema = _object(shape.members)
    known = schema["properties"]
    assert isinstance(known, dict)
    known["event_name"] = {"const": name}
    own = specification.events.get(name)
    if own is not None and own.label:
        schema["title"] = own.label
    if own is not None and own.description:
        schema["description"] = own.description
    if shape.rules:
        schema["allOf"] = [_rule(rule) for rule in shape.rules]
    return schema


def _rule(rule: Rule) -> Schema:
    if rule.any_of_required:
        return {"anyOf": [{"required": [name]} for name in rule.any_of_required]}
    present = [{"required": [name]} for name in rule.if_any_present]
    return {"if": {"anyOf": present}, "then": {"required": list(rule.then_required)}}


def _object(members: Members) -> Schema:
    schema: Schema = {"type": "object"}
    if members:
        schema["properties"] = {name: _property(shape) for name, shape in members.items()}
    if required := [name for name, shape in members.items() if shape.required]:
        schema["required"] = required
    return schema


def _property(shape: Shape) -> Schema:
    entry = shape.property
    kinds = [_kind(kind, shape) for kind in entry.kinds]
    if entry.nullable:
        kinds.append({"type": "null"})
    schema: Schema = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if entry.label:
        schema["title"] = entry.label
    if entry.description:
        schema["description"] = entry.description
    if entry.pii:
        schema["x-pii"] = True
    return schema


def _kind(kind: str, shape: Shape) -> Schema:
    structure, _, inner = kind.rstrip(">").partition("<")
    if inner:
        schema: Schema = {"type": "array", "items": _kind(inner, shape), **_rules("array", shape.property)}
        return {**schema, "uniqueItems": True} if structure == "set" else schema
    if kind == "object":
        return _object(shape.members)
    if kind == "any":
        return {}
    return {"type": ["string", "integer"] if kind == "id" else kind, **_rules(kind, shape.property)}


def _rules(kind: str, entry: Property) -> Schema:
    found: Schema = {}
    for ours, (theirs, kinds) in _RULES.items():
        value = getattr(entry, ours)
        if kind in kinds.split() and value is not None and value != ():
            found[theirs] = list(value) if isinstance(value, tuple) else value
    if entry.format is not None and kind in ("string", "id"):
        found["format"] = _FORMATS.get(entry.format, entry.format)
    return found


def imported(document: Schema) -> Schema:
    """The specification of a document, as the configuration would have it; nothing of it is checked.

    Raises ValueError if no event is in it.
    """
    ours = document.get(OURS)
    if isinstance(ours, dict):
        return ours
    events: Schema = {}
    for name, schema in _events(document, document, 0):
        properties: Schema = {}
        _read_members(document, schema, "", properties, 0)
        properties.pop("event_name", None)
        fields: Schema = {"label": schema.get("title"), "description": schema.get("description")}
        fields["properties"] = properties
        events[name] = {key: value for key, value in fields.items() if value}
    if not events:
        raise ValueError('no schema in it has an event name: {"properties": {"event_name": {"const": "purchase"}}}')
    return {"events": events}


def _events(document: Schema, schema: object, depth: int) -> Iterator[tuple[str, Schema]]:
    """Every schema in a document whose event name is a constant."""
    if not isinstance(schema, dict) or depth > _DEPTH:
        return
    schema = _resolved(document, schema)
    name = _constant(schema)
    if name is not None:
        yield name, schema
        return
    condition = schema.get("if")
    if isinstance(condition, dict) and (name := _constant(condition)) is not None:
        then = schema.get("then")
        if isinstance(then, dict):
            yield name, _resolved(document, then)
        return
    for word in ("allOf", "anyOf", "oneOf"):
        several = schema.get(word)
        for one in several if isinstance(several, list) else ():
            yield from _events(document, one, depth + 1)
    for word in ("$defs", "definitions"):
        named = schema.get(word)
        for one in named.values() if isinstance(named, dict) else ():
            yield from _events(document, one, depth + 1)


def _constant(schema: Schema) -> str | None:
    properties = schema.get("properties")
    event_name = properties.get("event_name") if isinstance(properties, dict) else None
    if not isinstance(event_name, dict):
        return None
    listed = event_name.get("enum")
    value = listed[0] if isinstance(listed, list) and len(listed) == 1 else event_name.get("const")
    return value if isinstance(value, str) else None


def _resolved(document: Schema, schema: Schema) -> Schema:
    """The schema that a reference inside the document leads to; the schema itself if it leads nowhere."""
    for _ in range(_DEPTH):
        target = schema.get("$ref")
        if not isinstance(target, str) or not target.startswith("#/"):
            break
        here: object = document
        for part in target[2:].split("/"):
            key = part.replace("%25", "%").replace("~1", "/").replace("~0", "~")
            here = here.get(key) if isinstance(here, dict) else None
        if not isinstance(here, dict):
            break
        schema = here
    return schema


def _read_members(document: Schema, schema: Schema, at: str, found: Schema, depth: int) -> None:
    properties, required = schema.get("properties"), schema.get("required")
    for name, raw in properties.items() if isinstance(properties, dict) and depth < _DEPTH else ():
        if not isinstance(raw, dict):
            continue
        one, path = _resolved(document, raw), f"{at}{name}"
        fields, inside = _read(document, one)
        if isinstance(required, list) and name in required:
            fields["required"] = True
        found[path] = fields
        for holder in inside:
            _read_members(document, holder, f"{path}.", found, depth + 1)


def _read(document: Schema, schema: Schema) -> tuple[Schema, list[Schema]]:
    """The fields of a property, and the schemas of the objects in it."""
    several = next((schema[word] for word in ("anyOf", "oneOf") if isinstance(schema.get(word), list)), None)
    each = [_resolved(document, one) for one in several if isinstance(one, dict)] if isinstance(several, list) else []
    fields: Schema = {}
    kinds: list[str] = []
    inside: list[Schema] = []
    for one in each or [schema]:
        named = one.get("type")
        words = [word for word in (named if isinstance(named, list) else [named]) if isinstance(word, str)]
        if "null" in words:
            fields["nullable"] = True
        for word in words or (["object"] if "properties" in one else ["any"] if not each else []):
            if word == "array":
                items = one.get("items")
                element = _resolved(document, items) if isinstance(items, dict) else {}
                inner, below = _read(document, element)
                kind = inner.pop("type", "any")
                structure = "set" if one.get("uniqueItems") is True else "array"
                kinds.append(f"{structure}<{kind if isinstance(kind, str) and '<' not in kind else 'any'}>")
                fields |= inner
                inside += below
            elif word != "null":
                kinds.append(word)
            if word == "object":
                inside.append(one)
        fields |= {ours: one[theirs] for ours, (theirs, _) in _RULES.items() if theirs in one}
        if isinstance(form := one.get("format"), str) and form in _OUR_FORMATS:
            fields["format"] = _OUR_FORMATS[form]
        if isinstance(constant := one.get("const"), str | int | float):
            fields["enum"] = [constant]
    fields["type"] = kinds[0] if len(kinds) == 1 else kinds or "any"
    if schema.get("x-pii") is True:
        fields["pii"] = True
    for ours, theirs in (("label", "title"), ("description", "description")):
        if isinstance(text := schema.get(theirs), str) and text:
            fields[ours] = text
    return fields, inside
