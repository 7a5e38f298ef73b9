"""Every worked example of `formulas.md` gives what the specification says, on its sample event."""

import copy
import json

import pytest

from tests.support.formulas import FOLDER, SAMPLE, run_on, value_of
from turnout.formula import compile_formula, parse, text_of

EXAMPLES = [line.rsplit(" → ", 1) for line in (FOLDER / "examples.txt").read_text().splitlines()]


@pytest.mark.parametrize(("formula", "expected"), EXAMPLES, ids=[formula for formula, _ in EXAMPLES])
def test_an_example_gives_what_the_specification_says(formula: str, expected: str) -> None:
    before = copy.deepcopy(SAMPLE)
    value = value_of(formula)
    assert json.dumps(value) == json.dumps(json.loads(expected)), "1, 1.0 and true are not the same"
    assert before == SAMPLE, "evaluation changes nothing"


def test_the_table_is_complete() -> None:
    assert len(EXAMPLES) == len({formula for formula, _ in EXAMPLES}) == 148


def test_numbers_are_binary_doubles() -> None:
    value = value_of("FOR_EACH(price, price * 1.2)")
    assert value == [12, pytest.approx(24.6)]
    assert value != [12, 24.6]
    assert value_of("10.5 * 2 + 38.97") == 59.97


@pytest.mark.parametrize("formula", [formula for formula, _ in EXAMPLES])
def test_an_example_reads_back_as_it_is_printed(formula: str) -> None:
    tree = parse(formula)
    assert parse(text_of(tree)) == tree
    run = run_on()
    assert compile_formula(text_of(tree)).value(run) == compile_formula(formula).value(run)
