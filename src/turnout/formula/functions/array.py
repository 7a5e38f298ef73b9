"""Aggregates and mapping over arrays (`formulas.md` §6.4): each turn evaluates the expression in element scope (§4)."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from turnout.formula import dates, limits
from turnout.formula.code import Built, Code
from turnout.formula.errors import LimitError
from turnout.formula.functions.registry import Build, Function, Parameter
from turnout.formula.kinds import ARRAY, ELEMENT, shown
from turnout.formula.run import Run
from turnout.formula.source import Source
from turnout.formula.values import empty, number, settled


def _turns(run: Run, array: object, expression: Callable[[object, int], object], cost: int) -> Iterator[object]:
    """The results of an expression for each element."""
    for index, element in enumerate(_elements(run, array)):
        run.spend(cost)
        yield expression(element, index)


def _results(to: Source, array: Code, expression: Code | None) -> str:
    """Write what goes through the results of an expression for each element; without one, the elements."""
    value = array.write(to)
    if expression is None:
        return to.call(_elements, "run", value)
    turn = to.local()
    with to.block(f"def {turn}(element, index):"):
        to.line(f"return {expression.write(to)}")
    return to.call(_turns, "run", value, turn, str(expression.size))


def _elements(run: Run, value: object) -> Sequence[object]:
    """null is an empty array, another single value an array of one."""
    if type(value) is not list:
        return () if value is None else (value,)
    if len(value) > limits.ELEMENTS:
        raise LimitError(f"an array of more than {limits.ELEMENTS} elements")
    run.spend(len(value))
    return value


def _numbers(results: Iterable[object]) -> list[int | float]:
    return [made for one in results if (made := number(one)) is not None]


def _sum(run: Run, results: Iterable[object]) -> object:
    return settled(sum(_numbers(results)))


def _average(run: Run, results: Iterable[object]) -> object:
    kept = _numbers(results)
    return settled(sum(kept) / len(kept)) if kept else None


def _count(run: Run, results: Iterable[object]) -> int:
    return sum(not empty(one) for one in results)


def _extreme(choose: Callable[..., tuple[float, object]]) -> Callable[[Run, Iterable[object]], object]:
    """The least or greatest: of numbers as number, of dates as written; null where they are mixed."""

    def extreme(run: Run, results: Iterable[object]) -> object:
        kept = [one for one in results if one is not None]
        if not kept:
            return None
        numbers = _numbers(kept)
        if len(numbers) == len(kept):
            return choose((one, one) for one in numbers)[1]
        instants: list[tuple[float, object]] = []
        for one in kept:
            moment = dates.read(one, run.zone)
            if moment is None:
                run.warn("not_comparable", f"{shown(one)} among numbers or dates")
                return None
            instants.append((dates.milliseconds(moment), one))
        return choose(instants, key=lambda pair: pair[0])[1]

    return extreme


def _build(gather: Callable[[Run, Iterable[object]], object], kind: type | None = None) -> Build:
    def build(arguments: Sequence[Code]) -> Built:
        array, expression = arguments[0], arguments[1] if len(arguments) > 1 else None
        return Built(lambda to: to.let(to.call(gather, "run", _results(to, array, expression))), kind)

    return build


def _aggregate(
    name: str, doc: str, gather: Callable[[Run, Iterable[object]], object], result: str, *examples: tuple[str, str]
) -> Function:
    return Function(name, (_ARRAY, Parameter("expression", ELEMENT, True)), result, doc, examples, _build(gather))


_ARRAY = Parameter("array", ARRAY)

FUNCTIONS: tuple[Function, ...] = (
    _aggregate(
        "SUM", "Adds up a number per element; what is not a number does not count.", _sum, "number",
        ("SUM(items, quantity * NUMBER(product.price))", "59.97"),
    ),
    _aggregate(
        "AVERAGE", "The mean of a number per element; what is not a number does not count.", _average, "number",
        ("AVERAGE(price)", "15.25"),
    ),
    _aggregate(
        "MIN", "The least number, or the earliest date.", _extreme(min), "number or date", ("MIN([null, 15, 8])", "8"),
    ),
    _aggregate(
        "MAX", "The greatest number, or the latest date.", _extreme(max), "number or date",
        ('MAX(items, IF(status = "ok", quantity, 0))', "2"),
    ),
    _aggregate(
        "COUNT", "How many elements give something that is not empty.", _count, "number",
        ('COUNT(items, IF(status = "ok", id, null))', "1"),
    ),
    Function(
        "FOR_EACH", (_ARRAY, Parameter("expression", ELEMENT)), "array",
        "A new array with the result of the expression for each element.",
        (("FOR_EACH(items, {id: id, order: root.id})", '[{"id":"A","order":"O-77"},{"id":"B","order":"O-77"}]'),),
        _build(lambda run, results: list(results), list),
    ),
)  # fmt: skip
