"""Checks an event against its site's specification, or the standard events (`processing.md` §5).

Without a specification nothing is dropped or refused: a missing or wrong property is flagged, and the event goes on.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from turnout.model.config import Snapshot
from turnout.model.event import Reason
from turnout.model.specification import Actions
from turnout.process.chain import Draft, Step
from turnout.process.checkers import MOST_FINDINGS, Finding
from turnout.process.compile import CUSTOM, DEFAULT, Checks, EventChecker, Moment

Action = Literal["accepted", "omitted", "rejected"]

_DONE: dict[str, Action] = {"accept": "accepted", "omit": "omitted", "reject": "rejected", "common": "accepted"}


class Violation(msgspec.Struct, frozen=True):
    """One entry of `context.dataquality.violations` (`processing.md` §5.5).

    `path` has list indexes as segments (`items.0.product.price`), counted before this check removed any; `rule` is
    `missing_required`, `format`, `unspecified_property`, `unspecified_event` or `mixed_currencies`.
    """

    path: str
    rule: str
    action: Action
    message: str


def check(event: dict[str, object]) -> list[Violation]:
    """What is wrong with this event by the standard events alone, at most 50 entries, in no promised order.

    Converts values in place where that loses nothing (`processing.md` §5.4). Never raises for an event that
    came out of the JSON decoder.
    """
    name = event.get("event_name")
    checker = DEFAULT.get(name, CUSTOM) if isinstance(name, str) else CUSTOM
    findings = _findings(event, checker)
    return [_violation(str(name), finding, "accepted") for finding in findings[:MOST_FINDINGS]] if findings else []


def check_event(draft: Draft) -> None:
    """The step for sites without a specification."""
    if violations := check(draft.event):
        _flag(draft, violations)


CHECK = Step("check", check_event)


def checking(snapshot: Snapshot, moment: Moment = "once") -> Step:
    """The step for this configuration: sites with a specification have theirs, in their sources' environment.

    Others are checked by the standard events, and not `before` they are enriched.
    """
    made: dict[tuple[str, Actions], Callable[[Draft], None]] = {}
    by_source: dict[str, Callable[[Draft], None]] = {}
    for source in snapshot.sources.values():
        specification = snapshot.specifications.get(source.site)
        if specification is None:
            continue
        actions = specification.of(source.environment)
        key = (source.site, actions)
        if key not in made:
            made[key] = specified(Checks(specification, actions, moment))
        by_source[source.ref] = made[key]
    if not by_source and moment != "before":
        return CHECK
    otherwise = check_event if moment != "before" else _pass

    def run(draft: Draft) -> None:
        by_source.get(draft.source, otherwise)(draft)

    return Step("normalise" if moment == "before" else "check", run)


def _pass(draft: Draft) -> None:
    """Nothing to do."""


def specified(checks: Checks) -> Callable[[Draft], None]:
    """Checks an event by these checks: removes, flags and refuses as they say."""
    done = _actions(checks.actions)

    def run(draft: Draft) -> None:
        name = draft.event.get("event_name")
        name = name if isinstance(name, str) else ""
        findings = _findings(draft.event, checks.of(name))
        if not findings:
            return
        violations = [_violation(name, finding, done[finding.rule]) for finding in findings]
        if len(violations) > MOST_FINDINGS:
            # What an event is refused for is told first.
            violations = sorted(violations, key=lambda one: one.action != "rejected")[:MOST_FINDINGS]
        _flag(draft, violations)

    return run


def _actions(actions: Actions) -> Mapping[str, Action]:
    """What is done about a finding, by its rule."""
    return {
        "missing_required": _DONE.get(actions.missing, "accepted"),
        "format": _DONE[actions.format],
        "mixed_currencies": "rejected" if actions.format == "reject" else "accepted",
        "unspecified_property": _DONE.get(actions.properties, "accepted"),
        "unspecified_event": _DONE.get(actions.events, "accepted"),
    }


def _findings(event: dict[str, object], checker: EventChecker) -> list[Finding]:
    findings: list[Finding] = []
    checker.shape(event, findings)
    for rule in checker.rules:
        rule(event, findings)
    return findings


def _violation(event: str, finding: Finding, action: Action) -> Violation:
    message = finding.message.format(event=event, path=finding.path)
    return Violation(finding.path, finding.rule, action, message)


def _flag(draft: Draft, violations: list[Violation]) -> None:
    """Write violations into the event, its reasons and its status."""
    rejected = any(violation.action == "rejected" for violation in violations)
    draft.settle("invalid_rejected" if rejected else "invalid_accepted")
    # What the collector has told of a property is not told again.
    known = {reason.path for reason in draft.reasons} - {one["path"] for one in draft.violations}
    draft.reasons += tuple(Reason(v.rule, v.path, v.message) for v in violations if v.path not in known)
    context = draft.event.get("context")
    if context is None:
        context = draft.event["context"] = {}
    draft.violations += tuple(msgspec.structs.asdict(violation) for violation in violations)
    if isinstance(context, dict):
        context["dataquality"] = {"violations": list(draft.violations[:MOST_FINDINGS])}
