"""From readings to states, and from states to messages. Pure.

What must stay true:

* A rule fires at the first bad check and is well again after two good ones in a row. While it fires, too little data
  neither ends it nor reminds of it: nobody knows that it is over.
* A message follows from what its receivers were told last, not from the check that changed the state. So one who is
  added later is told of what lasts, and a snooze delays the message that would end it, but loses none.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from turnout.control.alerts.check import Reading
from turnout.model.alerts import FREQUENCY_MS, Notification

Phase = Literal["ok", "firing", "no_data"]
Kind = Literal["firing", "reminder", "resolved"]

GOOD_CHECKS = 2
_TOLERANCE_MS = 30_000
"""Checks are a minute apart, or a little less: a reminder is not put off by a minute for that."""


class Told(msgspec.Struct, frozen=True):
    """What receivers of a notification were told last, and when."""

    at_ms: int
    firing: bool


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a rule between two checks. `since_ms` is when the phase began; `good`: good checks in a row."""

    phase: Phase = "ok"
    since_ms: int | None = None
    checked_ms: int | None = None
    value: float | None = None
    good: int = 0
    told: dict[str, Told] = {}
    """By name of the notification."""


class Message(NamedTuple):
    """What one notification has to say now."""

    notification: str
    kind: Kind


def step(before: State, reading: Reading, now_ms: int) -> State:
    """The state after a check."""
    good = before.good + 1 if reading.verdict == "good" else 0
    phase: Phase
    match reading.verdict:
        case "bad":
            phase = "firing"
        case "good":
            phase = "firing" if before.phase == "firing" and good < GOOD_CHECKS else "ok"
        case "no_data":
            phase = "firing" if before.phase == "firing" else "no_data"
        case "off":
            phase = "no_data"
    since_ms = before.since_ms if phase == before.phase and before.since_ms is not None else now_ms
    return msgspec.structs.replace(
        before, phase=phase, since_ms=since_ms, checked_ms=now_ms, value=reading.value, good=good
    )


def messages(
    state: State, reading: Reading, notify: Iterable[Notification], snoozed_until_ms: int, now_ms: int
) -> tuple[State, list[Message]]:
    """What has to be said after the check that gave this state, and the state once it is said."""
    told = {one.name: state.told[one.name] for one in notify if one.name in state.told}
    found: list[Message] = []
    for one in notify:
        kind = _kind(state, reading, one, now_ms) if now_ms >= snoozed_until_ms else None
        if kind is not None:
            found.append(Message(one.name, kind))
            told[one.name] = Told(now_ms, kind != "resolved")
    return msgspec.structs.replace(state, told=told), found


def _kind(state: State, reading: Reading, notification: Notification, now_ms: int) -> Kind | None:
    told = state.told.get(notification.name)
    if state.phase != "firing":
        return "resolved" if told is not None and told.firing else None
    if told is None or not told.firing:
        return "firing"
    every_ms = FREQUENCY_MS[notification.frequency]
    due = every_ms is not None and now_ms - told.at_ms >= every_ms - _TOLERANCE_MS
    return "reminder" if due and reading.verdict == "bad" else None
