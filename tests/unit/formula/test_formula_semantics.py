"""What the worked examples leave open: words, comparisons, scopes, nulls, warnings (`formulas.md` §1–§6)."""

import pytest

from tests.support.formulas import run_on, value_of, warned
from turnout.formula import FAILED, compile_formula

EVENT: dict[str, object] = {
    "in": 1, "and": 2, "day": 3, "left": "l", "IF": 4, "count": 5, "root": {"x": 6}, "_a$": 7, "été": 8,
    "a": {"0": "zero", "b": None, "true": 9}, "a.b": "dotted", "n": None, "t": True, "f": False, "zero": 0, "s": "text",
    "num": "12", "blank": " 12 ", "list": [1, "2", None], "empty": [], "obj": {"x": 1}, "nested": [[1, 2], [3]],
    "items": [{"v": [{"n": 1}, {"n": 2}], "p": 1}, {"v": [], "p": 2}, {"p": None}, "scalar"],
    "par": [10, 20, 30], "short": [1], "q": [1, 2, 3],
    "context": {"device": {"cookie": "_fbp=123; _ga=7%2F8; empty="}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        # words are contextual, case is free, quotes come in pairs (§2)
        ("in IN(1)", True),
        ("and AND and", True),
        ("and = 2 aNd NOT f", True),
        ("day + left + IF", "3l4"),
        ("if (count = 5, 'yes', \"no\")", "yes"),
        ("root.x", 6),
        ("_a$ + été", 15),
        ("NULL", None),
        ("TRUE && NOT f", True),
        (r'"\s\d\\\n"', "\\s\\d\\\n"),
        (r"'it\'s'", "it's"),
        ("“curly” + ‘quotes’", "curlyquotes"),
        ("user . email", None),
        ("1e3", 1000),
        ("12.50", 12.5),
        ("2 - -2", 4),
        ("2 * 3 / 4 * 2", 3),
        ("-2 * -3", 6),
        # paths (§4)
        ("a.0", "zero"),
        ("a.true", 9),
        ("a.b.c", None),
        ("list.0", 1),
        ("list.3", None),
        ("list.99999999999999999999", None),
        ("list.x", [None, None, None]),
        ("items.p", [1, 2, None, None]),
        ("items.v.n", [[1, 2], [], None, None]),
        ("items.v.0.n", [1, None, None, None]),
        ("nested.0", [1, 2]),
        ('GET("a.b")', "dotted"),
        ('GET("a.0")', "zero"),
        ('GET("a.b.c")', None),
        ('GET("list.1")', "2"),
        ("GET(n)", None),
        # comparisons (§5)
        ("num = 12", True),
        ("12 = blank", True),
        ('num = "12.0"', False),
        ("s = 0", False),
        ('t = "true"', True),
        ('"false" = f', True),
        ('t = "True"', False),
        ("t = 1", False),
        ("f = 0", False),
        ('n = ""', False),
        ("n = missing", True),
        ("obj = {x: 1}", True),
        ("obj = {x: true}", False),
        ("obj = {x: 1, y: null}", False),
        ("list = 2", True),
        ("list = null", True),
        ("list != 9", True),
        ("list = [7, 1]", True),
        ("nested = 3", True),
        ("empty = null", False),
        ("empty != 1", True),
        ('"10" < "9"', False),
        ('"b" > "a"', True),
        ('"b" > 1', False),
        ("t > 0", False),
        ("null >= null", False),
        ("list > 1", True),
        ("empty > 0", False),
        ("q BETWEEN(4, 9)", False),
        ("num BETWEEN(n, 20)", False),
        ("s IN(q, [1, \"text\"])", True),
        ("q !IN(3)", False),
        ("q !IN(4, 5)", True),
        ('num IN("12.0")', False),
        ('12 IN("a", "12")', True),
        # text tests and patterns
        ('n CONTAINS ""', False),
        ("s CONTAINS n", False),
        ('s STARTSWITH("x", "te")', True),
        ('num STARTSWITH 1', True),
        ('list ENDSWITH "2"', True),
        ('s ENDSWITH(["x", "xt"])', True),
        ('CONTAINS(s, "ex", "zz")', True),
        ('list ~ "^2$"', True),
        ('list !~ "^2$"', False),
        ('n ~ ""', False),
        ('n !~ ""', True),
        ('s ~ n', False),
        ('s !~ n', True),
        ("num ~ 1", True),
        ('s ~ CONCAT("^", s, "$")', True),
        # logic and arithmetic
        ("[] AND {}", True),
        ("zero OR f OR n OR \"\"", False),
        ("NOT NOT s", True),
        ("NOT a.b = 1", True),
        ('n + "a"', "a"),
        ('"a" + q', "a[1,2,3]"),
        ('t + 1', 2),
        ('"" + 1e21', "1e+21"),
        ('"" + 0.000001', "0.000001"),
        ('"" + 1e-7', "1e-7"),
        ('"" + 1.5e-7', "1.5e-7"),
        ('"" + 100000000000000000000', "100000000000000000000"),
        ("9007199254740993 + 0", 9007199254740992),
        # element scope
        ("FOR_EACH(items, p)", [1, 2, None, None]),
        ("FOR_EACH(items, count)", [None, None, None, 5]),
        ("FOR_EACH(items, root.count)", [5, 5, 5, 5]),
        ("FOR_EACH(par, par + short)", [11, None, None]),
        ("FOR_EACH(par, root.q)", [[1, 2, 3]] * 3),
        ("FOR_EACH(par, SUM(q, q * 10))", [10, 20, 30]),
        ("FOR_EACH(par, SUM(root.q, q * 10))", [60, 60, 60]),
        ("FOR_EACH(items, SUM(v, n))", [3, 0, 0, 0]),
        ("FOR_EACH(items, [SUM(v, n), p])", [[3, 1], [0, 2], [0, None], [0, None]]),
        ("FOR_EACH(par, [SUM(root.q, 1), par, q])", [[3, 10, 1], [3, 20, 2], [3, 30, 3]]),
        ("FOR_EACH(items, EXISTS(p))", [True, True, True, False]),
        ("FOR_EACH(par, EXISTS(count) AND EXISTS(par) AND EXISTS(root.in) AND NOT EXISTS(root.zz))", [True] * 3),
        ("FOR_EACH(count, count + 1)", [6]),
        ("FOR_EACH(n, 1)", []),
        ("SUM(par, IF(q = 2, par, 0))", 20),
        ("SUM(n)", 0),
        ("AVERAGE(n)", None),
        ("MIN(empty)", None),
        ("COUNT(n)", 0),
        ("COUNT(5)", 1),
        ("MAX([true, 0])", 1),
        ('MIN(["2024-05-01T00:00:00+02:00", "2024-05-01"])', "2024-05-01T00:00:00+02:00"),
        # functions at their edges
        ('EXTRACT("a-b", "", 0)', None),
        ('EXTRACT("a-b", "-", -1)', None),
        ('EXTRACT("a-b", "-", 1.9)', "b"),
        ('EXTRACT("a-b", "-", 9)', None),
        ('EXTRACT(n, "-", 0)', None),
        ('SUBSTITUTE(s, "", "x")', "text"),
        ('SUBSTITUTE(s, "t", n)', "ex"),
        ('REPLACE(s, "t", "$$")', "$ex$"),
        ('REPLACE("aé", "", "-")', "-a-é-"),
        ('SELECT("ab", "(a)(x)?", 2)', None),
        ('SELECT("ab", "a", 1)', None),
        ('SELECT("ab", "a", n)', "a"),
        ("SUBSTRING(s, -3, -2)", "ex"),
        ("SUBSTRING(s, -9, 0)", "t"),
        ("SUBSTRING(s, 2, 1)", ""),
        ("SUBSTRING(s, 1, n)", "ext"),
        ("SUBSTRING(s, n)", None),
        ("LEFT(s, 99)", "text"),
        ("LEFT(s, -1)", ""),
        ("RIGHT(s, 0)", ""),
        ('RIGHT(s, "2")', "xt"),
        ("CHAR(s, -1)", None),
        ('LENGTH("😀é")', 2),
        ("LENGTH(123)", 3),
        ("LENGTH(n)", None),
        ("UPPER(list)", ["1", "2", None]),
        ("TRIM([\"\u00a0a \", [\" b\"]])", ["a", ["b"]]),
        ("NUMBER([\"1\", true, null])", [1, 1, None]),
        ('NUMBER(" +1.5e1 ")', 15),
        ('NUMBER("1_000")', None),
        ('NUMBER("٣")', None),
        ('NUMBER("1e999")', None),
        ("STRING(n)", ""),
        ("STRING({a: 10.0})", '{"a":10}'),
        ('SHA256("")', None),
        ("SHA256([\"\", \"test\"])", [None, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]),
        ("MD5(n)", None),
        ('DECODE_BASE64("_-8=")', None),
        ('DECODE_BASE64("Y2Fmw6k")', "café"),
        ('DECODE_BASE64(ENCODE_BASE64("~~~???"))', "~~~???"),
        ('DECODE_BASE64("fn5-Pz8_")', "~~~???"),
        ("JSON_PARSE(obj)", {"x": 1}),
        ('JSON_PARSE("3")', 3),
        ("JSON_STRINGIFY(n)", None),
        ("JSON_STRINGIFY(f, 1)", "false"),
        ('VALUE_FROM_JSON("[1]", "0")', 1),
        ("VALUE_FROM_JSON(obj, \"x\")", 1),
        ('SWITCH(num, 12, "number")', "number"),
        ("COALESCE(n, empty, f)", False),
        ("ISEMPTY({})", True),
        ("ISEMPTY(f)", False),
        ("SIZE(s)", 0),
        ("EXISTS(n) AND NOT EXISTS(n.x) AND EXISTS(items.p) AND NOT EXISTS(items.zz)", True),
        ('EXISTS(GET("a.b")) AND NOT EXISTS(GET("zz"))', True),
        ("EXISTS(list.2) AND NOT EXISTS(list.3)", True),
        ('GETHEADER("X-None")', None),
        ('GETCOOKIE("_ga")', "7/8"),
        ('GETCOOKIE("empty")', ""),
        ('GETCOOKIE("ga")', None),
    ],
)  # fmt: skip
def test_a_formula_gives(formula: str, expected: object) -> None:
    value = value_of(formula, EVENT)
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("formula", "code"),
    [
        ('s * 2', "not_a_number"),
        ("-s", "not_a_number"),
        ("q + 1", "array_operand"),
        ("q * 2", "array_operand"),
        ("LENGTH(q)", "array_operand"),
        ("1 / zero", "division_by_zero"),
        ('LEFT(s, "x")', "not_a_number"),
        ("NUMBER(s)", "not_a_number"),
        ("YEAR(s)", "not_a_date"),
        ('DATEPARSE(s, "yyyy")', "not_a_date"),
        ("DATEADD(\"2024-01-01\", 9999, \"years\")", "date_out_of_range"),
        ("DATEADD(\"2024-01-01\", 1e300, \"days\")", "date_out_of_range"),
        ("DATEADD(\"2024-01-01\", 1, s)", "unknown_unit"),
        ("JSON_PARSE(s)", "not_json"),
        ('DECODE_BASE64("é")', "not_base64"),
        ('s ~ CONCAT(s, "(")', "bad_pattern"),
        ('SELECT(s, CONCAT("(", s))', "bad_pattern"),
        ('MIN([1, s])', "not_comparable"),
    ],
)  # fmt: skip
def test_a_surprise_gives_null_and_a_warning(formula: str, code: str) -> None:
    assert warned(formula, EVENT) == (None, [code])


