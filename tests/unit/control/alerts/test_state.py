"""States and messages: when a rule fires, when it is well again, who is told what."""

import msgspec
import pytest

from turnout.control.alerts.check import Reading, Verdict
from turnout.control.alerts.state import Message, State, messages, step
from turnout.model.alerts import Frequency, Notification

MINUTE, HOUR = 60_000, 3_600_000
START = 1_700_000_000_000
LETTERS: dict[str, Verdict] = {"g": "good", "b": "bad", "n": "no_data", "o": "off"}
OPS = Notification(name="ops", channel="EMAIL", frequency="1h")


def play(
    verdicts: str, *notify: Notification, minutes: float = 1, snoozed: tuple[int, int] = (0, 0)
) -> tuple[str, list[str], State]:
    """Checks one after the other: the phases, what was said after each, and the last state.

    `snoozed`: from which check on, until which.
    """
    state = State()
    phases, said = "", []
    for index, letter in enumerate(verdicts):
        now = START + int(index * minutes * MINUTE)
        reading = Reading(verdict=LETTERS[letter])
        until = START + int(snoozed[1] * minutes * MINUTE) if snoozed[0] <= index else 0
        state, found = messages(step(state, reading, now), reading, notify, until, now)
        phases += {"ok": ".", "firing": "F", "no_data": "-"}[state.phase]
        said += [f"{index} {one.notification} {one.kind}" for one in found]
    return phases, said, state


@pytest.mark.parametrize(
    ("verdicts", "phases"),
    [
        ("ggg", "..."),
        ("b", "F"),
        ("gb", ".F"),
        ("bgg", "FF."),
        ("bgbgg", "FFFF."),
        ("bgngg", "FFFF."),
        ("nng", "--."),
        ("bnnn", "FFFF"),
        ("gngb", ".-.F"),
        ("bo", "F-"),
        ("obo", "-F-"),
        ("bggb", "FF.F"),
    ],
)
def test_a_rule_fires_at_once_and_is_well_after_two_good_checks(verdicts: str, phases: str) -> None:
    assert play(verdicts)[0] == phases


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ("gg", []),
        ("gbbb", ["1 ops firing"]),
        ("bgg", ["0 ops firing", "2 ops resolved"]),
        ("bgbgg", ["0 ops firing", "4 ops resolved"]),
        ("bggbgg", ["0 ops firing", "2 ops resolved", "3 ops firing", "5 ops resolved"]),
        ("bo", ["0 ops firing", "1 ops resolved"]),
        ("nno", []),
    ],
)
def test_each_change_is_told_once(verdicts: str, said: list[str]) -> None:
    assert play(verdicts, OPS)[1] == said


@pytest.mark.parametrize(
    ("frequency", "verdicts", "said"),
    [
        ("1h", "b" * 9, ["0 ops firing", "4 ops reminder", "8 ops reminder"]),
        ("30m", "b" * 5, ["0 ops firing", "2 ops reminder", "4 ops reminder"]),
        ("15m", "bbb", ["0 ops firing", "1 ops reminder", "2 ops reminder"]),
        ("never", "b" * 20, ["0 ops firing"]),
        ("1h", "bbbbg" + "bbbbgg", ["0 ops firing", "5 ops reminder", "10 ops resolved"]),
        ("1h", "bbbbnnnnb", ["0 ops firing", "8 ops reminder"]),
    ],
)
def test_what_lasts_is_told_again_by_frequency_and_only_while_it_is_seen(
    frequency: Frequency, verdicts: str, said: list[str]
) -> None:
    ops = msgspec.structs.replace(OPS, frequency=frequency)
    assert play(verdicts, ops, minutes=15)[1] == said


def test_checks_that_come_a_little_early_put_no_reminder_off() -> None:
    assert play("b" * 121, OPS, minutes=0.9999)[1] == ["0 ops firing", "60 ops reminder", "120 ops reminder"]


def test_a_snooze_delays_messages_and_loses_none() -> None:
    assert play("bbbbbb", OPS, snoozed=(0, 3))[1] == ["3 ops firing"]
    assert play("bggggg", OPS, snoozed=(1, 4))[1] == ["0 ops firing", "4 ops resolved"]
    assert play("bgggbb", OPS, snoozed=(1, 5))[1] == ["0 ops firing"]
    assert play("gbggg", OPS, snoozed=(1, 4))[1] == []


def test_who_is_added_later_is_told_what_lasts_and_who_is_removed_is_forgotten() -> None:
    _, _, state = play("bb", OPS)
    chat = Notification(name="chat", channel="SLACK")
    bad = Reading(verdict="bad")
    now = START + 2 * MINUTE
    state, found = messages(step(state, bad, now), bad, [OPS, chat], 0, now)
    assert found == [Message("chat", "firing")]
    state, found = messages(step(state, bad, now + MINUTE), bad, [chat], 0, now + MINUTE)
    assert (found, set(state.told)) == ([], {"chat"})


def test_a_state_remembers_since_when_and_what_it_saw() -> None:
    state = step(State(), Reading(verdict="good", value=99.0), START)
    state = step(state, Reading(verdict="bad", value=12.5), START + MINUTE)
    state = step(state, Reading(verdict="bad", value=10.0), START + 2 * MINUTE)
    assert (state.phase, state.since_ms, state.checked_ms, state.value) == (
        "firing",
        START + MINUTE,
        START + 2 * MINUTE,
        10.0,
    )
    assert msgspec.json.decode(msgspec.json.encode(state), type=State) == state
