"""Stages 3 and 4: keep what events say, and give later events what was kept (`processing.md` §6).

An event is enriched from what was kept before it, or by an API. What it says itself is kept as it was before it was
enriched, and after: whoever comes next finds it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import NamedTuple

import msgspec
import structlog

from turnout.formula import Formula, Run, compile_formula
from turnout.model.enrichment import DataStore, Enrichment
from turnout.model.requirement import granted
from turnout.process.chain import Draft, Step, Tally
from turnout.process.enrichment.asking import Answers, Asking, Call
from turnout.process.enrichment.device import device_of
from turnout.process.enrichment.geo import Geo
from turnout.process.enrichment.merge import Object, Warned, merge
from turnout.process.enrichment.pick import Picked, holders, key_of, picked, tree
from turnout.process.enrichment.shelf import Shelf, StoreUnavailableError
from turnout.process.warned import Told, tell

_SUCCESS, _PARTIAL, _FAILED = "success", "partial", "failed"

_encode = msgspec.json.Encoder().encode

log = structlog.get_logger("process")


class _Keeping(NamedTuple):
    """A store, compiled."""

    store: DataStore
    names: Sequence[str]
    chosen: Picked
    condition: Formula | None


class _Enriching(NamedTuple):
    """An enrichment, compiled; `asking` if it is an API that knows, `geo` if it is a database of places."""

    rule: Enrichment
    names: Sequence[str]
    condition: Formula | None
    asking: Asking | None
    geo: Geo | None


class _Told(NamedTuple):
    """What one enrichment came to: look-ups made, those that found something, and what was not done as asked."""

    asked: int
    found: int
    warnings: list[Warned]

    @property
    def status(self) -> str:
        if self.found < self.asked or self.warnings:
            return _PARTIAL if self.found else _FAILED
        return _SUCCESS


class Knowledge(NamedTuple):
    """What enrichments draw on: data stores, answers of APIs, geo databases. In a rehearsal nothing is kept."""

    shelf: Shelf
    answers: Answers
    geo: Callable[[str], Geo]
    """The database in a file."""
    rehearsal: bool = False


def enriching(
    stores: Sequence[DataStore],
    rules: Sequence[Enrichment],
    known: Knowledge,
    tally: Tally,
    zones: Mapping[str, tzinfo],
) -> Step:
    """The step of these stores and enrichments, in this order. Counts in `tally` what they come to.

    `zones` are those of sources. Raises `FormulaError` for a formula that cannot work.
    """
    keeping: dict[tuple[str, str], list[_Keeping]] = {}
    for store in stores:
        kept = _Keeping(store, store.key.split("."), tree(store.properties), _compiled(store.filter))
        for source in store.sources:
            keeping.setdefault((source, store.event_name), []).append(kept)
    by_source: dict[str, list[_Enriching]] = {}
    for rule in rules:
        asking = Asking(rule) if rule.api is not None else None
        geo = known.geo(rule.geo) if rule.geo else None
        one = _Enriching(rule, rule.key.split("."), _compiled(rule.when), asking, geo)
        for source in rule.sources:
            by_source.setdefault(source, []).append(one)
    trouble = _Trouble()

    def enrich(draft: Draft) -> None:
        event, name = draft.event, draft.event.get("event_name")
        mine = keeping.get((draft.source, name)) if isinstance(name, str) else None
        said = list(_kept(mine, draft, zones)) if mine and not known.rehearsal else []
        statuses: list[str] = []
        for rule, names, condition, asking, geo in by_source.get(draft.source, ()):
            if rule.event_names and name not in rule.event_names:
                continue
            if condition is not None and not condition.holds(_run(draft, zones)):
                continue
            if asking is not None:
                told = _asked(draft, rule, asking.call(_run(draft, zones)), known.answers)
            elif geo is not None:
                told = _located(event, geo, trouble)
            elif rule.user_agent:
                told = _described(event)
            else:
                told = _enriched(event, rule, names, known.shelf, draft.received_ms, trouble)
            statuses.append(told.status)
            tally.enrichments[rule.site, rule.label, told.status] += 1
            _tell(draft, rule, told.warnings)
        if statuses:
            _context(event)["enrichment"] = {"status": _overall(statuses)}
        for store, key, value in said:
            try:
                known.shelf.put(store.ref, key, value, draft.received_ms, store.keep_ms)
            except StoreUnavailableError as error:
                trouble.says(str(error))

    return Step("enrich", enrich)


class _Trouble:
    """Says what hinders the stores once, not per event."""

    def __init__(self) -> None:
        self._said: Counter[str] = Counter()

    def says(self, text: str) -> None:
        if not self._said[text]:
            log.warning("data stores not in use", reason=text)
        self._said[text] += 1


def _kept(
    mine: Sequence[_Keeping], draft: Draft, zones: Mapping[str, tzinfo]
) -> Iterator[tuple[DataStore, str, bytes]]:
    """What the event says to each store, encoded as it is now. Nothing without the user's consent."""
    given = granted(draft.event)
    for store, names, chosen, condition in mine:
        if store.consent not in given or (condition is not None and not condition.holds(_run(draft, zones))):
            continue
        for holder in holders(draft.event, names):
            if (key := key_of(holder.value, names[-1])) is not None:
                yield store, key, _encode(picked(draft.event, chosen))