@pytest.mark.parametrize(
    "formula", ["n * 2", "missing + 1", "YEAR(n)", "NUMBER(n)", "LEFT(s, n)", "MIN(n)", "n ~ n", "JSON_PARSE(n)"]
)
def test_null_is_no_surprise(formula: str) -> None:
    assert warned(formula, EVENT)[1] == []


def test_only_the_sub_expression_is_null() -> None:
    assert warned('COALESCE(s * 2, "default")', EVENT) == ("default", ["not_a_number"])


def test_ten_digits_are_milliseconds_with_a_warning() -> None:
    assert warned("YEAR(1718447400)") == (1970, ["seconds"])
    assert warned("YEAR(1718447400000)") == (2024, [])


def test_headers_are_found_in_any_case_and_cookies_after_those_of_the_event() -> None:
    headers = {"accept-language": "fr", "cookie": 'a="1"; _fbp=other'}
    run = run_on(EVENT, headers=headers)
    assert compile_formula('GETHEADER("Accept-Language")').value(run) == "fr"
    assert compile_formula('GETCOOKIE("a")').value(run) == "1"
    assert compile_formula('GETCOOKIE("_fbp")').value(run) == "123"


def test_one_warning_of_a_code_is_kept_and_the_message_shows_little_of_the_data() -> None:
    run = run_on({"a": "x" * 1000, "b": "y"})
    assert compile_formula("[a * 1, b * 1]").value(run) == [None, None]
    (warning,) = run.warnings.values()
    assert len(warning.message) < 80


