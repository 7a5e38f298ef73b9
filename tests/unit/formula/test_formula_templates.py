"""Text with `{{ }}` islands (`formulas.md` §9)."""

import pytest

from tests.support.formulas import run_on
from turnout.formula import FAILED, FormulaError, compile_template, limits

EVENT: dict[str, object] = {"price": "12,30", "n": 2.0, "t": True, "none": None, "list": [1, 2], "a}}b": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{price}}", "12,30"),
        ("price", "price"),
        ("{{price}} excl.taxes", "12,30 excl.taxes"),
        ("", ""),
        ("{{ n }}", 2),
        ("{{ n * 2 }}", 4),
        ("{{t}}", True),
        ("{{list}}", [1, 2]),
        ("{{none}}", None),
        ("{{missing}}", None),
        (" {{none}}", " "),
        ("{{n}}{{t}}{{none}}{{list}}", "2true[1,2]"),
        (r"\{{n}} is {{n}}", "{{n}} is 2"),
        (r"\{{", "{{"),
        ("a }} b { c }", "a }} b { c }"),
        ('{{ "}}" }}!', "}}!"),
        ('{{ GET("a}}b") }}', 1),
        (r'{{ "\"}}" }}', '"}}'),
        ("{{ {a: {b: n}}}}", {"a": {"b": 2}}),
        ("https://x/{{LOWER(CONCAT('A', n))}}?t={{t}}", "https://x/a2?t=true"),
    ],
)
def test_a_template_gives(text: str, expected: object) -> None:
    value = compile_template(text).value(run_on(EVENT))
    assert (value, type(value)) == (expected, type(expected))


def test_a_template_without_islands_is_constant() -> None:
    assert compile_template(r"a \{{b}}").constant
    assert not compile_template("{{b}}").constant


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a {{ b", 3, "not closed"),
        ('a {{ "b }}', 3, "not closed"),
        ("a {{}}", 5, "empty"),
        ("a {{ b + }}", 10, "a value is missing"),
        ("{{a}} {{ FOO(1) }}", 10, "no function FOO"),
        ("x" * (limits.TEXT_CHARACTERS + 1), 1, "10000 characters"),
    ],
)
def test_a_mistake_is_named_with_its_place_in_the_whole_text(text: str, column: int, message: str) -> None:
    with pytest.raises(FormulaError, match=message) as caught:
        compile_template(text)
    assert caught.value.column == column
    assert caught.value.text == text


def test_an_island_that_fails_and_a_text_too_long_fail_the_whole() -> None:
    long = {"long": "x" * limits.RESULT_BYTES}
    for text in ("a {{long + long}}", "{{long}}{{long}}"):
        run = run_on(long)
        assert compile_template(text).value(run) is FAILED
        assert list(run.warnings) == ["limit"]


def test_a_template_within_an_array_reads_the_element() -> None:
    assert compile_template("{{id}}-{{root.n}}", within="items").value(run_on(EVENT), {"id": "A"}, 0) == "A-2"
