"""One destination at work: outcomes, order, the breaker, the ledger's bound, faulty destinations, a full disk."""

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.unit.deliver.rig import DOWN, Answer, FakeDestination, Rig, eventually, set_full
from turnout.deliver import outlet, retries, stream
from turnout.destinations.interface import Event
from turnout.model.config import Delivery
from turnout.model.outcome import DELIVERED, Result
from turnout.receipts.trace import Fate, trace

IMPATIENT = Delivery(backoff_s=0.0)
ORDERED = Delivery(backoff_s=0.0, ordered=True)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops look again at once; what is due is up to the clock in the test's hand."""
    for module, name in ((retries, "_IDLE_S"), (stream, "_IDLE_S"), (outlet, "_PERSIST_S")):
        monkeypatch.setattr(module, name, 0.002)


def play(scenario: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 120))


def per_event(**answers: Result) -> Answer:
    return lambda event: answers.get(event.event_id, DELIVERED)


def times(number: int, first: Result, then: Result = DELIVERED) -> Answer:
    """`first` for an event's first attempts, then `then`."""
    seen: dict[str, int] = {}

    def answer(event: Event) -> Result:
        seen[event.event_id] = seen.get(event.event_id, 0) + 1
        return first if seen[event.event_id] <= number else then

    return answer


def fate(rig: Rig, event_id: str) -> Fate:
    (found,) = trace(rig.log, rig.store, event_id)
    return found.destinations[0]


@pytest.mark.parametrize(
    ("answer", "outcomes", "expected"),
    [
        (DELIVERED, {"delivered": 1}, Fate(destination="29/orders", outcome="delivered", attempts=1)),
        (
            Result("rejected", "incomplete", "no id"),
            {"rejected": 1},
            Fate(destination="29/orders", outcome="rejected", reason="incomplete", detail="no id", attempts=1),
        ),
        (
            Result("error", "404_not_found", "gone"),
            {"error": 1},
            Fate(destination="29/orders", outcome="error", reason="404_not_found", detail="gone", attempts=1),
        ),
        (
            Result("filtered", "unsupported_event"),
            {"filtered": 1},
            Fate(destination="29/orders", outcome="filtered", reason="unsupported_event"),
        ),
    ],
)
def test_a_final_answer_is_the_outcome(
    tmp_path: Path, answer: Result, outcomes: dict[str, int], expected: Fate
) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: answer))
        rig.add("a1")
        async with rig.running():
            await rig.settled()
        assert rig.outcomes() == outcomes
        assert fate(rig, "a1") == expected
        dead = [letter.event_id for letter in rig.store.dead_letters(rig.id)]
        assert dead == (["a1"] if answer.kind in ("rejected", "error") else [])

    play(scenario())


def test_a_failure_is_tried_again_when_it_is_due_and_not_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        fails = times(2, Result("retry", "502_bad_gateway", "oops", 7.0))
        rig = Rig(tmp_path, FakeDestination(lambda event: fails(event) if event.event_id == "a1" else DELIVERED))
        rig.add("a1")
        async with rig.running():
            await eventually(lambda: rig.store.pending(rig.id), "the first failure")
            waiting = fate(rig, "a1")
            assert (waiting.outcome, waiting.reason, waiting.detail, waiting.attempts) == (
                *("pending", "502_bad_gateway", "oops", 1),
            )
            assert waiting.next_attempt_ms == rig.clock() + 7_000
            rig.clock.ms += 6_999
            rig.add("b1")
            await eventually(lambda: "b1" in rig.destination.delivered, "another event")
            assert rig.destination.sends.count(["a1"]) == 1
            rig.clock.ms += 1
            await eventually(lambda: fate(rig, "a1").attempts == 2, "the second attempt")
            rig.clock.ms += 8_000
            await rig.settled()
        assert fate(rig, "a1") == Fate(destination="29/orders", outcome="delivered", attempts=3)

    play(scenario())


def test_given_up_after_the_last_attempt_and_replayable(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(times(3, DOWN)), Delivery(backoff_s=0.0, max_attempts=3))
        rig.add("a1", "b1")
        async with rig.running():
            await rig.settled()
            assert rig.outcomes() == {"error": 2}
            assert fate(rig, "a1").attempts == 3
            letters = list(rig.store.dead_letters(rig.id))
            assert rig.store.replay(rig.id, letters, rig.clock()) == 2
            await rig.settled()
        assert rig.outcomes() == {"delivered": 2}
        assert rig.store.figures(rig.id).codes.items() >= {3: 2}.items(), "delivered after retry"

    play(scenario())


