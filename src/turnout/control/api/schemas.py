"""JSON Schema of our types, where msgspec needs help. Pure."""

import msgspec

from turnout.destinations import registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def anything(kind: type) -> dict[str, object]:
    """The schema of `object`; msgspec does not take an empty one."""
    if kind is object:
        return {"description": "Any JSON."}
    raise NotImplementedError


def settings_schema(config: type[msgspec.Struct]) -> dict[str, object]:
    """The schema of the settings of a type, in one piece; secret ones are `writeOnly`."""
    ref = "#/$defs/{name}"
    (reference,), parts = msgspec.json.schema_components([config], schema_hook=anything, ref_template=ref)
    own = parts.pop(str(reference["$ref"]).rpartition("/")[2])
    for field in msgspec.structs.fields(config):
        if registry.is_secret(field.type):
            own["properties"][field.encode_name] |= {"writeOnly": True}
    if "description" in own:
        own["description"] = " ".join(own["description"].split())
    return {"$schema": DIALECT, **own, **({"$defs": parts} if parts else {})}
