"""A formula, ready to be evaluated, and how to make one."""

from typing import NamedTuple, Protocol, cast

from turnout.formula import limits
from turnout.formula.code import HEAD, Code
from turnout.formula.compile import EVENT, Scope, compiled
from turnout.formula.errors import FormulaError, LimitError, TreeError
from turnout.formula.functions import FUNCTIONS
from turnout.formula.kinds import ELEMENT
from turnout.formula.parse import parse
from turnout.formula.printer import text_of
from turnout.formula.run import FAILED, Run
from turnout.formula.source import Source
from turnout.formula.tree import Call, Constant, Node, walk
from turnout.formula.values import copied, settled, truthy

_DONE = frozenset((bool, int, type(None)))
"""Types of values that leave as they are."""
_SHORT = limits.RESULT_BYTES // 4
"""Texts of so many characters are short enough in any script."""


class Note(NamedTuple):
    """Something legal that is probably a mistake, at `offset` of the text; for editors to show."""

    message: str
    offset: int


class Value(Protocol):
    """The value for an event, a JSON value that shares nothing with the event; null is None.

    For a formula within an array (`compile_formula`) `element` and `index` say which one. Never raises: surprises
    leave warnings in the run. `FAILED` stands for an evaluation that exceeded a bound (§11): whoever asked must leave
    things as they are.
    """

    def __call__(self, run: Run, element: object = None, index: int = 0) -> object: ...


class Formula:
    """A compiled formula: `text` as written, `tree`, `notes`, and its `value` for any event."""

    __slots__ = ("_code", "constant", "notes", "text", "tree", "value")

    def __init__(self, text: str, tree: Node, code: Code) -> None:
        self.text, self.tree, self._code = text, tree, code
        to = Source(HEAD)
        to.line("event = run.event")
        to.line(f"return {self.write(to)}")
        self.value = cast("Value", to.function())
        self.constant = code.constant
        """Whether it is the same for every event."""
        self.notes = tuple(_notes(tree))

    @property
    def usual(self) -> str:
        """The formula in its usual writing."""
        return text_of(self.tree)

    def holds(self, run: Run, element: object = None, index: int = 0) -> bool:
        """Whether the value is true, as a condition; what fails does not hold."""
        value = self.value(run, element, index)
        return value is True or (value is not FAILED and truthy(value))

    def write(self, to: Source) -> str:
        """Write the evaluation into a function that has `run` and `event`; gives the atom of the value, or `FAILED`."""
        code, result = self._code, to.local()
        to.line(f"run.left = {limits.WORK}")
        with to.block("try:"):
            value = code.write(to)
            done = f"type({value}) is str and len({value}) <= {_SHORT}"
            to.line(
                f"{result} = {value}" + ("" if code.kind in _DONE else f" if {done} else {to.call(_finished, value)}")
            )
        with to.block("except Exception as error:"):
            to.line(f"{result} = {to.call(_failed, 'run', 'error')}")
        return result

    def write_condition(self, to: Source) -> str:
        """As `write`; gives an expression that is true where the formula holds."""
        value = self.write(to)
        if self._code.kind is bool:
            return f"{value} is True"
        return f"{value} is True or ({value} is not {to.name(FAILED)} and {to.call(truthy, value)})"


def _failed(run: Run, error: Exception) -> object:
    if isinstance(error, LimitError):
        run.warn("limit", str(error))
    else:
        # A defect in a function must cost one value, not the event.
        run.warn("internal", f"{type(error).__name__}: {error}")
    return FAILED


def compile_formula(text: str, within: str | None = None) -> Formula:
    """The formula that a text writes; `within` is the array path whose elements it is evaluated for (§4), if any.

    Raises `FormulaError`, with position and a way out, for what is no formula or can never work.
    """
    return _compiled(text, parse(text), within)


def compile_tree(tree: Node, within: str | None = None) -> Formula:
    """As `compile_formula`, from a tree that was made otherwise; its text is written from it."""
    text = text_of(tree)
    return _compiled(text, parse(text), within)


def _compiled(text: str, tree: Node, within: str | None) -> Formula:
    scope = EVENT if within is None else Scope(True, tuple(within.split(".")))
    try:
        return Formula(text, tree, compiled(tree, scope))
    except TreeError as error:
        raise FormulaError(error.message, text, error.offset, error.fix) from None


def _finished(value: object) -> object:
    if isinstance(value, str):
        if len(value) > _SHORT and len(value.encode("utf-8", "replace")) > limits.RESULT_BYTES:
            raise LimitError(f"a text longer than {limits.RESULT_BYTES} bytes")
        return value
    if isinstance(value, list | dict):
        return copied(value)
    return settled(value) if isinstance(value, float) else value


def _notes(tree: Node) -> list[Note]:
    """A quoted property where an expression per element is meant; nothing else so far."""
    return [
        Note(f'"{argument.value}" is a text, the same for every element; without quotes it is a property', argument.at)
        for node in walk(tree)
        if isinstance(node, Call) and node.name in FUNCTIONS
        for index, argument in enumerate(node.arguments)
        if isinstance(argument, Constant)
        and isinstance(argument.value, str)
        and FUNCTIONS[node.name].parameter(index).kind is ELEMENT
    ]