@pytest.mark.parametrize(
    ("settings", "outcomes"),
    [
        ({"event_names": frozenset(("search",))}, {"filtered": 1}),
        ({"sources": frozenset(("29/other",))}, {}),
        ({"status": "inactive"}, {}),
        ({"dry_mode": True}, {"dry_run": 1}),
        ({"dry_mode": True, "event_names": frozenset(("search",))}, {"filtered": 1}),
    ],
)
def test_what_is_not_to_be_sent_is_not_sent(
    tmp_path: Path, settings: dict[str, object], outcomes: dict[str, int]
) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path).again(**settings)
        rig.add("a1")
        async with rig.running():
            await rig.settled()
        assert rig.destination.sends == []
        assert rig.outcomes() == outcomes

    play(scenario())


def test_what_waits_in_the_ledger_is_not_sent_in_dry_mode(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN))
        rig.add("a1")
        async with rig.running():
            await eventually(lambda: rig.store.pending(rig.id), "a failure")
        dry = rig.again(dry_mode=True)
        async with dry.running():
            await dry.settled(passing_ms=1_000)
        assert dry.destination.sends == []
        assert dry.outcomes() == {"dry_run": 1}

    play(scenario())


def test_an_inactive_destination_keeps_what_it_owes(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN), Delivery(backoff_s=1.0))
        rig.add("a1")
        async with rig.running():
            await eventually(lambda: rig.store.pending(rig.id), "a failure")
        rig.clock.ms += 10_000
        idle = rig.again(status="inactive")
        async with idle.running():
            idle.add("b1")
            await eventually(idle.passed, "the end of the stream")
        assert (idle.destination.sends, idle.outcomes()) == ([], {"pending": 1})
        back = idle.again(status="active")
        async with back.running():
            await back.settled()
        assert back.destination.delivered == ["a1"]

    play(scenario())


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_every_event_is_sent_once_in_batches_of_the_size_that_is_taken(
    tmp_path: Path, batch_size: int, concurrency: int
) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(batch_size=batch_size, concurrency=concurrency))
        for start in range(0, 30, 6):
            rig.add(*(f"a{number}" for number in range(start, start + 6)))
        async with rig.running():
            await rig.settled()
        sent = [one for send in rig.destination.sends for one in send]
        assert sorted(sent) == sorted(f"a{number}" for number in range(30))
        assert max(map(len, rig.destination.sends)) == min(batch_size, 30)
        if concurrency == 1:
            assert sent == [f"a{number}" for number in range(30)]

    play(scenario())


@pytest.mark.parametrize("batch_size", [1, 3])
def test_ordered_keeps_each_users_events_in_order_through_failures(tmp_path: Path, batch_size: int) -> None:
    async def scenario() -> None:
        fails = times(2, DOWN)
        destination = FakeDestination(
            lambda event: fails(event) if event.event_id in ("a0", "a3", "b2") else DELIVERED, batch_size
        )
        rig = Rig(tmp_path, destination, ORDERED)
        async with rig.running() as runner:
            for number in range(6):
                rig.add(f"a{number}", f"b{number}", f"c{number}")
                runner.wake()
                await asyncio.sleep(0)
            await rig.settled()
        for user in "abc":
            mine = [one for one in destination.delivered if one[0] == user]
            assert mine == [f"{user}{number}" for number in range(6)]

    play(scenario())


def test_ordered_others_pass_while_a_user_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        down = True
        destination = FakeDestination(lambda event: DOWN if event.event_id == "a0" and down else DELIVERED)
        rig = Rig(tmp_path, destination, Delivery(backoff_s=100.0, ordered=True))
        rig.add("a0", "a1", "b0")
        rig.add("a2", "b1")
        async with rig.running():
            await eventually(rig.passed, "the end of the stream")
            assert destination.delivered == ["b0", "b1"]
            assert [fate(rig, one).next_attempt_ms is None for one in ("a0", "a1", "a2")] == [False, True, True]
            assert fate(rig, "a1").reason == "behind_earlier_event"
            down = False
            rig.clock.ms += 100_000
            await rig.settled()
        assert destination.delivered == ["b0", "b1", "a0", "a1", "a2"]

    play(scenario())


def test_ordered_goes_on_behind_an_event_that_is_given_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        destination = FakeDestination(per_event(a0=DOWN))
        rig = Rig(tmp_path, destination, Delivery(backoff_s=0.0, ordered=True, max_attempts=2))
        rig.add("a0", "a1", "a2")
        async with rig.running():
            await rig.settled()
        assert destination.delivered == ["a1", "a2"]
        assert rig.outcomes() == {"error": 1, "delivered": 2}

    play(scenario())


def test_without_a_user_order_means_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        destination = FakeDestination(per_event(a0=DOWN))
        rig = Rig(tmp_path, destination, Delivery(backoff_s=100.0, ordered=True))
        rig.add("a0", "b0", user_key="")
        rig.add("a1", user_key="")
        async with rig.running():
            await eventually(rig.passed, "the end of the stream")
        assert destination.delivered == ["b0", "a1"]

    play(scenario())


