"""A partner's own headers, names and values with `{{ formula }}` islands (`destinations.md` §7).

An event never makes a further header: what has a line break is rejected, not cut.
"""

import re
from collections.abc import Iterator, Mapping

from turnout.destinations.signing import SIGNATURE_HEADERS
from turnout.destinations.templates import ABSENT, evaluator, is_constant
from turnout.formula import Run
from turnout.formula.template import text_of
from turnout.model.errors import Problem
from turnout.model.outcome import Result

_FRAMING = frozenset(("connection", "content-length", "te", "trailer", "transfer-encoding", "upgrade"))
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Headers:
    """Compiled headers."""

    def __init__(self, headers: Mapping[str, str], signed: bool) -> None:
        """`signed`: the request has the headers of a signature besides. Raises `FormulaError`."""
        self.constant = all(is_constant(name) and is_constant(value) for name, value in headers.items())
        self._signed = signed
        self._written = headers
        self._rows = [(evaluator(name), evaluator(value)) for name, value in headers.items()]
        self._made = self._evaluated(Run({}, 0)) if self.constant else {}

    def problems(self) -> Iterator[Problem]:
        """What is wrong with them whatever the event; paths are those of the settings."""
        seen: set[str] = set()
        for name, value in self._written.items():
            path = f"headers.{name}"
            if is_constant(name):
                if wrong := self._wrong_name(name):
                    yield Problem(path, *wrong)
                elif name.lower() in seen:
                    yield Problem(path, "stands here twice, in different letter case", "keep one")
                seen.add(name.lower())
            if _CONTROL.search(value):
                yield Problem(path, "has a line break or control character in its value", "remove it")

    def render(self, run: Run) -> Mapping[str, str] | Result:
        """The headers for this event, without those whose value is absent; or why there are none."""
        if self.constant:
            return self._made
        made = self._evaluated(run)
        for name, value in made.items():
            if wrong := self._wrong_name(name):
                return Result("rejected", "invalid_parameter", f"the header {name[:80]!r} {wrong[0]}", asked=False)
            if _CONTROL.search(value):
                detail = f"the header {name} gets a line break or control character"
                return Result("rejected", "invalid_parameter", detail, asked=False)
        return made

    def _evaluated(self, run: Run) -> dict[str, str]:
        made: dict[str, str] = {}
        for name_of, value_of in self._rows:
            name, value = name_of(run), value_of(run)
            if value not in (ABSENT, None) and name not in (ABSENT, None, ""):
                made[text_of(name)] = text_of(value)
        return made

    def _wrong_name(self, name: str) -> tuple[str, str] | None:
        """What is wrong with the name of a header, and what to do."""
        if not _TOKEN.fullmatch(name):
            return "is not a header name", "letters, digits and - only"
        if name.lower() in _FRAMING:
            return "is set by the connection itself", "remove it"
        if name.lower() in SIGNATURE_HEADERS and self._signed:
            return "is part of the signature", "remove it, or remove `secret`"
        return None
