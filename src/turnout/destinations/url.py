"""URLs with `{{ formula }}` islands (`destinations.md` §7).

What must stay true: an event fills in the place it is given and no other. In path and query its text is
percent-encoded; it never makes a further segment, parameter or fragment, nor a step up. In the host only letters,
digits, dots and dashes are taken. Where the URL begins with an island, whoever wrote the configuration lets the event
choose the address.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple
from urllib.parse import quote, urlsplit

from turnout.formula import FAILED, Formula, Run, compile_template
from turnout.formula.template import text_of
from turnout.model.errors import Problem
from turnout.model.outcome import Result

Zone = Literal["start", "host", "path", "query"]

_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_STANDS_IN: Final = "1"
"""For an island, when the rest is checked: it may be part of a name as well as a port."""
_FIX = "for example https://hooks.example.org/orders"
_SHOWN = 80


class _Island(NamedTuple):
    formula: Formula
    zone: Zone


class UrlTemplate:
    """A compiled URL."""

    def __init__(self, text: str) -> None:
        """Raises `FormulaError` if it is no template."""
        self._parts = _zoned(compile_template(text).parts)
        self.constant = not any(isinstance(part, _Island) for part in self._parts)
        self.text = text if not self.constant else "".join(map(str, self._parts))

    def problems(self) -> Iterator[Problem]:
        """What is wrong with it whatever the event; paths are relative to it."""
        if len(self._parts) == 1 and not self.constant:
            return
        written = "".join(part if isinstance(part, str) else _sample(part) for part in self._parts)
        if wrong := _wrong(written):
            yield Problem("", *wrong)

    def render(self, run: Run) -> str | Result:
        """The URL for this event, or why there is none."""
        if self.constant:
            return self.text
        made = []
        for part in self._parts:
            text = part if isinstance(part, str) else _filled(part, run)
            if isinstance(text, Result):
                return text
            made.append(text)
        url = "".join(made)
        first = self._parts[0]
        if isinstance(first, _Island) and (wrong := _wrong(url)):
            return _invalid(f"the url becomes {url[:_SHOWN]!r}, which {wrong[0]}")
        if _climbs(url):
            return _invalid(f"the url becomes {url[:_SHOWN]!r}, which leads to another path")
        return url


def _zoned(parts: Sequence[str | Formula]) -> list[str | _Island]:
    """The parts, each island with the part of the URL it stands in."""
    zone: Zone = "start"
    found: list[str | _Island] = []
    for part in parts:
        if isinstance(part, Formula):
            found.append(_Island(part, zone))
            zone = "path" if zone == "start" else zone
        else:
            zone = _after(part, zone)
            found.append(part)
    return found


def _after(text: str, zone: Zone) -> Zone:
    """Where a URL stands after this text."""
    if zone == "start":
        _, scheme, text = text.partition("://")
        if not scheme:
            return "path"
        zone = "host"
    if zone == "host" and (end := re.search(r"[/?#]", text)) is not None:
        text, zone = text[end.start() :], "path"
    return "query" if zone == "path" and re.search(r"[?#]", text) else zone


def _sample(island: _Island) -> str:
    return f"http://{_STANDS_IN}" if island.zone == "start" else _STANDS_IN


def _filled(island: _Island, run: Run) -> str | Result:
    value = island.formula.value(run)
    if value is FAILED:
        return _invalid(f"{island.formula.text.strip()} in the url exceeds a limit")
    if value is None and island.zone != "query":
        return Result("rejected", "incomplete", f"{island.formula.text.strip()} in the url is null", asked=False)
    text = text_of(value)
    if island.zone == "start":
        return text
    if island.zone == "host":
        if _HOST.fullmatch(text):
            return text
        return _invalid(f"{text[:_SHOWN]!r} cannot be part of the url's host")
    return quote(text, safe="", errors="replace")


def _climbs(url: str) -> bool:
    path = re.split(r"[?#]", url, maxsplit=1)[0]
    return any(segment in {".", ".."} for segment in path.split("/")[3:])


def _wrong(url: str) -> tuple[str, str] | None:
    """What is wrong with a URL, and what to do."""
    if _CONTROL.search(url):
        return "has spaces or control characters", "percent-encode them"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        return f"is not a URL: {error}", _FIX
    return None if usable else ("must start with http:// or https:// and name a host", _FIX)


def _invalid(detail: str) -> Result:
    return Result("rejected", "invalid_parameter", detail, asked=False)
