"""Specifications as JSON Schema and back."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped] # it has no types
import msgspec
import pytest
from hypothesis import given, settings
from typer.testing import CliRunner

from tests.unit.process.specified import configured, event
from tests.unit.process.test_specification_property import specifications
from turnout.cli import app
from turnout.model.specification import Specification
from turnout.specification.jsonschema import exported, imported
from turnout.specification.shape import Shapes

WHOLE = {
    "actions": {"production": {"missing": "reject"}},
    "properties": {"user.card": {"type": "string", "pattern": "^[0-9]+$", "pii": True}},
    "events": {
        "subscribe": {
            "label": "Subscribed",
            "properties": {
                "plan": {"type": "string", "enum": ["basic", "pro"], "required": True},
                "lines": {"type": "array<object>", "min_items": 1},
                "lines.price": {"type": "number", "minimum": 0, "required": True},
                "codes": {"type": "set<string>"},
                "site": {"type": ["string", "array<string>"], "nullable": True},
                "when": {"type": "string", "format": "iso8601"},
            },
        },
        "purchase": {"properties": {"type": {"required": False}}},
    },
}


def read(fields: object) -> Specification:
    return configured(fields).specifications["29"]


def test_what_is_exported_is_read_back() -> None:
    specification = read(WHOLE)
    document = json.loads(json.dumps(exported(specification, "x")))
    assert read(imported(document)) == specification


@settings(max_examples=100, deadline=None)
@given(specifications())
def test_without_our_own_words_every_event_still_means_the_same(specification: Specification) -> None:
    document = msgspec.json.decode(msgspec.json.encode(exported(specification, "x")), type=dict[str, object])
    assert read(imported(document)) == specification
    del document["x-turnout"]
    again = read({"standard": False, **imported(document)})
    assert _declared(again) == _declared(specification)


def _declared(specification: Specification) -> dict[str, object]:
    """The event's own properties in its exported schema."""
    document = json.loads(json.dumps(exported(specification, "x")))
    properties: dict[str, object] = document["$defs"]["e"]["properties"]
    return {name: schema for name, schema in properties.items() if name not in ("user", "context")}


GOOD = event("subscribe", plan="pro", lines=[{"price": 1}], codes=["a"], site=None, when="2026-01-01T00:00:00Z")
BAD: list[dict[str, object]] = [
    {"plan": "gold"}, {"plan": 5}, {"lines": []}, {"lines": [{"price": -1}]}, {"lines": [{}]}, {"codes": ["a", "a"]},
    {"site": {}}, {"user": {"consistent_anonymous_id": "1", "card": "x"}},
]  # fmt: skip


def test_any_validator_can_use_it() -> None:
    document = exported(read(WHOLE), "Events of site 29")
    jsonschema.Draft202012Validator.check_schema(document)
    validator = jsonschema.Draft202012Validator(document)
    assert validator.is_valid(GOOD)
    for changed in BAD:
        assert not validator.is_valid({**GOOD, **changed}), changed
    assert not validator.is_valid(event("search"))
    assert validator.is_valid(event("search", search_term="x"))
    assert validator.is_valid(event("unheard_of"))


FOREIGN: dict[str, object] = {
    "definitions": {
        "money": {"type": "number", "exclusiveMinimum": 0, "minimum": 0},
        "signup": {
            "title": "Signed up",
            "properties": {
                "event_name": {"enum": ["signup"]},
                "price": {"$ref": "#/definitions/money"},
                "mail": {"type": ["string", "null"], "format": "email"},
                "address": {"properties": {"city": {"type": "string"}}, "required": ["city"]},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 9}, "uniqueItems": True},
                "free": {},
                "fixed": {"const": "x", "type": "string"},
            },
            "required": ["price"],
        },
    }
}


def test_schemas_of_others_are_read() -> None:
    assert imported(FOREIGN) == {
        "events": {
            "signup": {
                "label": "Signed up",
                "properties": {
                    "price": {"type": "number", "minimum": 0, "required": True},
                    "mail": {"type": "string", "nullable": True, "format": "email"},
                    "address": {"type": "object"},
                    "address.city": {"type": "string", "required": True},
                    "tags": {"type": "set<string>", "max_length": 9},
                    "free": {"type": "any"},
                    "fixed": {"type": "string", "enum": ["x"]},
                },
            }
        }
    }
    assert Shapes(read(imported(FOREIGN))).of("signup") is not None


@pytest.mark.parametrize("document", [{}, {"$ref": "#"}, {"allOf": [{"$ref": "#/allOf/0"}]}, {"properties": []}])
def test_a_document_without_events_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no schema in it has an event name"):
        imported(document)


def test_the_commands(tmp_path: Path) -> None:
    config = tmp_path / "turnout.yaml"
    site = {"sources": {"shop": {"type": "server", "key": "k"}}, "specification": WHOLE}
    config.write_text(json.dumps({"sites": {"29": site}}))
    run = CliRunner()
    schema = run.invoke(app, ["spec", "export", "--json-schema", "--config", str(config)])
    plain = run.invoke(app, ["spec", "export", "--config", str(config)])
    back = run.invoke(app, ["spec", "import", "-"], input=schema.stdout)
    assert (schema.exit_code, plain.exit_code, back.exit_code) == (0, 0, 0)
    assert back.stdout == plain.stdout
    assert "lines.price: {type: number, required: true, minimum: 0}" in plain.stdout
    assert run.invoke(app, ["spec", "import", "-"], input="[]").exit_code == 2
