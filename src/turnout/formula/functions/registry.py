"""What a function is, and the ways to make one. From these descriptions come checks, help and the reference page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from turnout.formula.code import Built, Code, Write
from turnout.formula.kinds import ANY, SHORT_TEXT, Kind
from turnout.formula.run import Run
from turnout.formula.source import Source

Build: TypeAlias = Callable[[Sequence[Code]], Built]
Strict: TypeAlias = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument: its name for people, its kind, whether it may be left out."""

    name: str
    kind: Kind = ANY
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language. `build` says how it is written, from the code of its arguments.

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
    quick: Callable[[str], object] | None = None,
) -> Function:
    """A function that needs all its arguments: called as `function(run, *values)`, each made what its kind says.

    An argument that is null or of the wrong kind gives null, or `null` where it is the only one; where it may be left
    out it counts as left out. `quick` does the same with a short text alone.
    """
    described = tuple(parameters)

    def build(arguments: Sequence[Code]) -> Built:
        shape = Function(name, described, result, doc, examples, build, repeated, pure)
        prepared = [_prepared(code, shape.parameter(index).kind, index == 0) for index, code in enumerate(arguments)]
        if len(prepared) == 1:
            return Built(_unary(function, prepared[0], null, quick))
        needed = [not shape.parameter(index).optional for index in range(1, len(arguments))]
        return Built(_general(function, prepared, needed))

    return Function(name, described, result, doc, examples, build, repeated, pure)


class _Prepared(NamedTuple):
    """How to write an argument, and whether it can be null."""

    write: Write
    nullable: bool


def _prepared(code: Code, kind: Kind, first: bool) -> _Prepared:
    """The argument as its kind; constants once, now."""
    accept = kind.first if first else kind.other
    if accept is None:
        return _Prepared(code.write, code.kind is None)
    if code.constant and kind.early:
        run = Run({}, 0)
        value = accept(run, code.value)
        if not run.warnings:
            return _Prepared(lambda to: to.name(value), value is None)

    def write(to: Source) -> str:
        atom = code.write(to)
        made = to.call(accept, "run", atom)
        return to.let(f"{atom} if {kind.ready.format(atom)} else {made}" if kind.ready else made)

    return _Prepared(write, True)


def _unary(function: Strict, argument: _Prepared, null: object, quick: Callable[[str], object] | None) -> Write:
    def write(to: Source) -> str:
        value = argument.write(to)
        made = f"{to.name(null)} if {value} is None else {to.call(function, 'run', value)}"
        return to.let(made if quick is None else f"{to.call(quick, value)} if {SHORT_TEXT.format(value)} else {made}")

    return write


def _general(function: Strict, arguments: Sequence[_Prepared], needed: Sequence[bool]) -> Write:
    """An argument is evaluated only where those before it are there."""

    def write(to: Source) -> str:
        first, *others = arguments
        values = [first.write(to)]
        if any(one.nullable for one in others):
            going = to.let(f"{values[0]} is not None")
            for argument, required in zip(others, needed, strict=True):
                with to.block(f"if {going}:"):
                    values.append(to.let(argument.write(to)))
                    if required:
                        to.line(f"{going} = {values[-1]} is not None")
        else:
            values += [argument.write(to) for argument in others]
            going = f"{values[0]} is not None"
        return to.let(f"{to.call(function, 'run', *values)} if {going} else None")

    return write