@pytest.mark.parametrize("ordered", [True, False])
def test_a_change_of_order_holds_for_what_waits_already(tmp_path: Path, ordered: bool) -> None:
    async def scenario() -> None:
        before = Delivery(backoff_s=1.0, ordered=not ordered)
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN), before)
        rig.add("a0", "a1", "b0")
        async with rig.running():
            await eventually(rig.passed, "the end of the stream")
        rig.clock.ms += 2_000
        after = rig.again(delivery=Delivery(backoff_s=1.0, ordered=ordered))
        entries = after.store.due(after.id, after.clock(), 100)
        assert sorted(one.event_id for one in entries) == (["a0", "b0"] if not ordered else ["a0", "a1", "b0"])
        async with after.running():
            await after.settled()
        if ordered:
            assert after.destination.delivered.index("a0") < after.destination.delivered.index("a1")

    play(scenario())


def test_an_open_breaker_puts_off_without_attempts_and_stops_reading(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN, concurrency=1))
        rig.add(*(f"a{number}" for number in range(25)))
        async with rig.running() as runner:
            await eventually(lambda: rig.store.pending(rig.id) == 25, "the batch to be put off")
            assert (runner.breaker, runner.trouble) == ("open", "connection_failed")
            rig.add("b1")
            runner.wake()
            await asyncio.sleep(0.02)
            assert len(rig.destination.sends) == 10
            assert rig.report().lag == 1
            assert (fate(rig, "a24").attempts, fate(rig, "a24").reason) == (0, "breaker_open")
            rig.destination.answer = lambda _: DELIVERED
            rig.clock.ms += 1_000
            await eventually(rig.passed, "the breaker to close")
            assert runner.breaker == "closed"
            rig.clock.ms += 2_000
            await rig.settled()
        assert rig.outcomes() == {"delivered": 26}
        immediate = rig.store.figures(rig.id).codes
        assert {int(code): n for code, n in immediate.items() if n} == {2: 16, 3: 10}

    play(scenario())


def test_probes_use_up_no_attempts_of_the_event(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN), Delivery(backoff_s=3_000.0, max_attempts=2))
        rig.add(*(f"a{number}" for number in range(12)))
        async with rig.running() as runner:
            await eventually(lambda: rig.store.pending(rig.id) == 12, "the batch to be put off")
            for made in range(1, 11):
                # Too early for the second attempt of any event, but every minute is time for a probe.
                rig.clock.ms += 61_000
                await eventually(partial(lambda n: len(rig.destination.sends) == n, 12 + made - 2), "a probe")
                await eventually(lambda: runner.breaker == "open", "the probe to fail")
            assert rig.outcomes() == {"pending": 12}
            rig.destination.answer = lambda _: DELIVERED
            await rig.settled(passing_ms=60_000)
        assert rig.outcomes() == {"delivered": 12}

    play(scenario())


UNSENT = Result("filtered", "unsupported_event", asked=False)


def test_events_that_are_not_sent_say_nothing_about_the_partner(tmp_path: Path) -> None:
    async def scenario() -> None:
        def answer(event: Event) -> Result:
            return UNSENT if event.event_id.startswith("x") else DOWN

        rig = Rig(tmp_path, FakeDestination(answer, concurrency=1))
        rig.add(*(f"{kind}{number}" for number in range(12) for kind in "ax"))
        async with rig.running() as runner:
            await eventually(rig.passed, "the end of the stream")
            assert runner.breaker == "open"
            # All but one are not sent any more, say because the mapping has changed: that one is the probe.
            rig.destination.answer = lambda event: DOWN if event.event_id == "a11" else UNSENT
            before = len(rig.destination.sends)
            rig.clock.ms += 2_000
            await eventually(lambda: ["a11"] in rig.destination.sends[before:], "a probe")
            await eventually(lambda: runner.breaker == "open", "the probe to fail")
            rig.destination.answer = lambda _: UNSENT
            await rig.settled(passing_ms=61_000)
            await eventually(lambda: runner.breaker == "closed", "nothing to be left to find out")
        assert rig.outcomes() == {"filtered": 24}

    play(scenario())


def test_one_failed_attempt_counts_once_however_many_events_it_had(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN, batch_size=100))
        rig.add(*(f"a{number}" for number in range(100)))
        async with rig.running() as runner:
            await eventually(lambda: rig.store.pending(rig.id) == 100, "the failure")
            assert runner.breaker == "closed"

    play(scenario())


