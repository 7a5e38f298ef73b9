"""Consent and filters at delivery: what is decided when, what is kept of it, and what it costs."""

import asyncio
import json
from collections.abc import Coroutine, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.unit.deliver.rig import DOWN, Clock, FakeDestination, Rig, eventually
from turnout.breaker import THRESHOLD
from turnout.deliver import reader
from turnout.deliver.guard import Guard
from turnout.deliver.keeper import Keeper
from turnout.deliver.reader import Reader
from turnout.log.memory import MemoryLog
from turnout.model.config import Delivery
from turnout.model.event import ACCEPTED, PROCESSED, Processed, encode
from turnout.model.outcome import DELIVERED, Result
from turnout.model.requirement import Consent, Requirement
from turnout.model.sampling import Sampler
from turnout.receipts.retention import retain
from turnout.receipts.trace import Fate, Shortfall

THREE = Consent(categories=("3",))
REF = "29/orders"
SOON = "TIMESTAMP() < 1764001000000"
"""Holds at the rig's first time, and an hour later no longer."""
REFUSED = Result("rejected", "400_bad_request")


def play(scenario: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 120))


def consenting(*categories: object, **more: object) -> bytes:
    return json.dumps({"user": {"consent_categories": categories}, **more}).encode()


def stopped_by(required: Consent, *given: str) -> Fate:
    shortfall = Shortfall(required=required.categories, mode=required.mode, given=given)
    return Fate(destination=REF, outcome="filtered", reason="consent", detail=str(shortfall), consent=shortfall)


def test_what_is_not_consented_or_does_not_meet_the_condition_is_not_sent_and_says_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path).again(consent=THREE, filter="value > 10")
        rig.put(
            {"a1": consenting(3, value=11), "b1": consenting(1, value=11), "c1": consenting("3", value=10), "d1": b"[]"}
        )
        async with rig.running():
            await rig.settled()
        assert rig.destination.sends == [["a1"]]
        assert rig.fate("b1") == stopped_by(THREE, "1")
        assert rig.fate("b1").detail == "requires 3, given 1"
        assert rig.fate("c1") == Fate(destination=REF, outcome="filtered", reason="condition", detail="value > 10")
        assert rig.fate("d1") == stopped_by(THREE)
        assert rig.report().filtered == {"consent": 2, "condition": 1}
        assert rig.outcomes() == {"delivered": 1, "filtered": 3}

    play(scenario())


def test_nothing_is_sent_in_dry_mode_and_what_would_be_filtered_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path).again(consent=THREE, dry_mode=True)
        rig.put({"a1": consenting(3), "b1": consenting(1)})
        async with rig.running():
            await rig.settled()
        assert rig.destination.sends == []
        assert rig.outcomes() == {"dry_run": 1, "filtered": 1}

    play(scenario())


def test_the_outcome_keeps_what_was_required_when_it_was_decided(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path)
        both = Consent(categories=("3", "4"), mode="any")
        for number, consent in enumerate((THREE, both, None, THREE)):
            rig = rig.again(consent=consent)
            rig.put({f"{'abcd'[number]}1": consenting(1, 2)})
            async with rig.running():
                await rig.settled()
        assert [rig.fate(one) for one in ("a1", "b1")] == [stopped_by(THREE, "1", "2"), stopped_by(both, "1", "2")]
        assert rig.fate("b1").detail == "requires 3 or 4, given 1, 2"
        assert rig.fate("c1").outcome == "delivered"
        assert rig.fate("d1") == stopped_by(THREE, "1", "2")

    play(scenario())


def test_what_waits_is_decided_again_when_the_requirement_has_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN))
        rig.put({"a1": consenting(3), "b1": consenting(1), "c1": consenting(3)})
        async with rig.running():
            await eventually(lambda: rig.store.pending(rig.id) == 3, "failures")
        strict = rig.again(consent=THREE)
        async with strict.running():
            await strict.settled(passing_ms=1_000)
        assert sorted(strict.destination.delivered) == ["a1", "c1"]
        assert ["b1"] not in strict.destination.sends
        assert strict.fate("b1") == stopped_by(THREE, "1")
        loose = rig.again(consent=None)
        async with loose.running():
            await loose.settled()
        assert loose.fate("b1") == stopped_by(THREE, "1")
        assert loose.destination.sends == []

    play(scenario())


