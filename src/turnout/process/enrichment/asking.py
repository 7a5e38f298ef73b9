"""What an API is asked for an event, and what it has answered (`processing.md` §6.3). Pure.

Processing never waits in the middle of an event. Before a part of a batch is processed it is rehearsed: what it would
ask and nobody has answered yet is noted, then fetched, and when the part is processed the answers are there.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from turnout.destinations.headers import Headers
from turnout.destinations.templates import ABSENT, evaluator
from turnout.destinations.url import UrlTemplate
from turnout.formula import Run
from turnout.model.clock import Clock
from turnout.model.enrichment import Enrichment
from turnout.model.outcome import Result

_MOST_ANSWERS = 10_000
_FAILURE_KEPT_MS = 1_000

Rule = tuple[str, str]
"""(site, label) of an enrichment."""


class Call(NamedTuple):
    """One request of an enrichment. Equal calls have the same answer."""

    rule: Rule
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_ms: int
    cache_ms: int


class Answer(NamedTuple):
    """What came back: an object, or a code of §6.5 and words on why there is none."""

    value: Mapping[str, object] | None
    code: str = ""
    message: str = ""


class Asking:
    """An enrichment's calls, compiled."""

    def __init__(self, rule: Enrichment) -> None:
        """Raises `FormulaError` for a template that cannot work."""
        assert rule.api is not None
        api = self._api = rule.api
        self._rule = (rule.site, rule.label)
        self._url, self._headers = UrlTemplate(api.url), Headers(api.headers, signed=False)
        self._body = None if api.body is None else evaluator(api.body)

    def call(self, run: Run) -> Call | str:
        """The call for this event; or why there is none."""
        url, headers = self._url.render(run), self._headers.render(run)
        if isinstance(url, Result) or isinstance(headers, Result):
            refused = url if isinstance(url, Result) else headers
            assert isinstance(refused, Result)
            return refused.detail
        body = b""
        if self._body is not None:
            made = self._body(run)
            body = b"{}" if made is ABSENT else msgspec.json.encode(made)
        api = self._api
        return Call(self._rule, api.method, url, tuple(sorted(headers.items())), body, api.timeout_ms, api.cache_ms)


class Answers:
    """The newest answers, and the calls that wait for one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.wanted: set[Call] = set()
        self._fresh: dict[Call, Answer] = {}
        """Those for the part that is processed next, whatever their age."""
        self._kept: OrderedDict[Call, tuple[Answer, int]] = OrderedDict()

    def get(self, call: Call) -> Answer | None:
        """The answer to a call, if one is there; otherwise it is wanted from now on."""
        found = self._fresh.get(call)
        if found is None and (kept := self._kept.get(call)) is not None and kept[1] > self._clock():
            found = self._fresh[call] = kept[0]
        if found is None:
            self.wanted.add(call)
        return found

    def put(self, call: Call, answer: Answer) -> None:
        """What a call that was wanted has come to."""
        self.wanted.discard(call)
        self._fresh[call] = answer
        kept_ms = call.cache_ms if answer.value is not None else min(call.cache_ms, _FAILURE_KEPT_MS)
        if kept_ms:
            self._kept[call] = (answer, self._clock() + kept_ms)
            self._kept.move_to_end(call)
        while len(self._kept) > _MOST_ANSWERS:
            self._kept.popitem(last=False)

    def begin(self) -> None:
        """Another part comes: what is too old for it is asked again."""
        self._fresh, self.wanted = {}, set()
