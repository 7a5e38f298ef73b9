"""`consent` and `filter` as they are written in the configuration, and every mistake in them."""

import pytest

from turnout.control.configfile import load
from turnout.control.routing import consent_of, filter_of
from turnout.formula import Row, condition, text_of
from turnout.formula.rows import OPERATORS
from turnout.model.errors import ConfigError, Problem
from turnout.model.requirement import Consent

CONSENTS: list[tuple[object, Consent | None]] = [
    (None, None),
    ([], None),
    ({"categories": []}, None),
    ("3", Consent(categories=("3",))),
    ("C0003", Consent(categories=("C0003",))),
    (["3"], Consent(categories=("3",))),
    (["3", "4"], Consent(categories=("3", "4"))),
    (["3", "3"], Consent(categories=("3",))),
    ({"categories": ["3", "4"]}, Consent(categories=("3", "4"))),
    ({"categories": "3"}, Consent(categories=("3",))),
    ({"categories": ["3", "4"], "mode": "any"}, Consent(categories=("3", "4"), mode="any")),
    ({"categories": ["3", "4"], "mode": "all"}, Consent(categories=("3", "4"), mode="all")),
]


@pytest.mark.parametrize(("value", "expected"), CONSENTS)
def test_consent(value: object, expected: Consent | None) -> None:
    problems: list[Problem] = []
    assert consent_of(value, "c", problems) == expected
    assert problems == []


CONSENT_PROBLEMS: list[tuple[object, str, str]] = [
    ("", "c", "is empty"),
    (" ", "c", "is empty"),
    ([""], "c[0]", "is empty"),
    (3, "c", "must be text"),
    (True, "c", "must be text"),
    (["3", 4], "c[1]", "must be text"),
    (["3", None], "c[1]", "must be text"),
    ([["3"]], "c[0]", "must be text"),
    ({}, "c.categories", "is missing"),
    ({"category": ["3"]}, "c.category", "is not known"),
    ({"categories": [""]}, "c.categories[0]", "is empty"),
    ({"categories": {"3": True}}, "c.categories", "must be categories"),
    ({"categories": ["3"], "mode": "some"}, "c.mode", "'some' is not one of all, any"),
    ({"categories": ["3"], "mode": None}, "c.mode", "None is not one of all, any"),
]


@pytest.mark.parametrize(("value", "path", "message"), CONSENT_PROBLEMS)
def test_wrong_consent(value: object, path: str, message: str) -> None:
    problems: list[Problem] = []
    consent_of(value, "c", problems)
    assert (path, message) in [(problem.path, problem.message) for problem in problems]


def test_an_advanced_filter_stays_as_it_is_written() -> None:
    assert filter_of("value  >  0", "f", []) == "value  >  0"


@pytest.mark.parametrize("value", [None, []])
def test_no_filter(value: object) -> None:
    problems: list[Problem] = []
    assert filter_of(value, "f", problems) == ""
    assert problems == []


ROWS: list[tuple[object, str]] = [
    ([{"property": "value", "operator": "exists"}], "EXISTS(value)"),
    ([{"property": "event_name", "operator": "is", "value": "purchase"}], 'event_name = "purchase"'),
    ([{"property": "a", "operator": "is", "values": ["b", 2, True]}], 'a IN ("b", 2, true)'),
    ([{"property": "a", "operator": "is", "value": -2.5}], "a = -2.5"),
    (
        [{"property": "a", "operator": "isn't", "value": 1}, {"property": "b", "operator": "is empty"}],
        "a != 1 && ISEMPTY(b)",
    ),
    ([{"property": "x y", "operator": "exists"}], 'EXISTS(GET("x y"))'),
]


@pytest.mark.parametrize(("value", "formula"), ROWS)
def test_rows_become_a_formula(value: object, formula: str) -> None:
    problems: list[Problem] = []
    text = filter_of(value, "f", problems)
    assert problems == []
    assert text.replace(" ", "").replace("AND", "&&") == formula.replace(" ", "")


WORDS = {
    "is": "is", "isn't": "is not", "match regex": "matches", "matches regex": "matches",
    "doesn't match the regex": "does not match", "doesn't match regex": "does not match", "contains": "contains",
    "doesn't contain": "does not contain", "starts with": "starts with", "doesn't start with": "does not start with",
    "ends with": "ends with", "doesn't end with": "does not end with", "exists": "exists",
    "doesn't exist": "does not exist", "is empty": "is empty",
}  # fmt: skip