def test_a_partner_that_asks_for_time_gets_it_from_probes_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        slow_down = Result("retry", "429_too_many_requests", "", 300.0)
        rig = Rig(tmp_path, FakeDestination(lambda _: slow_down, concurrency=1))
        rig.add(*(f"a{number}" for number in range(20)))
        async with rig.running() as runner:
            await eventually(lambda: rig.store.pending(rig.id) == 20, "the batch to be put off")
            rig.clock.ms += 299_999
            await asyncio.sleep(0.02)
            assert (len(rig.destination.sends), runner.breaker) == (10, "open")
            rig.destination.answer = lambda _: DELIVERED
            rig.clock.ms += 1
            await rig.settled()

    play(scenario())


def test_at_the_ledgers_bound_reading_stops_and_retries_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LEDGER_BOUND", 8)

    async def scenario() -> None:
        # Half of the events fail, so that the breaker itself stays closed.
        rig = Rig(
            tmp_path,
            FakeDestination(lambda event: DOWN if event.event_id.startswith("a") else DELIVERED),
            Delivery(backoff_s=2.0),
        )
        monkeypatch.setattr(stream, "FETCH_RECORDS", 2)
        for number in range(20):
            rig.add(f"a{number}", f"b{number}")
        async with rig.running() as runner:
            await eventually(lambda: runner.breaker == "open", "the bound")
            assert rig.store.pending(rig.id) == 8
            assert rig.report().lag == 40 - 16
            sends = len(rig.destination.sends)
            rig.clock.ms += 2_000
            await eventually(lambda: len(rig.destination.sends) == sends + 8, "retries")
            assert rig.report().lag == 40 - 16
            rig.destination.answer = lambda _: DELIVERED
            rig.clock.ms += 10_000
            await rig.settled()
            assert runner.breaker == "closed"
        assert rig.outcomes() == {"delivered": 40}

    play(scenario())


@pytest.mark.parametrize("fault", ["raises", "too few", "too many", "none"])
def test_a_faulty_destination_is_tried_again_and_the_sums_close(tmp_path: Path, fault: str) -> None:
    class Faulty(FakeDestination):
        async def send(self, events: Sequence[Event]) -> Sequence[Result]:
            results = [*await super().send(events)]
            if len(self.sends) > 2:
                return results
            if fault == "raises":
                raise RuntimeError("a bug")
            return {"too few": results[1:], "too many": results * 2, "none": []}[fault]

    async def scenario() -> None:
        rig = Rig(tmp_path, Faulty(batch_size=3), IMPATIENT)
        rig.add("a1", "b1", "c1")
        async with rig.running():
            await rig.settled()
        assert rig.outcomes() == {"delivered": 3}
        assert fate(rig, "a1").attempts == 3

    play(scenario())


def test_stopping_records_attempts_under_way_and_starts_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(concurrency=2))
        go_on = asyncio.Event()
        rig.destination.gate = go_on.wait
        rig.add(*(f"a{number}" for number in range(10)))
        async with rig.running() as runner:
            await eventually(lambda: len(rig.destination.sends) == 2, "two attempts under way")
            runner.stop()
            go_on.set()
        assert len(rig.destination.sends) == 2
        assert rig.outcomes() == {"delivered": 2, "pending": 8}
        rest = rig.again()
        async with rest.running():
            await rest.settled()
        assert sorted(rest.destination.delivered) == [f"a{number}" for number in range(2, 10)]

    play(scenario())


@pytest.mark.parametrize("stage", ["first attempt", "retry"])
def test_a_full_disk_loses_nothing_and_sends_nothing_twice(tmp_path: Path, stage: str) -> None:
    async def scenario() -> None:
        payload = "x" * 200_000
        answers = times(
            1, Result("retry", "busy", payload) if stage == "first attempt" else DOWN, Result("error", payload)
        )
        rig = Rig(tmp_path, FakeDestination(answers), Delivery(backoff_s=1.0))
        full = partial(set_full, rig.store.db)
        if stage == "first attempt":
            full(True)
        rig.add("a1", "b1")
        async with rig.running() as runner:
            if stage == "retry":
                await eventually(lambda: rig.store.pending(rig.id) == 2, "the first failure")
                full(True)
                rig.clock.ms += 1_000
            await eventually(lambda: "full" in runner.trouble, "trouble to show")
            sends = len(rig.destination.sends)
            await asyncio.sleep(0.02)
            assert len(rig.destination.sends) == sends
            full(False)
            await eventually(lambda: not runner.trouble or "full" not in runner.trouble, "space to be noticed")
            rig.clock.ms += 1_000
            await rig.settled()
        assert rig.destination.sends.count(["a1"]) == rig.destination.sends.count(["b1"]) == 2
        assert rig.outcomes() == {"error": 2}

    play(scenario())