def test_a_formula_within_an_array_reads_the_element() -> None:
    inside = compile_formula("price * 2", within="items")
    assert inside.value(run_on({"price": 100}), {"price": 3}, 0) == 6
    flat = compile_formula("sku + qty + root.currency", within="sku")
    run = run_on({"sku": ["a", "b"], "qty": [1, 2], "currency": "EUR"})
    assert [flat.value(run, one, index) for index, one in enumerate(["a", "b"])] == ["a1EUR", "b2EUR"]


def test_a_result_shares_nothing_with_the_event() -> None:
    event: dict[str, object] = {"a": {"b": [1.0, {"c": 2}]}}
    value = value_of("a", event)
    assert value == {"b": [1, {"c": 2}]}
    assert isinstance(value, dict)
    value["b"][1]["c"] = 3
    assert event == {"a": {"b": [1, {"c": 2}]}}


def test_a_condition_is_what_is_true() -> None:
    run = run_on(EVENT)
    assert [compile_formula(one).holds(run) for one in ("s", "zero", "[]", "missing", '"false"')] == [
        True, False, True, False, True,
    ]  # fmt: skip


def test_a_defect_in_a_function_costs_one_value() -> None:
    class Broken(dict[str, object]):
        def get(self, *_: object) -> object:
            raise ZeroDivisionError("boom")

    run = run_on(Broken())
    assert compile_formula("a + 1").value(run) is FAILED
    assert not compile_formula("NOT a").holds(run)
    assert run.warnings["internal"].message == "ZeroDivisionError: boom"


def test_repeated_calls_agree_on_the_time() -> None:
    assert value_of('TIMESTAMP() = TIMESTAMP() AND DATEFORMAT(TODAY(), "x") = TIMESTAMP()') is True