@pytest.mark.parametrize(("word", "operator"), [*WORDS.items(), *((one, one) for one in OPERATORS)])
def test_operators_have_our_words_and_those_of_the_interface(word: str, operator: str) -> None:
    values = () if operator in ("exists", "does not exist", "is empty") else ("v",)
    row: dict[str, object] = {"property": "p", "operator": word, **({"value": "v"} if values else {})}
    problems: list[Problem] = []
    assert filter_of([row], "f", problems) == text_of(condition([Row("p", operator, values)]))
    assert problems == []


_SCALAR = "must be text, a number, true or false"
FILTER_PROBLEMS: list[tuple[object, str, str]] = [
    ("", "f", "is empty"),
    ("  ", "f", "is empty"),
    (False, "f", "must be a formula or a list of rows"),
    ({"property": "a", "operator": "exists"}, "f", "must be a formula or a list of rows"),
    (["value > 0"], "f[0]", "must be a row"),
    ([{"operator": "exists"}], "f[0].property", "is missing"),
    ([{"property": 3, "operator": "exists"}], "f[0].property", "must be text"),
    ([{"property": "a"}], "f[0].operator", "is missing"),
    ([{"property": "a", "operator": "equals"}], "f[0].operator", "'equals' is no operator"),
    ([{"property": "a", "operator": "exists", "valu": 1}], "f[0].valu", "is not known"),
    ([{"property": "a", "operator": "is"}], "f[0]", "'is' takes a value"),
    ([{"property": "a", "operator": "exists", "value": 1}], "f[0]", "'exists' takes no values"),
    ([{"property": "a", "operator": "is", "value": None}], "f[0].value", _SCALAR),
    ([{"property": "a", "operator": "is", "value": float("inf")}], "f[0].value", _SCALAR),
    ([{"property": "a", "operator": "is", "values": "b"}], "f[0].values", "must be a list"),
    ([{"property": "a", "operator": "is", "values": []}], "f[0].values", "must be a list"),
    ([{"property": "a", "operator": "is", "values": ["b", [1]]}], "f[0].values[1]", _SCALAR),
    ([{"property": "a", "operator": "is", "value": 1, "values": [2]}], "f[0].values", "stands beside value"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "path", "message"), FILTER_PROBLEMS)
def test_wrong_filters(value: object, path: str, message: str) -> None:
    problems: list[Problem] = []
    assert not filter_of(value, "f", problems).strip()
    assert [(problem.path, problem.message) for problem in problems] == [(path, message)]
    assert all(problem.fix for problem in problems)


def test_a_wrong_pattern_is_a_problem_of_its_row() -> None:
    problems: list[Problem] = []
    good = {"property": "a", "operator": "exists"}
    filter_of([good, {"property": "a", "operator": "matches", "value": "("}], "f", problems)
    assert [problem.path for problem in problems] == ["f[1]"]


def test_more_rows_than_a_formula_may_have_characters_are_a_problem() -> None:
    problems: list[Problem] = []
    row = {"property": "a" * 50, "operator": "is", "value": "b" * 50}
    filter_of([row] * 200, "f", problems)
    assert [problem.path for problem in problems] == ["f"]


CONFIG = """
sites:
  "29":
    sources: {shop: {type: web, key: k}}
    destinations:
      orders:
        type: file
        sources: [shop]
        settings: {path: out.ndjson}
        consent: CONSENT
        filter: FILTER
"""


def test_a_configuration_holds_both() -> None:
    text = CONFIG.replace("CONSENT", '["3", "${EXTRA}"]').replace("FILTER", "'value > 0 && url ~ \"^/shop$\"'")
    found = load(text, {"EXTRA": "4"}).destinations["29/orders"]
    assert found.requirement.consent == Consent(categories=("3", "4"))
    assert found.requirement.filter == 'value > 0 && url ~ "^/shop$"'


def test_problems_are_reported_with_path_position_and_hint() -> None:
    with pytest.raises(ConfigError) as caught:
        load(CONFIG.replace("CONSENT", "3").replace("FILTER", "'value > 0 && LOWR(x)'"), {})
    consent, wrong = caught.value.problems
    where = 'sites."29".destinations.orders'
    assert str(consent) == f'{where}.consent: must be text (put the category in quotes: "3")'
    assert wrong.path == f"{where}.filter"
    assert wrong.message.startswith("line 1, column 14: ")
    assert "LOWER" in wrong.fix


def test_an_empty_variable_does_not_lift_the_requirement() -> None:
    with pytest.raises(ConfigError) as caught:
        load(CONFIG.replace("CONSENT", '"${CATEGORY:-}"').replace("FILTER", '"${RULE:-}"'), {})
    assert [problem.message for problem in caught.value.problems] == ["is empty", "is empty"]
