"""The source of one Python function while it is being written (`docs/decisions/0016-formulas-as-source.md`).

What must stay true: no text that a user wrote becomes source. Values and helpers are globals of the function, under
names that are made here. Lines come one after the other, and blocks go no deeper than formulas may be nested, so that
Python's own bounds (100 levels of indentation) are never met.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import cast

_WRITTEN = (type(None), bool)
"""Types of constants that stand in the source as they are."""


class Source:
    """See the module. A value is known by its atom: the name of a local, of a global, or `None`, `True`, `False`."""

    def __init__(self, head: str) -> None:
        """`head` is the function's first line, such as `def formula(run):`."""
        self._lines = [head]
        self._indent = 1
        self._globals: dict[str, object] = {}
        self._names: dict[int, str] = {}
        self._locals = 0

    def line(self, text: str) -> None:
        """Write a line into the block at hand."""
        self._lines.append("    " * self._indent + text)

    def local(self) -> str:
        """The name of a new local variable."""
        self._locals += 1
        return f"v{self._locals}"

    def let(self, expression: str) -> str:
        """Write a new local variable with this value; gives its name."""
        name = self.local()
        self.line(f"{name} = {expression}")
        return name

    @contextlib.contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Lines written inside belong to the block that `head` begins; there must be one at least."""
        self.line(head)
        self._indent += 1
        yield
        self._indent -= 1

    def name(self, value: object) -> str:
        """The atom of a value that is the same at every call: a constant, or a helper."""
        if isinstance(value, _WRITTEN):
            return repr(value)
        if id(value) not in self._names:
            # The globals keep the value, or its id might come to mean another one.
            name = f"k{len(self._globals)}"
            self._globals[name], self._names[id(value)] = value, name
        return self._names[id(value)]

    def call(self, helper: object, *atoms: str) -> str:
        """The expression that calls a helper."""
        return f"{self.name(helper)}({', '.join(atoms)})"

    @property
    def text(self) -> str:
        """What has been written."""
        return "\n".join(self._lines) + "\n"

    def function(self) -> Callable[..., object]:
        """The function, compiled."""
        before = set(self._globals)
        exec(compile(self.text, "<turnout>", "exec"), self._globals)
        (name,) = self._globals.keys() - before - {"__builtins__"}
        return cast("Callable[..., object]", self._globals[name])
