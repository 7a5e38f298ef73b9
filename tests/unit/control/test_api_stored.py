"""Values as the vendor's API stores them become the formulas that they stand for."""

import pytest

from turnout.control.api.problems import ApiError, Place
from turnout.control.api.stored import filter_of, formula_of, plain, template_of

VALUE: dict[str, object] = {"type": "property", "name": "properties.value"}


def node(kind: str, *operands: object) -> dict[str, object]:
    return {"type": kind, "operands": list(operands)}


def typed(text: str, language: str = "TEMPLATE", tree: object = None) -> dict[str, object]:
    return {"expression_text": text, "_language": language, "expression": tree}


@pytest.mark.parametrize(
    ("stored", "formula", "template"),
    [
        (typed("{{price}}"), "price", "{{price}}"),
        (typed("price"), '"price"', "price"),
        (
            typed("{{price}} excl. {{ UPPER(tax) }}"),
            'CONCAT(price, " excl. ", UPPER(tax))',
            "{{price}} excl. {{UPPER(tax)}}",
        ),
        (typed("{{properties.price + properties.tax.rate}}"), "price + tax.rate", "{{price + tax.rate}}"),
        (typed("value * 1.2", "FORMULA"), "value * 1.2", "{{value * 1.2}}"),
        (typed('"a {{ b"', "FORMULA"), '"a {{ b"', r"a \{{ b"),
        (typed("{{now}}", tree={"type": "constant", "value": "then"}), "now", "{{now}}"),
        ({"expression": VALUE}, "value", "{{value}}"),
        ({"expression": {"type": "constant", "value": "x"}}, '"x"', "x"),
        (
            {"expression": {"expression": node(">", VALUE, {"type": "constant", "value": 3})}},
            "value > 3",
            "{{value > 3}}",
        ),
        (VALUE, "value", "{{value}}"),
    ],
)
def test_the_text_counts_and_without_one_the_tree(stored: dict[str, object], formula: str, template: str) -> None:
    assert formula_of(stored, "/p") == formula
    assert template_of(stored, "/p") == template


def test_parameters_are_taken_as_they_are_stored() -> None:
    stored: dict[str, object] = {
        "value": {"type": "property", "name": "properties.price"},
        "currency": "devise",
        "mapping": [
            {
                "action": "set",
                "property": "properties.total",
                **typed("properties.value * 2", "FORMULA", node(">", VALUE)),
            },
            {"action": "set", "property": "flag", "expression": {"type": "constant", "value": True}},
            {"action": "rename", "property": "properties.quantity", "expression": "properties.nb"},
            {"action": "map", "property": "currency", "expression": "properties.devise", "expression_text": "devise"},
            {"action": "delete", "property": "properties.kept_as_it_is"},
            {"action": "set", "property": "ours", "expression": "value * 2"},
        ],
        "customEventMapping": [
            {"name": typed("order"), "value": typed("Purchase {{kind}}")},
            {"name": "a", "value": "b"},
        ],
        "customEventPropertiesTable": [{"name": "plan", "value": typed("{{plan}}")}, {"name": "n", "value": "n + 1"}],
    }
    assert plain(stored, "/p") == {
        "value": "price",
        "currency": "devise",
        "mapping": [
            {"action": "set", "property": "total", "expression": "value * 2"},
            {"action": "set", "property": "flag", "expression": "true"},
            {"action": "rename", "property": "quantity", "to": "nb"},
            {"action": "map", "property": "currency", "from": "devise"},
            {"action": "delete", "property": "properties.kept_as_it_is"},
            {"action": "set", "property": "ours", "expression": "value * 2"},
        ],
        "customEventMapping": [{"name": "order", "value": "Purchase {{kind}}"}, {"name": "a", "value": "b"}],
        "customEventPropertiesTable": [{"name": "plan", "value": "plan"}, {"name": "n", "value": "n + 1"}],
    }


def test_everything_that_can_not_be_read_back_is_told_with_its_place() -> None:
    with pytest.raises(ApiError) as refused:
        plain(
            {
                "value": typed("{{price", "TEMPLATE"),
                "mapping": [
                    {
                        "action": "set",
                        "property": "a",
                        "expression": {"type": "soon", "operands": []},
                        "_language": "X",
                    },
                    {"action": "rename", "property": "b", "expression": {"type": "constant", "value": 1}},
                ],
                "customEventPropertiesTable": [{"name": "n", "value": {"_language": "TEMPLATE"}}],
            },
            "/p",
        )
    assert [fault.source for fault in refused.value.faults] == [
        Place(pointer="/p/value/expression_text"),
        Place(pointer="/p/mapping/0/expression/type"),
        Place(pointer="/p/mapping/1/expression"),
        Place(pointer="/p/customEventPropertiesTable/0/value"),
    ]


def test_a_stored_filter_is_its_text_if_it_was_typed() -> None:
    tree = node(">", VALUE, {"type": "constant", "value": 1})
    text = {"_customText": 'properties.value > 1 && currency = "EUR"'}
    assert filter_of({**tree, "_filterMode": "custom", **text}, "/f") == 'value > 1 && currency = "EUR"'
    assert filter_of(text, "/f") == 'value > 1 && currency = "EUR"'
    assert filter_of({**tree, "_filterMode": "custom", "_customText": ""}, "/f") == "value > 1"
    assert filter_of({**tree, "_filterMode": "simple", **text}, "/f") == "value > 1"
    with pytest.raises(ApiError):
        filter_of({"_filterMode": "custom", "_customText": "value >"}, "/f")
