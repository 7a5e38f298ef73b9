"""What would become of an event: every state on its way through the pipeline."""

from collections.abc import Iterator

import msgspec

from turnout.model.event import Reason


class State(msgspec.Struct, frozen=True, kw_only=True):
    """An event after one step. `rule` is a cleansing rule's label, and `applied` whether it applied to the event.

    `event` is None where the step changed nothing. Reasons and warnings are those that the step added.
    """

    step: str
    rule: str = ""
    applied: bool = True
    status: str
    reasons: list[Reason]
    warnings: list[str]
    event: dict[str, object] | None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent. Secrets are masked."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a destination would do. `outcome` is "send", or as in a trace: not_offered, filtered, rejected, dry_run.

    `required` and `given` are consent categories. `event` is what its mapping makes of the event, None where it has
    none; `request` None where none would be sent, or not over HTTP.
    """

    destination: str
    linked: bool
    outcome: str
    reason: str = ""
    detail: str = ""
    required: list[str]
    mode: str
    given: list[str]
    filter: str
    event: object = None
    request: Request | None = None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `received` is None if the collector refused it, `event` what destinations get, None if nothing."""

    event_id: str
    event_name: str
    derived_from: str
    received: dict[str, object] | None
    states: list[State]
    status: str
    reasons: list[Reason]
    warnings: list[str]
    event: dict[str, object] | None
    destinations: list[Verdict]


ABSENT = ...
"""Stands for what is not there, where null is a value."""


def differences(before: object, after: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """What differs between two JSON values: path, the old and the new value; `ABSENT` for none.

    Lists of different lengths differ as a whole.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            inner = f"{path}.{name}" if path else name
            yield from differences(before.get(name, ABSENT), after.get(name, ABSENT), inner)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, f"{path}.{index}" if path else str(index))
    elif type(before) is not type(after) or before != after:
        yield path, before, after
