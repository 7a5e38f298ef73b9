"""A specification as plain data, as the configuration has it. What has its default is left out."""

from collections.abc import Mapping

import msgspec

from turnout.model.specification import EventSpecification, Property, Specification


def written(specification: Specification) -> dict[str, object]:
    """The value of `sites.SITE.specification`."""
    actions = {name: _changed(one) for name, one in specification.actions.items()}
    whole: dict[str, object] = {
        "actions": {name: fields for name, fields in actions.items() if fields},
        "standard": specification.standard,
        "properties": _properties(specification.properties),
        "events": {name: _event(one) for name, one in specification.events.items()},
    }
    if specification.standard:
        del whole["standard"]
    return {name: value for name, value in whole.items() if value != {}}


def _event(event: EventSpecification) -> dict[str, object]:
    fields: dict[str, object] = {"label": event.label, "description": event.description}
    fields["properties"] = _properties(event.properties)
    return {name: value for name, value in fields.items() if value}


def _properties(listed: Mapping[str, Property]) -> dict[str, object]:
    return {path: msgspec.json.decode(msgspec.json.encode(one)) for path, one in listed.items()}


def _changed(fields: msgspec.Struct) -> dict[str, object]:
    defaults = type(fields)()
    return {name: value for name, value in msgspec.structs.asdict(fields).items() if value != getattr(defaults, name)}
