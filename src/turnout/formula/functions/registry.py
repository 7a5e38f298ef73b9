"""What a function is, and the ways to make one. From these descriptions come checks, help and the reference page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from turnout.formula.code import Code, Evaluate
from turnout.formula.kinds import ANY, Kind
from turnout.formula.run import Run

Build: TypeAlias = Callable[[Sequence[Code]], Evaluate]
Strict: TypeAlias = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument: its name for people, its kind, whether it may be left out."""

    name: str
    kind: Kind = ANY
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language. `build` makes its closure from the code of its arguments.

    `repeated` is how many of the last parameters may come again, together (0: none). `pure` ones give the same for
    the same arguments, whatever the event, the clock and the zone.
    """

    name: str
    parameters: tuple[Parameter, ...]
    result: str
    doc: str
    examples: tuple[tuple[str, str], ...]
    build: Build
    repeated: int = 0
    pure: bool = True

    @property
    def least(self) -> int:
        """The least number of arguments."""
        return sum(not one.optional for one in self.parameters)

    @property
    def most(self) -> int | None:
        """The greatest number of arguments; None: any number."""
        return None if self.repeated else len(self.parameters)

    @property
    def signature(self) -> str:
        """`SUBSTRING(text, from, [to])`."""
        names = [f"[{one.name}]" if one.optional else one.name for one in self.parameters]
        if self.repeated:
            place = max(index for index, one in enumerate(self.parameters) if not one.optional) + 1
            names.insert(place, "…")
        return f"{self.name}({', '.join(names)})"

    def parameter(self, index: int) -> Parameter:
        """What the argument at this place (from 0) is."""
        if index < len(self.parameters):
            return self.parameters[index]
        start = len(self.parameters) - self.repeated
        return self.parameters[start + (index - start) % self.repeated] if self.repeated else self.parameters[-1]


def strict(
    name: str,
    function: Strict,
    parameters: Sequence[Parameter],
    result: str,
    doc: str,
    *examples: tuple[str, str],
    null: object = None,
    repeated: int = 0,
    pure: bool = True,
) -> Function:
    """A function that needs all its arguments: called as `function(run, *values)`, each made what its kind says.

    A null first argument gives `null`; another that is null or of the wrong kind gives null, and where it may be
    left out counts as left out.
    """
    described = tuple(parameters)

    def build(arguments: Sequence[Code]) -> Evaluate:
        shape = Function(name, described, result, doc, examples, build, repeated, pure)
        prepared = [_prepared(code, shape.parameter(index).kind, index == 0) for index, code in enumerate(arguments)]
        needed = [index == 0 or not shape.parameter(index).optional for index in range(len(arguments))]
        if len(prepared) == 1:
            return _unary(function, prepared[0], null)
        if len(prepared) == 2 and all(needed):
            return _binary(function, prepared[0], prepared[1], null)
        return _general(function, prepared, needed, null)

    return Function(name, described, result, doc, examples, build, repeated, pure)


def _prepared(code: Code, kind: Kind, first: bool) -> Evaluate:
    """The argument as its kind; constants once, now."""
    evaluate, accept = code.evaluate, kind.first if first else kind.other
    if accept is None:
        return evaluate
    if code.constant and kind.early:
        run = Run({}, 0)
        value = accept(run, code.value)
        if not run.warnings:
            return lambda run: value
    return lambda run: accept(run, evaluate(run))


def _unary(function: Strict, argument: Evaluate, null: object) -> Evaluate:
    def code(run: Run) -> object:
        value = argument(run)
        return null if value is None else function(run, value)

    return code


def _binary(function: Strict, first: Evaluate, second: Evaluate, null: object) -> Evaluate:
    def code(run: Run) -> object:
        one = first(run)
        if one is None:
            return null
        other = second(run)
        return None if other is None else function(run, one, other)

    return code


def _general(function: Strict, arguments: Sequence[Evaluate], needed: Sequence[bool], null: object) -> Evaluate:
    first = arguments[0]
    others = list(zip(arguments, needed, strict=True))[1:]

    def code(run: Run) -> object:
        value = first(run)
        if value is None:
            return null
        values = [value]
        for argument, required in others:
            value = argument(run)
            if value is None and required:
                return None
            values.append(value)
        return function(run, *values)

    return code
