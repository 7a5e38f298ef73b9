"""Reading YAML: nothing said twice, keys as written, variables from the environment."""

import pytest

from turnout.control.yamlfile import expand, join, parse
from turnout.model.errors import ConfigError, Problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("{29: a}", {"29": "a"}),
        ("{010: a}", {"010": "a"}),
        ("{yes: no}", {"yes": False}),
        ("base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}", {"base": {"x": 1, "y": 2}, "mine": {"x": 1, "y": 3}}),
    ],
)
def test_keys_are_text_as_written_and_merges_work(text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('{29: a, "29": b}', "line 1, column 9", "the key '29' stands twice (keep one)"),
        ("a:\n  b: 1\n  b: 2", "line 3, column 3", "the key 'b' stands twice"),
        ("{[1]: 2}", "line 1, column 2", "a key must be one word or text"),
        ('a: "open', "line 1, column 9", "not readable as YAML"),
        ("a: 2024-13-45", "", "month must be in 1..12"),
        ("a: !!python/object:os.system x", "line 1, column 4", "could not determine a constructor"),
        ("a\0", "", "not readable as YAML"),
        ("[" * 3000, "line 2, column 1", "not readable as YAML"),
        ("[" * 100_000, "", "nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, "", "nested too deeply"),
        ("- " * 100_000, "", "nested too deeply"),
    ],
)
def test_what_is_not_readable_is_said_with_its_place(text: str, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    (problem,) = caught.value.problems
    assert problem.path == where
    assert what in str(problem)
    assert problem.fix


ENVIRONMENT = {"KEY": "s3cret", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${KEY}", "s3cret"),
        ("a-${KEY}-${KEY}", "a-s3cret-s3cret"),
        ("${EMPTY}", ""),
        ("${KEY:-other}", "s3cret"),
        ("${NONE:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("${NONE:-}", ""),
        ("$$", "$"),
        ("$${KEY}", "${KEY}"),
        ("5 $ or $KEY", "5 $ or $KEY"),
        (["${KEY}", {"a": "${KEY}"}], ["s3cret", {"a": "s3cret"}]),
        ({"${KEY}": 1}, {"${KEY}": 1}),
        (7, 7),
    ],
)
def test_variables_are_replaced_in_texts(text: object, value: object) -> None:
    problems: list[Problem] = []
    assert expand(text, ENVIRONMENT, "", problems) == value
    assert problems == []


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"a": ["x", "${NONE}"]}, Problem("a[1]", "the variable NONE is not set", "set it, or write ${NONE:-…}")),
        ({"29": "${KEY"}, Problem('"29"', "${KEY is no variable", "write ${NAME}, or $$ for a dollar sign")),
        ({"a": "${my key}"}, Problem("a", "${my key} is no variable", "write ${NAME}, or $$ for a dollar sign")),
    ],
)
def test_what_is_no_known_variable_is_a_problem_with_its_path(value: object, problem: Problem) -> None:
    problems: list[Problem] = []
    expand(value, ENVIRONMENT, "", problems)
    assert problems == [problem]


def test_a_value_that_holds_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match="into itself"):
        expand(parse("&a [*a]"), {}, "", [])


@pytest.mark.parametrize(
    ("path", "key", "joined"),
    [("", "sites", "sites"), ("sites", "29", 'sites."29"'), ("a", "b_c-d", "a.b_c-d"), ("a", "x.y", 'a."x.y"')],
)
def test_paths_quote_what_is_no_plain_word(path: str, key: str, joined: str) -> None:
    assert join(path, key) == joined
