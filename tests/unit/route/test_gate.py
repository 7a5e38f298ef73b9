"""What an event must hold to pass: `processing.md` §7.2 and §7.3, the operators of `formulas.md` §9."""

import msgspec
import pytest

from turnout.formula import FormulaError, Row, condition, text_of
from turnout.formula.rows import OPERATORS
from turnout.model.outcome import Code
from turnout.model.requirement import NOTHING, Consent, Requirement, granted
from turnout.route.gate import PASSES, Gate, Verdict

NOW_MS = 1_764_000_000_000
_MISSING = object()


def event(categories: object = _MISSING, **more: object) -> dict[str, object]:
    user: dict[str, object] = {} if categories is _MISSING else {"consent_categories": categories}
    return {"user": user, **more}


GIVEN: list[tuple[dict[str, object], tuple[str, ...]]] = [
    (event(["1", "3"]), ("1", "3")),
    (event([1, 3]), ("1", "3")),
    (event([1, "3"]), ("1", "3")),
    (event(["C0003"]), ("C0003",)),
    (event([10019]), ("10019",)),
    (event("3"), ("3",)),
    (event(3), ("3",)),
    (event("1,3"), ("1,3",)),
    (event([" 3"]), (" 3",)),
    (event(["03"]), ("03",)),
    (event([]), ()),
    (event(), ()),
    (event(None), ()),
    (event(""), ()),
    (event(["", "3"]), ("3",)),
    (event(True), ()),
    (event([True, "3"]), ()),
    (event([None, "3"]), ()),
    (event([3.0]), ()),
    (event([["3"]]), ()),
    (event({"0": "3"}), ()),
    ({}, ()),
    ({"user": None}, ()),
    ({"user": "3"}, ()),
    ({"user": [{"consent_categories": ["3"]}]}, ()),
    ({"consent_categories": ["3"]}, ()),
    ({"user.consent_categories": ["3"]}, ()),
    ({"context": {"user": {"consent_categories": ["3"]}}}, ()),
]


@pytest.mark.parametrize(("payload", "expected"), GIVEN)
def test_categories_are_compared_as_text_and_what_is_malformed_grants_nothing(
    payload: dict[str, object], expected: tuple[str, ...]
) -> None:
    assert granted(payload) == expected


REQUIRED: list[tuple[tuple[str, ...], str, object, bool]] = [
    (("3",), "all", ["3"], True),
    (("3",), "all", [3], True),
    (("3",), "all", ["1", "3"], True),
    (("3",), "all", ["1"], False),
    (("3",), "all", ["33"], False),
    (("3",), "all", ["1,3"], False),
    (("3",), "all", [], False),
    (("3",), "all", _MISSING, False),
    (("3",), "any", ["3"], True),
    (("3",), "any", ["1"], False),
    (("3", "4"), "all", ["3", "4"], True),
    (("3", "4"), "all", [4, 3, 1], True),
    (("3", "4"), "all", ["3"], False),
    (("3", "4"), "any", ["3"], True),
    (("3", "4"), "any", [4], True),
    (("3", "4"), "any", ["1"], False),
    (("3", "4"), "any", [], False),
    (("C0003",), "all", ["C0003"], True),
    (("C0003",), "all", ["c0003"], False),
    (("3", "C0003"), "any", ["C0003", 8], True),
]


@pytest.mark.parametrize(("categories", "mode", "given", "passes"), REQUIRED)
def test_consent(categories: tuple[str, ...], mode: str, given: object, passes: bool) -> None:
    consent = msgspec.convert({"categories": categories, "mode": mode}, Consent)
    verdict = Gate(Requirement(consent=consent)).judge(event(given), NOW_MS)
    assert verdict == (PASSES if passes else Verdict(Code.FILTERED_CONSENT))


def test_without_a_requirement_everything_passes_unread() -> None:
    assert Gate(NOTHING).open
    assert Gate(NOTHING).judge(None, NOW_MS) == PASSES


def test_several_categories_must_all_be_given_unless_it_says_any() -> None:
    assert Consent(categories=("3", "4")).mode == "all"


THREE = Consent(categories=("3",))
ORDER: list[tuple[Consent | None, str, dict[str, object] | None, Code | None]] = [
    (THREE, "value > 0", event(["3"], value=1), None),
    (THREE, "value > 0", event(["3"], value=0), Code.FILTERED_CONDITION),
    (THREE, "value > 0", event(["1"], value=1), Code.FILTERED_CONSENT),
    (THREE, "value > 0", event(["1"], value=0), Code.FILTERED_CONSENT),
    (None, "value > 0", event(value=1), None),
    (None, "value > 0", event(value="none"), Code.FILTERED_CONDITION),
    (THREE, "", None, Code.FILTERED_CONSENT),
    (THREE, "NOT(EXISTS(value))", None, Code.FILTERED_CONSENT),
    (None, "NOT(EXISTS(value))", None, Code.FILTERED_CONDITION),
]


@pytest.mark.parametrize(("consent", "text", "payload", "expected"), ORDER)
def test_consent_comes_before_conditions_and_an_unreadable_event_never_passes(
    consent: Consent | None, text: str, payload: dict[str, object] | None, expected: Code | None
) -> None:
    assert Gate(Requirement(consent=consent, filter=text)).judge(payload, NOW_MS).code is expected


