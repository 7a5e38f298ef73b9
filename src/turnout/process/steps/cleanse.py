"""Stages 1 and 5: rename, change, filter and derive events by rule (`processing.md` §4).

Rules are compiled once per configuration, and sorted by source: one that does not concern a source costs its events
nothing. They run in order, each on what the one before left. A derived event has an id that follows from its parent
and the rule, so an event that is processed twice derives the same event twice.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import NamedTuple, TypeAlias, cast

import msgspec

from turnout.formula import Run, compile_formula
from turnout.formula.source import Source
from turnout.mapping import changes
from turnout.mapping.changes import Event
from turnout.model.change import Change
from turnout.model.cleansing import DeriveEvent, FilterEvent, ModifyProperties, RenameEvent, Rule, Timing
from turnout.model.event import ROUTED, Reason, Received
from turnout.process.chain import Draft, Step, Tally
from turnout.process.warned import Told, tell

_Cleanse: TypeAlias = Callable[[Draft, Run], None]

DERIVED = uuid.UUID("f6a1c1a6-4e0c-5d0c-9a37-3c0c8a8c2f1b")
"""The namespace of the ids of derived events."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, object]).decode


class _Account(NamedTuple):
    """Keeps what a rule comes to, and writes its warnings into events."""

    key: tuple[str, str]
    tally: Tally

    def tell(self, draft: Draft, run: Run, path: str) -> None:
        """Move the run's warnings to `context.warnings` (`formulas.md` §11), once per code and rule."""
        warned, run.warnings = run.warnings, {}
        self.tally.warnings[self.key] += len(warned)
        label = self.key[1]
        tell(draft, "formula_warning", [Told("formula", "cleansing", path, *one, label) for one in warned.values()])


def cleansing(rules: Sequence[Rule], timing: Timing, tally: Tally, zones: Mapping[str, tzinfo]) -> Step:
    """The step of these rules, in this order. Counts in `tally` what they come to; `zones` are those of sources.

    Raises `FormulaError` for a formula that cannot work.
    """
    by_source: dict[str, list[Rule]] = {}
    for rule in rules:
        # A rule that never applies is seen to do so.
        tally.hits[rule.site, rule.label] += 0
        for source in rule.sources:
            by_source.setdefault(source, []).append(rule)
    made: dict[tuple[int, ...], _Cleanse] = {}
    compiled: dict[str, _Cleanse] = {}
    for source, mine in by_source.items():
        key = tuple(map(id, mine))
        compiled[source] = made[key] = made.get(key) or _compiled(mine, tally)

    def cleanse(draft: Draft) -> None:
        apply = compiled.get(draft.source)
        if apply is not None:
            if draft.run is None:
                draft.run = Run(draft.event, draft.received_ms, zones.get(draft.source, UTC))
            apply(draft, draft.run)

    if timing == "reception":
        return Step("cleanse", cleanse, for_derived=False)
    return Step("cleanse_after_enrichment", cleanse)


def _compiled(rules: Sequence[Rule], tally: Tally) -> _Cleanse:
    """All these rules as one function (`docs/decisions/0016-formulas-as-source.md`)."""
    to = Source("def cleanse(draft, run):")
    to.line("event = draft.event")
    for rule in rules:
        if isinstance(rule.operation, DeriveEvent):
            with to.block("if not draft.derived_from:"):
                _write(to, rule, tally)
        else:
            _write(to, rule, tally)
    return cast("_Cleanse", to.function())


def _write(to: Source, rule: Rule, tally: Tally) -> None:
    account = _Account((rule.site, rule.label), tally)
    holds = compile_formula(rule.when).write_condition(to) if rule.when else "True"
    with to.block(f"if {holds}:"):
        to.line(f"{to.name(tally.hits)}[{to.name(account.key)}] += 1")
        match rule.operation:
            case RenameEvent(name):
                to.line(to.call(_rename, "event", to.name(name)))
            case ModifyProperties(rows):
                _write_rows(to, rows, account)
            case FilterEvent():
                to.line(to.call(_filter, "draft", to.name(rule.label)))
            case DeriveEvent(name, rows):
                to.line(to.call(_derive(name, rows, account), "draft", "run"))
    _write_telling(to, account, "")
    if isinstance(rule.operation, FilterEvent):
        with to.block(f"if draft.status not in {to.name(ROUTED)}:"):
            to.line("return")


def _write_rows(to: Source, rows: Sequence[Change], account: _Account) -> None:
    """The rows on `event`, which may be another than the draft's own; warnings are the draft's."""
    for row in rows:
        changes.writer(row)(to, "event")
        _write_telling(to, account, row.property)


def _write_telling(to: Source, account: _Account, path: str) -> None:
    with to.block("if run.warnings:"):
        to.line(f"{to.name(account)}.tell(draft, run, {to.name(path)})")


def _rename(event: Event, name: str) -> None:
    before = event.get("event_name")
    if before == name:
        return
    event["event_name"] = name
    if (context := _context(event)) is not None:
        context.setdefault("original_event_name", before)


def _filter(draft: Draft, label: str) -> None:
    draft.settle("filtered")
    draft.reasons += (Reason("filtered_by_rule", "", label),)


def _derive(name: str, rows: Sequence[Change], account: _Account) -> _Cleanse:
    to = Source("def change(draft, event, run):")
    _write_rows(to, rows, account)
    to.line("return None")
    change = cast("Callable[[Draft, Event, Run], None]", to.function())
    _, label = account.key

    def derive(draft: Draft, run: Run) -> None:
        event = _decode(_encode(draft.event))
        event["event_name"] = name
        change(draft, event, Run(event, draft.received_ms, run.zone))
        event_id = str(uuid.uuid5(DERIVED, "\n".join((draft.source, draft.event_id, label))))
        context = _context(event)
        if context is None:
            context = event["context"] = {}
        context.pop("original_event_name", None)
        context["event_id"] = event_id
        context["derived_from"] = draft.event_id
        payload = _encode(event)
        draft.derived.append(Received(event_id, draft.source, name, "valid", draft.received_ms, payload))

    return derive


def _context(event: Event) -> Event | None:
    """The event's context, made where there is none; None if something else stands there."""
    context = event.get("context")
    if context is None:
        context = event["context"] = {}
    return context if isinstance(context, dict) else None