def _enriched(
    event: Object, rule: Enrichment, names: Sequence[str], shelf: Shelf, now_ms: int, trouble: _Trouble
) -> _Told:
    asked = found = 0
    warnings: list[Warned] = []
    for holder in holders(event, names):
        asked += 1
        key = key_of(holder.value, names[-1])
        if key is None:
            warnings.append(Warned("missing_key", f"event.{rule.key}", "the key is not in the event"))
            continue
        try:
            stored = shelf.get(rule.store, key, now_ms)
        except StoreUnavailableError as error:
            trouble.says(str(error))
            warnings.append(Warned("store_error", f"event.{rule.key}", "the store could not be read"))
            continue
        if stored is None:
            warnings.append(Warned("no_data", f"event.{rule.key}", "nothing is stored under this key"))
            continue
        found += 1
        base, at = _base(event, rule, holder.value, holder.path)
        if base is None:
            warnings.append(Warned("type_error", f"event.{at}", "is no object that properties can be added to"))
        else:
            warnings += merge(base, at, stored, rule.rows)
    if not asked:
        return _Told(1, 0, [Warned("missing_key", f"event.{rule.key}", "the key is not in the event")])
    return _Told(asked, found, warnings)


def _asked(draft: Draft, rule: Enrichment, call: Call | str, answers: Answers) -> _Told:
    if isinstance(call, str):
        return _Told(1, 0, [Warned("missing_key", "event", call)])
    answer = answers.get(call)
    if answer is None:
        return _Told(1, 0, [Warned("timeout", "event", "there was no time to ask for it")])
    if answer.value is None:
        return _Told(1, 0, [Warned(answer.code, "event", answer.message)])
    base, at = _base(draft.event, rule, draft.event, "")
    if base is None:
        return _Told(1, 1, [Warned("type_error", f"event.{at}", "is no object that properties can be added to")])
    return _Told(1, 1, merge(base, at, answer.value, rule.rows))


def _located(event: Object, geo: Geo, trouble: _Trouble) -> _Told:
    path = "event.context.device.ip"
    device = _context(event).get("device")
    address = device.get("ip") if isinstance(device, dict) else None
    if not isinstance(address, str) or not address:
        return _Told(1, 0, [Warned("missing_key", path, "the event has no address")])
    try:
        place = geo.place(address)
    except StoreUnavailableError as error:
        trouble.says(str(error))
        return _Told(1, 0, [Warned("store_error", path, "the geo database could not be read")])
    if place is None:
        return _Told(1, 0, [Warned("no_data", path, "nothing is known of this address")])
    return _filled(_context(event), "geo", place, "event.context.geo")


def _described(event: Object) -> _Told:
    path = "event.context.device.user_agent"
    device = _context(event).get("device")
    user_agent = device.get("user_agent") if isinstance(device, dict) else None
    if not isinstance(device, dict) or not isinstance(user_agent, str) or not user_agent:
        return _Told(1, 0, [Warned("missing_key", path, "the event has no user agent")])
    said = device_of(user_agent)
    if said is None:
        return _Told(1, 0, [Warned("no_data", path, "nothing is known of this user agent")])
    known = {name: value for name, value in msgspec.to_builtins(said).items() if value}
    return _filled(_context(event), "device", known, "event.context.device")


def _filled(holder: Object, name: str, known: Mapping[str, object], path: str) -> _Told:
    """What is known, in an object of the event; what is there already stays."""
    target = holder.setdefault(name, {})
    if not isinstance(target, dict):
        return _Told(1, 1, [Warned("type_error", path, "is no object that properties can be added to")])
    for inner, value in known.items():
        target.setdefault(inner, value)
    return _Told(1, 1, [])


def _base(event: Object, rule: Enrichment, holder: Object, path: str) -> tuple[Object | None, str]:
    """Where the rows begin, and the path of that place."""
    if rule.placement == "root":
        return event, ""
    if rule.placement == "same_level":
        return holder, path
    base = event
    for name in rule.path.split("."):
        inner = base.setdefault(name, {})
        if not isinstance(inner, dict):
            return None, rule.path
        base = inner
    return base, rule.path


def _tell(draft: Draft, rule: Enrichment, warnings: Sequence[Warned]) -> None:
    """Into `context.warnings` (§6.5), once per code and path."""
    if warnings:
        entries = [Told("enrichment", "enrich", path, code, message, rule.label) for code, path, message in warnings]
        tell(draft, "enrichment_warning", entries)


def _overall(statuses: Sequence[str]) -> str:
    return statuses[0] if len(set(statuses)) == 1 else _PARTIAL


def _run(draft: Draft, zones: Mapping[str, tzinfo]) -> Run:
    if draft.run is None:
        draft.run = Run(draft.event, draft.received_ms, zones.get(draft.source, UTC))
    return draft.run


def _compiled(text: str) -> Formula | None:
    return compile_formula(text) if text else None


def _context(event: Object) -> Object:
    context = event.get("context")
    if not isinstance(context, dict):
        context = event["context"] = {}
    return context
