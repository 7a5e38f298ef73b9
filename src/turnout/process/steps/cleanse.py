"""Stages 1 and 5: rename, change, filter and derive events by rule (`processing.md` §4).

Rules are compiled once per configuration, and sorted by source: one that does not concern a source costs its events
nothing. They run in order, each on what the one before left. A derived event has an id that follows from its parent
and the rule, so an event that is processed twice derives the same event twice.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import NamedTuple, TypeAlias

import msgspec

from turnout.formula import Formula, Run, compile_formula
from turnout.mapping import changes
from turnout.mapping.changes import Event
from turnout.model.change import Change
from turnout.model.cleansing import DeriveEvent, FilterEvent, ModifyProperties, RenameEvent, Rule, Timing
from turnout.model.event import ROUTED, Reason, Received
from turnout.process.chain import Draft, Step, Tally

Operate: TypeAlias = Callable[[Draft, Run], None]

DERIVED = uuid.UUID("f6a1c1a6-4e0c-5d0c-9a37-3c0c8a8c2f1b")
"""The namespace of the ids of derived events."""
_MOST_WARNINGS = 50

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
        if "formula_warning" not in draft.warnings:
            draft.warnings += ("formula_warning",)
        context = _context(draft.event)
        if context is None:
            return
        told = context.get("warnings")
        if not isinstance(told, list):
            told = context["warnings"] = []
        for code, message in warned.values():
            detail = {"code": code, "message": message, "rule": self.key[1]}
            known = any(isinstance(one, dict) and _is_told(one.get("detail"), detail) for one in told)
            if not known and len(told) < _MOST_WARNINGS:
                told.append({"type": "formula", "step": "cleansing", "path": path, "detail": detail})


class _Compiled(NamedTuple):
    account: _Account
    condition: Formula | None
    operate: Operate
    derives: bool


def cleansing(rules: Sequence[Rule], timing: Timing, tally: Tally, zones: Mapping[str, tzinfo]) -> Step:
    """The step of these rules, in this order. Counts in `tally` what they come to; `zones` are those of sources.

    Raises `FormulaError` for a formula that cannot work.
    """
    by_source: dict[str, list[_Compiled]] = {}
    for rule in rules:
        one = _compiled(rule, tally)
        # A rule that never applies is seen to do so.
        tally.hits[one.account.key] += 0
        for source in rule.sources:
            by_source.setdefault(source, []).append(one)

    def cleanse(draft: Draft) -> None:
        concerned = by_source.get(draft.source)
        if concerned is None:
            return
        run = draft.run
        if run is None:
            run = draft.run = Run(draft.event, draft.received_ms, zones.get(draft.source, UTC))
        for account, condition, operate, derives in concerned:
            if derives and draft.derived_from:
                continue
            if condition is None or condition.holds(run):
                tally.hits[account.key] += 1
                operate(draft, run)
            if run.warnings:
                account.tell(draft, run, "")
            if draft.status not in ROUTED:
                return

    if timing == "reception":
        return Step("cleanse", cleanse, for_derived=False)
    return Step("cleanse_after_enrichment", cleanse)


def _compiled(rule: Rule, tally: Tally) -> _Compiled:
    account = _Account((rule.site, rule.label), tally)
    condition = compile_formula(rule.when) if rule.when else None
    return _Compiled(account, condition, _operation(rule, account), isinstance(rule.operation, DeriveEvent))


def _operation(rule: Rule, account: _Account) -> Operate:
    match rule.operation:
        case RenameEvent(to):
            return lambda draft, run: _rename(draft.event, to)
        case ModifyProperties(rows):
            apply = _rows(rows, account)
            return lambda draft, run: apply(draft, draft.event, run)
        case FilterEvent():
            return lambda draft, run: _filter(draft, rule.label)
        case DeriveEvent(name, rows):
            return _derive(name, rows, account)


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


def _rows(rows: Sequence[Change], account: _Account) -> Callable[[Draft, Event, Run], None]:
    """All rows on an event, which may be another than the draft's own; warnings are the draft's."""
    applied = [(row.property, changes.compiled(row)) for row in rows]

    def apply(draft: Draft, event: Event, run: Run) -> None:
        for path, change in applied:
            change(event, run)
            if run.warnings:
                account.tell(draft, run, path)

    return apply


def _derive(name: str, rows: Sequence[Change], account: _Account) -> Operate:
    apply = _rows(rows, account)
    _, label = account.key

    def derive(draft: Draft, run: Run) -> None:
        event = _decode(_encode(draft.event))
        event["event_name"] = name
        apply(draft, event, Run(event, draft.received_ms, run.zone))
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


def _is_told(one: object, detail: dict[str, str]) -> bool:
    return isinstance(one, dict) and (one.get("code"), one.get("rule")) == (detail["code"], detail["rule"])


def _context(event: Event) -> Event | None:
    """The event's context, made where there is none; None if something else stands there."""
    context = event.get("context")
    if context is None:
        context = event["context"] = {}
    return context if isinstance(context, dict) else None
