"""Specifications in `turnout.yaml`: what they become, and every way to get them wrong (`processing.md` §5.1)."""

import msgspec
import pytest

from turnout.control.configfile import load
from turnout.model.errors import ConfigError
from turnout.model.specification import Actions, EventSpecification, Property, Specification


def loaded(specification: object) -> Specification | None:
    site = {"sources": {"shop": {"type": "web", "key": "k"}}, "specification": specification}
    return load(msgspec.json.encode({"sites": {"29": site}}).decode(), {}).specifications.get("29")


def problems(specification: object) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigError) as caught:
        loaded(specification)
    prefix = 'sites."29".specification'
    return [(one.path.removeprefix(prefix).removeprefix("."), one.message, one.fix) for one in caught.value.problems]


def test_a_site_without_one_has_none_and_an_empty_one_is_one() -> None:
    assert loaded(None) is None
    assert loaded({}) == Specification()


def test_everything_given_is_taken() -> None:
    given = {
        "standard": False,
        "actions": {
            "prod": {"missing": "reject", "format": "omit", "events": "common", "properties": "omit_silently"},
            "staging": None,
        },
        "properties": {"user.card": {"type": "string", "pii": True, "label": "Card", "description": "Since 2020."}},
        "events": {
            "subscribe": {
                "label": "Subscribed",
                "description": "Paid.",
                "properties": {
                    "plan": {"type": "string", "enum": ["a", "b"], "required": True},
                    "seats": {"type": ["integer", "array<integer>"], "minimum": 1, "maximum": 9.5, "max_items": 3},
                    "code": {"type": "string", "pattern": "^[A-Z]+$", "min_length": 2, "max_length": 8},
                    "mail": {"type": "string", "format": "email", "nullable": True},
                    "value": None,
                },
            },
            "ping": None,
        },
    }
    assert loaded(given) == Specification(
        standard=False,
        actions={
            "production": Actions(missing="reject", format="omit", events="common", properties="omit_silently"),
            "staging": Actions(),
        },
        properties={"user.card": Property(type="string", pii=True, label="Card", description="Since 2020.")},
        events={
            "subscribe": EventSpecification(
                label="Subscribed",
                description="Paid.",
                properties={
                    "plan": Property(type="string", enum=("a", "b"), required=True),
                    "seats": Property(type=("integer", "array<integer>"), minimum=1, maximum=9.5, max_items=3),
                    "code": Property(type="string", pattern="^[A-Z]+$", min_length=2, max_length=8),
                    "mail": Property(type="string", format="email", nullable=True),
                    "value": Property(),
                },
            ),
            "ping": EventSpecification(),
        },
    )


def entry(**fields: object) -> dict[str, object]:
    return {"events": {"e": {"properties": {"p": fields}}}}


def listed(*names: str) -> dict[str, object]:
    return {"properties": {name: {"type": "string"} for name in names}}


WRONG: list[tuple[object, str, str]] = [
    ([], "", "must be a mapping"),
    ({"event": {}}, "event", "unknown setting"),
    ({"standard": "yes"}, "standard", "Expected `bool`, got `str`"),
    ({"actions": {"live": {}}}, "actions.live", "is no environment"),
    ({"actions": {"staging": {"missing": "omit"}}}, "actions.staging.missing", "Invalid enum value 'omit'"),
    ({"actions": {"staging": {"unknown": "omit"}}}, "actions.staging.unknown", "unknown setting"),
    ({"events": {" ": {}}}, 'events." "', "is no name for an event"),
    ({"events": {"e": []}}, "events.e", "Expected `object`, got `array`"),
    ({"events": {"e": {"label": "x" * 256}}}, "events.e.label", "Expected `str` of length <= 255"),
    (entry(type="text"), "events.e.properties.p.type", "'text' is no type"),
    (entry(type="array<text>"), "events.e.properties.p.type", "'array<text>' is no type"),
    (entry(type="id"), "events.e.properties.p.type", "'id' is no type"),
    (entry(type=["array<string>", "set<number>"]), "events.e.properties.p.type", "has more than one kind of list"),
    (entry(type=["any", "string"]), "events.e.properties.p.type", "has any beside others"),
    (entry(), "events.e.properties.p", "has no type, and is not defined elsewhere"),
    (entry(enum=["a"]), "events.e.properties.p.type", "is missing: enum would replace what is defined elsewhere"),
    (entry(type="number", enum=["a"]), "events.e.properties.p.enum[0]", "'a' is not of the type number"),
    (entry(type="string", enum=[1]), "events.e.properties.p.enum[0]", "1 is not of the type string"),
    (entry(type="boolean", enum=["a"]), "events.e.properties.p.enum", "has no effect with the type boolean"),
    (entry(type="string", minimum=1), "events.e.properties.p.minimum", "has no effect with the type string"),
    (entry(type="number", format="email"), "events.e.properties.p.format", "has no effect with the type number"),
    (entry(type="string", format="mail"), "events.e.properties.p.format", "Invalid enum value 'mail'"),
    (entry(type="string", max_items=1), "events.e.properties.p.max_items", "has no effect with the type string"),
    (entry(type="object", pattern="a"), "events.e.properties.p.pattern", "has no effect with the type object"),
    (entry(type="string", pattern="("), "events.e.properties.p.pattern", "column 1: missing )"),
    (entry(type="string", pattern="(?=a)"), "events.e.properties.p.pattern", "column 1: "),
    (entry(type="string", min_length=-1), "events.e.properties.p.min_length", "Expected `int` >= 0"),
    (entry(type="string", min_length=3, max_length=2), "events.e.properties.p.min_length", "is more than max_length"),
    (listed("a..b"), 'properties."a..b"', "is no path"),
    (listed("items.0.x"), 'properties."items.0.x"', "has a number in it"),
    (listed("event_name"), "properties.event_name", "is the event's name, which is always text"),
    (listed(".".join("a" * 33)), f'properties."{".".join("a" * 33)}"', "has more than 32 segments"),
    (listed("value.x"), 'properties."value.x"', "leads through value, which is of type number"),
    (listed("a", "a.b.c"), 'properties."a.b.c"', "leads through a, which is of type string"),
    ({"properties": {"unknown": {}}}, "properties.unknown", "has no type, and is not defined elsewhere"),
    (
        {"events": {"purchase": {"properties": {"id.x": {"type": "string"}}}}},
        'events.purchase.properties."id.x"',
        "leads through id, which is of type string",
    ),
]


@pytest.mark.parametrize(("specification", "path", "message"), WRONG)
def test_wrong(specification: object, path: str, message: str) -> None:
    (found,) = problems(specification)
    assert found[0] == path
    assert found[1].startswith(message)


def test_every_problem_is_told_with_its_place() -> None:
    given = {
        "properties": {"value.x": {"type": "string"}, "value.y": {"type": "string"}},
        "events": {
            "a": {"properties": {"one": {}, "two": {}}},
            "b": {"properties": {"three": {"type": "sting"}}},
        },
    }
    assert sorted(path for path, _, _ in problems(given)) == [
        "events.a.properties.one", "events.a.properties.two", "events.b.properties.three.type",
        'properties."value.x"', 'properties."value.y"',
    ]  # fmt: skip
    assert ("events.b.properties.three.type", "'sting' is no type", "did you mean string?") in problems(given)
