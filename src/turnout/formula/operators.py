"""Operators as closures (`formulas.md` §5), with short cuts for what filters are mostly made of."""

from collections.abc import Callable, Sequence

from turnout.formula import limits
from turnout.formula.code import Code, Evaluate
from turnout.formula.compare import ORDER, equal
from turnout.formula.kinds import pattern as read_pattern
from turnout.formula.kinds import shown, string
from turnout.formula.pattern import Pattern
from turnout.formula.run import Run
from turnout.formula.values import number, settled

_SHORT = 256

TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "STARTSWITH": str.startswith,
    "ENDSWITH": str.endswith,
    "CONTAINS": str.__contains__,
}


def comparison(operator: str, left: Code, right: Code) -> Evaluate:
    """`=`, `!=`, `<`, `>`, `<=`, `>=`."""
    a, b = left.evaluate, right.evaluate
    if operator in ORDER:
        test = ORDER[operator]
        return lambda run: test(run, a(run), b(run))
    if right.constant and type(right.value) is str:
        return _equals_text(a, right.value, operator == "=")
    if operator == "=":
        return lambda run: equal(run, a(run), b(run))
    return lambda run: not equal(run, a(run), b(run))


def _equals_text(a: Evaluate, text: str, wanted: bool) -> Evaluate:
    def code(run: Run) -> bool:
        value = a(run)
        return (value == text if type(value) is str else equal(run, value, text)) is wanted

    return code


def match(left: Code, right: Code, wanted: bool) -> Evaluate:
    """`~` (`wanted`) and `!~`: the pattern is found in the text, or in one of an array. Null matches nothing."""
    a, b = left.evaluate, right.evaluate

    def test(run: Run, value: object, pattern: Pattern) -> bool:
        if type(value) is list:
            run.spend(len(value))
            return any(test(run, one, pattern) for one in value)
        if value is None:
            return False
        text = string(run, value)
        return searchable(run, text, pattern) and pattern.test(text)

    if right.constant and right.value is not None:
        fixed = read_pattern(Run({}, 0), right.value)
        assert fixed is not None, "the compiler has judged it"
        return lambda run: test(run, a(run), fixed) is wanted

    def code(run: Run) -> bool | None:
        written = b(run)
        if written is None:
            return not wanted
        pattern = read_pattern(run, written)
        return None if pattern is None else test(run, a(run), pattern) is wanted

    return code


def searchable(run: Run, text: str, pattern: Pattern) -> bool:
    """Whether a pattern may run on this text, which is then paid for; a warning where it is too long."""
    if len(text) > _SHORT:
        if len(text) > limits.RESULT_BYTES:
            run.warn("text_too_long", f"patterns search texts of {limits.RESULT_BYTES} characters at most")
            return False
        run.spend(pattern.cost(len(text)))
    return True


def among(operator: str, left: Code, values: Sequence[Code]) -> Evaluate:
    """`IN`, `!IN`, `STARTSWITH`, `ENDSWITH`, `CONTAINS`: at least one of the values does."""
    a, others = left.evaluate, [code.evaluate for code in values]
    if operator in TEXT_TESTS:
        test = _text_test(TEXT_TESTS[operator])
        if len(others) == 1:
            (only,) = others
            return lambda run: test(run, a(run), only(run))

        def tested(run: Run) -> bool:
            value = a(run)
            return any(test(run, value, other(run)) for other in others)

        return tested
    wanted = operator == "IN"
    if all(code.constant and type(code.value) is str for code in values):
        texts = frozenset(code.value for code in values)

        def listed(run: Run) -> bool:
            value = a(run)
            if type(value) is str:
                return (value in texts) is wanted
            if type(value) is list and all(type(one) is str for one in value):
                run.spend(len(value) * len(texts))
                return (not texts.isdisjoint(value)) is wanted
            return any(equal(run, value, text) for text in texts) is wanted

        return listed

    def code(run: Run) -> bool:
        value = a(run)
        return any(equal(run, value, other(run)) for other in others) is wanted

    return code


def _text_test(holds: Callable[[str, str], bool]) -> Callable[[Run, object, object], bool]:
    def test(run: Run, value: object, other: object) -> bool:
        if type(value) is str and type(other) is str:
            run.pay_for(value)
            return holds(value, other)
        if value is None or other is None:
            return False
        if type(value) is list:
            run.spend(len(value))
            return any(test(run, one, other) for one in value)
        if type(other) is list:
            run.spend(len(other))
            return any(test(run, value, one) for one in other)
        return holds(string(run, value), string(run, other))

    return test


def between(operand: Code, low: Code, high: Code) -> Evaluate:
    """`x BETWEEN(a, b)`, bounds included; of an array one element lies between them."""
    value, least, most = operand.evaluate, low.evaluate, high.evaluate

    def test(run: Run, one: object, a: object, b: object) -> bool:
        if type(one) is list:
            run.spend(len(one))
            return any(test(run, each, a, b) for each in one)
        return ORDER[">="](run, one, a) and ORDER["<="](run, one, b)

    return lambda run: test(run, value(run), least(run), most(run))


def arithmetic(first: Code, rest: Sequence[tuple[str, Code]]) -> Evaluate:
    """A chain from left to right."""
    start = first.evaluate
    terms = [(_ARITHMETIC[sign], code.evaluate) for sign, code in rest]
    if len(terms) == 1:
        ((apply, other),) = terms
        return lambda run: apply(run, start(run), other(run))

    def code(run: Run) -> object:
        value = start(run)
        for apply, other in terms:
            value = apply(run, value, other(run))
        return value

    return code


def negative(operand: Code) -> Evaluate:
    """`-a`."""
    value = operand.evaluate
    return lambda run: _subtract(run, 0, value(run))


def _operand(run: Run, value: object) -> int | float | None:
    if type(value) is int or type(value) is float:
        return value
    made = number(value)
    if made is None and value is not None:
        if type(value) is list:
            run.warn("array_operand", "an array in arithmetic: use FOR_EACH or SUM")
        else:
            run.warn("not_a_number", f"{shown(value)} is not a number")
    return made


def _add(run: Run, left: object, right: object) -> object:
    if type(left) is str or type(right) is str:
        return run.bounded(string(run, left) + string(run, right))
    a, b = _operand(run, left), _operand(run, right)
    return None if a is None or b is None else settled(a + b)


def _subtract(run: Run, left: object, right: object) -> object:
    a, b = _operand(run, left), _operand(run, right)
    return None if a is None or b is None else settled(a - b)


def _times(run: Run, left: object, right: object) -> object:
    a, b = _operand(run, left), _operand(run, right)
    return None if a is None or b is None else settled(a * b)


def _over(run: Run, left: object, right: object) -> object:
    a, b = _operand(run, left), _operand(run, right)
    if b == 0:
        run.warn("division_by_zero", "a division by zero")
        return None
    return None if a is None or b is None else settled(a / b)


_ARITHMETIC: dict[str, Callable[[Run, object, object], object]] = {
    "+": _add,
    "-": _subtract,
    "*": _times,
    "/": _over,
}
