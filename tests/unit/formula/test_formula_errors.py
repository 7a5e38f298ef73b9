"""What cannot work is refused where it is wrong, in words, with a way out (`formulas.md` §2, §3, §11)."""

import pytest

from turnout.formula import FormulaError, compile_formula, limits


def refused(text: str) -> FormulaError:
    with pytest.raises(FormulaError) as caught:
        compile_formula(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "fix"),
    [
        ("", 1, 1, "the formula is empty", "null"),
        ("value * 1,2", 1, 10, "the decimal separator is a dot", "write 1.2"),
        ("a = b = c", 1, 7, "comparisons cannot be chained", "AND"),
        ("a < b IN(c)", 1, 7, "comparisons cannot be chained", "AND"),
        ("IF(a, b", 1, 8, "`)` is missing", ""),
        ("[1, 2", 1, 6, "`]` is missing", ""),
        ("{a: 1", 1, 6, "`}` is missing", ""),
        ("1 +", 1, 4, "a value is missing at the end", ""),
        ("1 + * 2", 1, 5, "a value is missing before `*`", ""),
        ("(1 + )", 1, 6, "a value is missing before `)`", ""),
        ("a b", 1, 3, "`b` cannot follow here", "operator is missing"),
        ("f(a))", 1, 5, "`)` cannot follow here", "closes no `(`"),
        ("a % 2", 1, 3, "`%` cannot follow here", "no `%` operator"),
        ("a ? b : c", 1, 3, "`?` cannot follow here", "IF("),
        ('"abc', 1, 1, "this text is not closed", 'close it with "'),
        ('SELECT("From A to Z", \'A(.*?)Z")', 1, 23, "this text is not closed", "'"),
        ('a = "say "hi""', 1, 11, "`hi` cannot follow here", r"\""),
        ("not.sold = 1", 1, 1, "`not.sold` cannot name a property", 'GET("not.sold")'),
        ("true.x", 1, 1, "`true.x` cannot name a property", 'GET("true.x")'),
        ("user.name(1)", 1, 10, "`user.name` is not a function", "no dot"),
        ("a +\n  b +\n  ", 3, 3, "a value is missing at the end", ""),
        ("1 +\n  LOVER(a)", 2, 3, "there is no function LOVER", "LOWER"),
        ("LEN(a)", 1, 1, "there is no function LEN", "LENGTH"),
        ("XYZZY(a)", 1, 1, "there is no function XYZZY", ""),
        ("IN(a)", 1, 1, "there is no function IN", ""),
        ("LEFT(a)", 1, 1, "LEFT takes 2 arguments, not 1", "LEFT(text, count)"),
        ("LEFT(a, 1, 2)", 1, 1, "LEFT takes 2 arguments, not 3", ""),
        ("SUBSTRING(a, 1, 2, 3)", 1, 1, "SUBSTRING takes 2 to 3 arguments, not 4", "[to]"),
        ("TODAY(1)", 1, 1, "TODAY takes no arguments", "TODAY()"),
        ("CONCAT()", 1, 1, "CONCAT takes at least 1 argument, not 0", ""),
        ("SWITCH(a, 1)", 1, 1, "SWITCH takes at least 3 arguments, not 2", ""),
        ("UPPER(a, b)", 1, 1, "UPPER takes 1 argument, not 2", ""),
        ("EXISTS(1 + 1)", 1, 8, "EXISTS takes a property", "ISEMPTY"),
        ('DATEADD(a, 1, "fortnights")', 1, 15, '"fortnights" is not a unit of time', "years, months"),
        ('AGE(a, "eons")', 1, 8, '"eons" is not a unit of time', ""),
        ('a ~ "(b"', 1, 5, "invalid pattern", ""),
        ('REPLACE(a, "[b", "")', 1, 12, "invalid pattern: this `[` is not closed", ""),
        ('SELECT(a, "(?=b)")', 1, 11, "invalid pattern: look-ahead and look-behind", ""),
        ("{a: 1, a: 2}", 1, 1, "'a' is given twice", ""),
        ("1e999", 1, 1, "this number is too large", ""),
        ("a = \ud800", 1, 5, "half a character", ""),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_way_out(
    text: str, line: int, column: int, message: str, fix: str
) -> None:
    error = refused(text)
    assert message in error.message
    assert fix in error.fix
    assert (error.line, error.column) == (line, column)
    assert str(error).startswith(f"line {line}, column {column}: {error.message}")


def test_the_pointer_shows_the_line_and_a_caret_under_the_place() -> None:
    assert refused('IF(a = 1,\n\tLOVER(a), "x")').pointer() == ' LOVER(a), "x")\n ^'
    long = refused(f'"{"x" * 500}" + FOO(1) + "{"y" * 500}"').pointer(40)
    shown, caret = long.split("\n")
    assert len(shown) <= 40
    assert shown[caret.index("^") :].startswith("FOO(1)")


@pytest.mark.parametrize(
    "text",
    [
        '"' + "x" * (limits.TEXT_CHARACTERS - 2) + '"',
        "(" * 2000 + "1" + ")" * 2000,
        "1" + " + 1" * 2000,
        "NOT " * (limits.NESTING - 1) + "a",
        "-" * (limits.NESTING - 1) + "a",
        "[" + "1," * (limits.LITERAL_ENTRIES - 1) + "1]",
    ],
    ids=["longest", "parentheses", "chain", "deepest", "minus", "entries"],
)
def test_what_is_just_within_its_limit_is_accepted(text: str) -> None:
    compile_formula(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"' + "x" * (limits.TEXT_CHARACTERS - 1) + '"', "10000 characters at most"),
        ("NOT " * limits.NESTING + "a", "nested deeper"),
        ("-" * limits.NESTING + "a", "nested deeper"),
        ("[" * limits.NESTING + "1" + "]" * limits.NESTING, "nested deeper"),
        ("IF(a, b, " * 900 + "c" + ")" * 900, "nested deeper"),
        ("[" + "1," * limits.LITERAL_ENTRIES + "1]", "1000 entries at most"),
        ("{" + ",".join(f"a{n}: 1" for n in range(limits.LITERAL_ENTRIES + 1)) + "}", "1000 entries at most"),
    ],
    ids=["longest", "deepest", "minus", "brackets", "functions", "array", "object"],
)
def test_what_is_beyond_a_limit_is_refused(text: str, message: str) -> None:
    assert message in refused(text).message


def test_a_quoted_property_in_an_aggregate_is_noted() -> None:
    (note,) = compile_formula('SUM(items, "price")').notes
    assert "without quotes" in note.message
    assert note.offset == 11
    assert compile_formula("SUM(items, price)").notes == ()
