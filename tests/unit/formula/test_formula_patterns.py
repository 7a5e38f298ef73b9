"""Patterns mean what they mean in JavaScript, and none can hang (`formulas.md` §7)."""

import re

import pytest

from tests.support.formulas import run_on, warned
from turnout.formula import FAILED, compile_formula, limits
from turnout.formula.pattern import Pattern, PatternError


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("a.c", "abc", ["abc"]),
        ("a.c", "a\nc", None),
        ("a.c", "a\u2028c", None),
        ("a$", "a\n", None),
        ("^b", "a\nb", None),
        ("b", "ABC", None),
        ("(?i)b", "ABC", ["B"]),
        (r"\s+", "x\u00a0\ufeff\v", ["\u00a0\ufeff\v"]),
        (r"[^\S]", "\u3000", ["\u3000"]),
        (r"[\s,]+", "a ,\u2009b", [" ,\u2009"]),
        (r"\S+", " é\u00a0", ["é"]),
        (r"\d", "٣", None),
        (r"\w", "é", None),
        (r"\bé", "é", None),
        ("[^]", "\n", ["\n"]),
        ("[]", "a", None),
        ("[[]", "[", ["["]),
        (r"[a\]]+", "a]a", ["a]a"]),
        (r"[\b]", "\b", ["\b"]),
        ("x{", "x{", ["x{"]),
        ("a{,5}", "aaa", None),
        ("a{2,3}?", "aaaa", ["aa"]),
        (r"(?<year>\d+)-(\d+)?", "2024-", ["2024-", "2024", None]),
        (r"\x41\u00e9\cJ\/\-\0", "Aé\n/-\0", ["Aé\n/-\0"]),
        (r"\ud83d\ude00", "😀", ["😀"]),
        (r"\p{L}+", "été", ["été"]),
        ("(a)|(b)", "b", ["b", None, "b"]),
        ("", "abc", [""]),
    ],
)
def test_a_pattern_matches_as_in_javascript(pattern: str, text: str, matches: list[str | None] | None) -> None:
    one = Pattern(pattern)
    assert one.test(text) == (matches is not None)
    assert [one.select(text, group) for group in range(one.groups + 1)] == (matches or [None] * (one.groups + 1))
    assert one.select(text, one.groups + 1) is None
    assert one.select(text, -1) is None


@pytest.mark.parametrize(
    ("pattern", "text", "replacement", "expected"),
    [
        ("b*", "abc", "-", "-a--c-"),
        ("", "é😀", "-", "-é-😀-"),
        ("(a)(b)?", "abac", "[$1$2]", "[ab][a]c"),
        ("(a)", "a", "$10 $01 $2 $0 $$1 $& $", "a0 a $2 $0 $1 a $"),
        ("(?<n>a)", "a", "$<n>$<m>", "a"),
        ("(a)", "a", "$<n>", "$<n>"),
        (r"\\", "a\\b", r"\1", r"a\1b"),
    ],
)
def test_a_replacement_is_read_as_in_javascript(pattern: str, text: str, replacement: str, expected: str) -> None:
    assert Pattern(pattern).replace(text, replacement, 1_000, lambda units: None) == expected


@pytest.mark.parametrize(
    ("pattern", "at", "message"),
    [
        ("ab(?=c)", 2, "look-ahead"),
        ("(?<!a)b", 0, "look-behind"),
        (r"(a)\1", 3, "back-references"),
        (r"(?<n>a)\k<n>", 7, "back-references"),
        ("a(?i)b", 1, "leading"),
        ("(?P<n>a)", 0, "leading"),
        ("a[bc", 1, "not closed"),
        (r"a\A", 1, "no meaning"),
        ("a\\", 1, "backslash"),
        ("(a", 0, "missing )"),
        ("a{2,1}", 0, "invalid repetition"),
        ("*a", 0, "no argument for repetition"),
        ("a" * (limits.PATTERN_CHARACTERS + 1), 0, "1000 characters"),
        ("((a{50}){50}){50}", 0, "repetition"),
        (r"(?:\p{L}{1,200})", 0, "too large"),
    ],
)
def test_what_cannot_run_in_linear_time_is_refused(pattern: str, at: int, message: str) -> None:
    with pytest.raises(PatternError, match=re.escape(message)) as caught:
        Pattern(pattern)
    assert caught.value.at == at


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(a|a)*b", r"(x+x+)+y", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(.*a){20}b", r"(\w+\s*)+\d$"]
)
@pytest.mark.parametrize("letter", ["a", "x", "é"])
def test_no_pattern_can_hang(pattern: str, letter: str) -> None:
    """Each of these takes a backtracking engine longer than the universe has lasted; the suite's time limit judges."""
    text = letter * limits.RESULT_BYTES + "!"
    assert not Pattern(pattern).test(text)


@pytest.mark.parametrize(
    "formula",
    [
        'REPLACE(text, "a(.*b)?", "")',
        'REPLACE(text, "a", "0123456789")',
        'FOR_EACH(many, REPLACE(root.text, "[^a]", ""))',
        'COUNT(many, root.text ~ "[ab]{300}c")',
        'SUBSTITUTE(text, "a", "0123456789")',
    ],
)
def test_work_and_results_stay_within_their_bounds(formula: str) -> None:
    event: dict[str, object] = {"text": "a" * limits.RESULT_BYTES, "many": [1] * limits.ELEMENTS}
    run = run_on(event)
    assert compile_formula(formula).value(run) is FAILED
    assert list(run.warnings) == ["limit"]


def test_a_text_too_long_to_search_does_not_match_and_warns() -> None:
    event: dict[str, object] = {"text": "a" * (limits.RESULT_BYTES + 1)}
    assert warned('text ~ "[a]"', event) == (False, ["text_too_long"])
    assert warned('SELECT(text, "[a]")', event) == (None, ["text_too_long"])


def test_lone_surrogates_match_nothing_and_break_nothing() -> None:
    event: dict[str, object] = {"text": "\ud800a"}
    assert warned('REPLACE(text, "[b]", "")', event) == ("?a", [])