@pytest.mark.parametrize("restarted", [False, True])
def test_what_waits_keeps_its_decision_while_the_requirement_stays(tmp_path: Path, restarted: bool) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN)).again(filter=SOON)
        healthy, rig.destination = rig.destination, FakeDestination(lambda _: DOWN)
        rig.put({"a1": b"{}"})
        async with rig.running():
            await eventually(lambda: rig.store.pending(rig.id), "a failure")
            if not restarted:
                rig.destination.answer = lambda _: DELIVERED
                rig.clock.ms += 3_600_000
                await rig.settled()
        if restarted:
            rig.destination = healthy
            rig.clock.ms += 3_600_000
            async with rig.running():
                await rig.settled()
        assert rig.outcomes() == {"delivered": 1}
        rig.put({"b1": b"{}"})
        async with rig.running():
            await rig.settled()
        assert rig.fate("b1").reason == "condition"

    play(scenario())


def test_a_replay_is_decided_by_what_is_required_now(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: REFUSED))
        rig.put({"a1": consenting(3, value=1), "b1": consenting(1, value=1), "c1": consenting(3, value=0)})
        async with rig.running():
            await rig.settled()
        now = rig.again(consent=THREE, filter="value > 0")
        assert now.store.replay(now.id, list(now.store.dead_letters(now.id)), now.clock()) == 3
        async with now.running():
            await now.settled()
        assert now.destination.delivered == ["a1"]
        assert now.fate("b1") == stopped_by(THREE, "1")
        assert now.fate("c1") == Fate(destination=REF, outcome="filtered", reason="condition", detail="value > 0")
        assert now.outcomes() == {"delivered": 1, "filtered": 2}

    play(scenario())


def test_a_replay_is_decided_again_also_by_the_same_requirement(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path).again(filter=SOON)
        rig.destination.answer = lambda _: REFUSED
        rig.put({"a1": b"{}"})
        async with rig.running():
            await rig.settled()
            rig.clock.ms += 3_600_000
            rig.store.replay(rig.id, list(rig.store.dead_letters(rig.id)), rig.clock())
            await rig.settled()
        assert rig.fate("a1").reason == "condition"
        assert rig.destination.sends == [["a1"]]

    play(scenario())


def test_a_probe_is_made_with_an_event_that_may_be_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN))
        rig.put({"a1": consenting(1), "b1": consenting(1), "c1": consenting(3)})
        async with rig.running():
            await eventually(lambda: rig.store.pending(rig.id) == 3, "failures")
        rig.store.db.execute("UPDATE ledger SET due_ms=seq")
        strict = rig.again(consent=THREE)
        async with strict.running() as runner:
            for _ in range(THRESHOLD):
                runner._outlet.breaker.failed(strict.clock())
            strict.clock.ms += 1_000
            await strict.settled()
            assert runner.breaker == "closed"
        assert strict.destination.sends == [["c1"]]
        assert strict.outcomes() == {"delivered": 1, "filtered": 2}

    play(scenario())


@pytest.mark.parametrize("events", [{}, {"a1": consenting(1)}])
def test_a_breaker_closes_when_nothing_is_left_to_probe_with(tmp_path: Path, events: dict[str, bytes]) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN))
        rig.put({"z1": consenting(1), **events})
        async with rig.running():
            await eventually(lambda: rig.store.pending(rig.id) == 1 + len(events), "failures")
        strict = rig.again(consent=THREE)
        async with strict.running() as runner:
            for _ in range(THRESHOLD):
                runner._outlet.breaker.failed(strict.clock())
            strict.clock.ms += 1_000
            await eventually(lambda: runner.breaker == "closed", "the breaker to close")
        assert strict.destination.sends == []

    play(scenario())


def test_an_event_that_is_stopped_lets_the_next_of_its_user_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, FakeDestination(lambda _: DOWN), Delivery(ordered=True))
        rig.put({"a1": consenting(1), "a2": consenting(3), "a3": consenting(3)})
        async with rig.running():
            await eventually(lambda: rig.store.pending(rig.id) == 3, "a failure")
        strict = rig.again(consent=THREE)
        async with strict.running():
            await strict.settled(passing_ms=1_000)
        assert strict.destination.delivered == ["a2", "a3"]

    play(scenario())


def test_a_filter_that_fails_stops_the_event_and_is_told_once(tmp_path: Path) -> None:
    long = json.dumps({"a": "x" * 20_000}).encode()

    async def scenario() -> None:
        rig = Rig(tmp_path).again(filter='CONCAT(a, a) != "x"')
        keeper = Keeper(rig.settings, lambda _: rig.destination, Reader(rig.log), rig.store, rig.clock, Sampler())
        rig.put({"a1": long, "b1": b"{}", "c1": long})
        with capture_logs() as lines:
            task = asyncio.create_task(keeper.run())
            await eventually(rig.passed, "the pass to end")
            assert keeper.filter_failures == 2
            assert keeper.trouble.startswith("the filter failed for 2 events, not sent: a text longer than")
            keeper.stop()
            await task
        assert rig.destination.delivered == ["b1"]
        assert rig.report().filtered == {"condition": 2}
        assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["filter failed, event not sent"]

    play(scenario())


