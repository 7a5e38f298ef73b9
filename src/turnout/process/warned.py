"""`context.warnings`: what could not be done on the way, told in the event itself (`processing.md` §6.5)."""

from collections.abc import Iterable
from typing import NamedTuple

from turnout.process.chain import Draft

_MOST = 50


class Told(NamedTuple):
    """One entry. `code` is for counting, `message` for people, `rule` the label of the rule that met it."""

    type: str
    step: str
    path: str
    code: str
    message: str
    rule: str


def tell(draft: Draft, mark: str, warnings: Iterable[Told]) -> None:
    """Add warnings to the event, those that it does not have yet, at most 50; `mark` to the draft's own, once.

    An event whose `context` is no object has no place for them.
    """
    if mark not in draft.warnings:
        draft.warnings += (mark,)
    context = draft.event.get("context")
    if context is None:
        context = draft.event["context"] = {}
    if not isinstance(context, dict):
        return
    told = context.get("warnings")
    if not isinstance(told, list):
        told = context["warnings"] = []
    for one in warnings:
        if len(told) < _MOST and not any(_same(known, one) for known in told):
            detail = {"code": one.code, "message": one.message, "rule": one.rule}
            told.append({"type": one.type, "step": one.step, "path": one.path, "detail": detail})


def _same(known: object, one: Told) -> bool:
    """The same code of the same rule; of enrichments also at the same path (`formulas.md` §11: once per rule)."""
    if not isinstance(known, dict) or not isinstance(detail := known.get("detail"), dict):
        return False
    if (detail.get("code"), detail.get("rule")) != (one.code, one.rule):
        return False
    return one.type == "formula" or (known.get("path"), detail.get("message")) == (one.path, one.message)
