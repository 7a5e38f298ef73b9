"""Checks an event against the standard catalogue, with the documented defaults (`processing.md` §5.2).

Nothing is dropped or refused: a missing or wrong property is flagged, and the event goes on.
"""

from typing import Literal

import msgspec

from turnout.model.event import Reason
from turnout.process.catalogue import CUSTOM, STANDARD
from turnout.process.chain import Draft, Step
from turnout.process.checkers import MOST_FINDINGS, Finding


class Violation(msgspec.Struct, frozen=True):
    """One entry of `context.dataquality.violations` (`processing.md` §5.5).

    `path` has list indexes as segments (`items.0.product.price`); `rule` is `missing_required`, `format` or
    `mixed_currencies`.
    """

    path: str
    rule: str
    action: Literal["accepted", "omitted", "rejected"]
    message: str


def check_event(draft: Draft) -> None:
    """Stage 6: flags violations in the event, its reasons and its status."""
    violations = check(draft.event)
    if not violations:
        return
    draft.settle("invalid_accepted")
    known = {reason.path for reason in draft.reasons}
    draft.reasons += tuple(Reason(v.rule, v.path, v.message) for v in violations if v.path not in known)
    context = draft.event.get("context")
    if context is None:
        context = draft.event["context"] = {}
    if isinstance(context, dict):
        context["dataquality"] = {"violations": [msgspec.structs.asdict(v) for v in violations]}


CHECK = Step("check", check_event)


def check(event: dict[str, object]) -> list[Violation]:
    """What is wrong with this event, at most 50 entries, catalogue order within an object not promised.

    Converts values in place where that loses nothing (`processing.md` §5.4). Never raises for an event that
    came out of the JSON decoder.
    """
    name = event.get("event_name")
    shape, rules = STANDARD.get(name, CUSTOM) if isinstance(name, str) else CUSTOM
    findings: list[Finding] = []
    shape(event, findings)
    for rule in rules:
        rule(event, findings)
    if not findings:
        return []
    return [_violation(str(name), finding) for finding in findings[:MOST_FINDINGS]]


def _violation(event: str, finding: Finding) -> Violation:
    message = finding.message.format(event=event, path=finding.path)
    return Violation(finding.path, finding.rule, "accepted", message)