def test_a_filter_that_is_no_formula_lets_nothing_pass(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path).again(filter="value >")
        keeper = Keeper(rig.settings, lambda _: rig.destination, Reader(rig.log), rig.store, rig.clock, Sampler())
        rig.put({"a1": b"{}"})
        task = asyncio.create_task(keeper.run())
        await eventually(lambda: keeper.trouble, "trouble")
        assert "line 1" in keeper.trouble
        keeper.stop()
        await task
        assert rig.destination.sends == []
        assert not rig.passed()

    play(scenario())


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Payloads that were decoded."""
    seen: list[bytes] = []
    real = reader.decode_event

    def decode(payload: bytes) -> Mapping[str, object] | None:
        seen.append(payload)
        return real(payload)

    monkeypatch.setattr(reader, "decode_event", decode)
    return seen


def test_an_event_is_decoded_once_for_all_destinations_and_only_if_one_looks_into_it(
    tmp_path: Path, decoded: list[bytes]
) -> None:
    async def scenario() -> None:
        base = Rig(tmp_path)
        base.put({"a1": consenting(3), "b1": consenting(1)})
        base.put({"c1": consenting(2)}, "search")
        shared = Reader(base.log)
        shapes: tuple[dict[str, object], ...] = (
            {},
            {"event_names": frozenset(("purchase",)), "consent": THREE},
            {"event_names": frozenset(("purchase",)), "filter": "value > 0", "consent": THREE},
            {"event_names": frozenset(("login",)), "filter": "value > 0"},
            {"sources": frozenset[str](), "consent": THREE},
        )
        for number, changes in enumerate(shapes):
            rig = base.again(name=f"n{number}", **changes)
            keeper = Keeper(rig.settings, lambda _, rig=rig: rig.destination, shared, rig.store, rig.clock, Sampler())  # type: ignore[misc] # a default argument
            rig.store.destination(rig.settings.ref, 0)
            task = asyncio.create_task(keeper.run())
            await eventually(rig.passed, "the pass to end")
            keeper.stop()
            await task
        assert decoded == [consenting(3), consenting(1)]

    play(scenario())


def test_decoded_events_take_bounded_room(monkeypatch: pytest.MonkeyPatch, decoded: list[bytes]) -> None:
    monkeypatch.setattr(reader, "_ROOM_BYTES", 250)
    log = MemoryLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]}, clock=Clock())
    payload = json.dumps({"a": "x" * 92}).encode()
    assert len(payload) == 101
    records = [encode(Processed(one, "29/shop", "a", "valid", 1, 0, payload)) for one in "abc"]
    monkeypatch.setattr(reader, "_KEPT_BYTES", 16 * sum(map(len, records)))
    one = Reader(log)
    for _ in range(17):
        log.append(PROCESSED, records)
    subscription = one.subscribe(0)
    batches = []
    while fetched := subscription.fetch(3):
        batches += fetched
    first = one.decode(batches[0])
    for _ in range(2):
        assert [first.event(position) for position in range(3)] == [{"a": "x" * 92}] * 3
    assert len(decoded) == 3 + 1
    for batch in batches[1:]:
        one.decode(batch)
    decoded.clear()
    assert one.decode(batches[-1]) is one.decode(batches[-1])
    assert one.decode(batches[0]) is not first, "only so many bytes are kept"
    last = one.decode(batches[-1])
    for _ in range(2):
        assert [last.event(position) for position in range(3)] == [{"a": "x" * 92}] * 3
    assert len(decoded) == 3 + 1, "what left the cache gave its room back"


def test_what_was_required_is_forgotten_with_the_last_event_it_decided(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path)
        for number, consent in enumerate((THREE, None, THREE)):
            rig = rig.again(consent=consent)
            rig.put({f"{'abc'[number]}1": consenting(1)})
            async with rig.running():
                await rig.settled()
            rig.clock.ms += 1_000
        assert rows(rig) == 3
        retain(rig.store, rig.clock() - 1_500)
        assert rows(rig) == 1
        assert rig.fate("c1") == stopped_by(THREE, "1")

    def rows(rig: Rig) -> int:
        (count,) = rig.store.db.execute("SELECT count(*) FROM requirements").fetchone()
        return int(count)

    play(scenario())


def test_a_guard_without_a_requirement_is_open() -> None:
    assert Guard(REF, Requirement(), Clock()).open
    assert not Guard(REF, Requirement(consent=THREE), Clock()).open