ADVANCED: list[tuple[str, dict[str, object], bool]] = [
    ('event_name = "purchase"', {"event_name": "purchase"}, True),
    ('event_name = "purchase"', {"event_name": "refund"}, False),
    ('event_name != "purchase"', {"event_name": "refund"}, True),
    ("value > 10", {"value": 11}, True),
    ("value > 10", {"value": 10}, False),
    ("value < 10", {"value": 9}, True),
    ('value > 10 AND currency = "EUR"', {"value": 11, "currency": "EUR"}, True),
    ('value > 10 AND currency = "EUR"', {"value": 11, "currency": "USD"}, False),
    ('value > 10 OR currency = "EUR"', {"value": 1, "currency": "EUR"}, True),
    ('LOWER(currency) = "eur"', {"currency": "EUR"}, True),
    ('items.id = "b"', {"items": [{"id": "a"}, {"id": "b"}]}, True),
    ('items.id = "c"', {"items": [{"id": "a"}, {"id": "b"}]}, False),
    ("value", {"value": 0}, False),
    ("value", {"value": 1}, True),
    ("value", {}, False),
    ("value", {"value": "no"}, True),
    ("false", {}, False),
]


@pytest.mark.parametrize(("text", "payload", "passes"), ADVANCED)
def test_an_advanced_filter_is_any_formula_and_passes_what_it_finds_true(
    text: str, payload: dict[str, object], passes: bool
) -> None:
    verdict = Gate(Requirement(filter=text)).judge(payload, NOW_MS)
    assert verdict == (PASSES if passes else Verdict(Code.FILTERED_CONDITION))


SIMPLE: list[tuple[Row, list[object], list[object]]] = [
    (Row("p", "is", ("v",)), ["v"], ["w", _MISSING]),
    (Row("p", "is", ("v", "w")), ["v", "w"], ["x", _MISSING]),
    (Row("p", "is not", ("v",)), ["w", _MISSING], ["v"]),
    (Row("p", "is not", ("v", "w")), ["x", _MISSING], ["v", "w"]),
    (Row("p", "matches", ("^a+$",)), ["aa"], ["ab", _MISSING]),
    (Row("p", "matches", ("^a+$", "^b+$")), ["aa", "b"], ["ab"]),
    (Row("p", "does not match", ("^a+$",)), ["ab", _MISSING], ["aa"]),
    (Row("p", "does not match", ("^a+$", "^b+$")), ["ab"], ["aa", "bb"]),
    (Row("p", "contains", ("b",)), ["abc"], ["ac", _MISSING]),
    (Row("p", "contains", ("b", "x")), ["abc", "xyz"], ["ac"]),
    (Row("p", "does not contain", ("b",)), ["ac", _MISSING], ["abc"]),
    (Row("p", "does not contain", ("b", "x")), ["ac"], ["abc", "xyz"]),
    (Row("p", "starts with", ("ab",)), ["abc"], ["cab", _MISSING]),
    (Row("p", "starts with", ("ab", "c")), ["abc", "cab"], ["b"]),
    (Row("p", "does not start with", ("ab",)), ["cab", _MISSING], ["abc"]),
    (Row("p", "ends with", ("bc",)), ["abc"], ["bca", _MISSING]),
    (Row("p", "ends with", ("bc", "a")), ["abc", "bca"], ["b"]),
    (Row("p", "does not end with", ("bc",)), ["bca", _MISSING], ["abc"]),
    (Row("p", "exists"), ["v", "", None, []], [_MISSING]),
    (Row("p", "does not exist"), [_MISSING], ["v", "", None]),
    (Row("p", "is empty"), ["", None, [], {}, _MISSING], ["v", 0, False]),
]


@pytest.mark.parametrize(("row", "passing", "stopped"), SIMPLE)
def test_every_simple_operator(row: Row, passing: list[object], stopped: list[object]) -> None:
    gate = Gate(Requirement(filter=text_of(condition([row]))))
    for value, expected in [(value, None) for value in passing] + [
        (value, Code.FILTERED_CONDITION) for value in stopped
    ]:
        payload: dict[str, object] = {} if value is _MISSING else {"p": value}
        assert gate.judge(payload, NOW_MS).code is expected, payload


def test_no_operator_is_left_out() -> None:
    assert {row.operator for row, _, _ in SIMPLE} == set(OPERATORS)


def test_rows_must_all_hold() -> None:
    rows = [Row("value", "exists"), Row("currency", "is", ("EUR", "USD"))]
    gate = Gate(Requirement(filter=text_of(condition(rows))))
    assert gate.judge({"value": 1, "currency": "USD"}, NOW_MS) == PASSES
    assert gate.judge({"value": 1, "currency": "JPY"}, NOW_MS).code is Code.FILTERED_CONDITION
    assert gate.judge({"currency": "USD"}, NOW_MS).code is Code.FILTERED_CONDITION


def test_a_filter_that_exceeds_a_bound_stops_the_event_and_says_why() -> None:
    gate = Gate(Requirement(filter='CONCAT(a, a, a, a) != "x"'))
    assert gate.judge({"a": "x"}, NOW_MS) == PASSES
    verdict = gate.judge({"a": "x" * 20_000}, NOW_MS)
    assert verdict.code is Code.FILTERED_CONDITION
    assert "longer than" in verdict.failure


def test_a_wrong_formula_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(FormulaError):
        Gate(Requirement(filter="value >"))
