"""A tree is written with the fewest parentheses that keep its meaning, and in one way."""

import pytest

from turnout.formula import parse, text_of


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("1+2+3", "1 + 2 + 3"),
        ("(1+2)+3", "(1 + 2) + 3"),
        ("1-(2-3)", "1 - (2 - 3)"),
        ("(1*2)+(3/4)", "1 * 2 + 3 / 4"),
        ("(1+2)*3", "(1 + 2) * 3"),
        ("(1*2)*3", "(1 * 2) * 3"),
        ("-(1+2)", "-(1 + 2)"),
        ("-(-1)*2", "--1 * 2"),
        ("(a=b)=c", "(a = b) = c"),
        ("a == (b <> c)", "a = (b != c)"),
        ("(a and b) and c or d", "(a && b) && c || d"),
        ("a and (b or c)", "a && (b || c)"),
        ("(a or b) || c", "(a || b) || c"),
        ("not a = b", "NOT(a = b)"),
        ("(not a) = b", "(NOT(a)) = b"),
        ("not not a and b", "NOT(NOT(a)) && b"),
        ("a in('x')", 'a IN("x")'),
        ("a !in(b, c)", "a !IN(b, c)"),
        ("a contains('x')", 'a CONTAINS "x"'),
        ("a contains('x', 'y')", 'a CONTAINS("x", "y")'),
        ("a startswith (b and c)", "a STARTSWITH (b && c)"),
        ("a endswith (b + c)", "a ENDSWITH b + c"),
        ("a between ( 1 , 2 )", "a BETWEEN(1, 2)"),
        ("if (a,[ ],{ })", "IF(a, [], {})"),
        ("{a:1,'b-c':2,\"not\":3}", '{a: 1, "b-c": 2, not: 3}'),
        (r"'say \"hi\"\n' + '\s'", r'"say \"hi\"\n" + "\\s"'),
        ("“x” ~ ‘y’", '"x" ~ "y"'),
        ("1.50 + 1e3 + 1e-7 + 1e22", "1.5 + 1000 + 1e-7 + 1e+22"),
        ("TRUE || Null", "true || null"),
        (" a . b.0 ", "a.b.0"),
    ],
)
def test_a_formula_is_written(text: str, printed: str) -> None:
    assert text_of(parse(text)) == printed
    assert parse(printed) == parse(text)
