"""All destinations together: configuration that changes, what the log is told, disks that fill, files that are lost."""

import asyncio
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from msgspec import structs

from tests.unit.deliver.rig import DOWN, Clock, FakeDestination, eventually, set_full
from turnout.deliver import keeper, retries, stream, worker
from turnout.deliver.worker import GROUP, Deliverer
from turnout.log.memory import MemoryLog
from turnout.model.config import Delivery, Destination, Snapshot
from turnout.model.errors import ReceiptsUnavailableError
from turnout.model.event import ACCEPTED, PROCESSED, Processed, encode
from turnout.receipts import index
from turnout.receipts.audit import audit
from turnout.receipts.store import Store
from turnout.receipts.trace import trace

DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        *((retries, "_IDLE_S"), (stream, "_IDLE_S"), (keeper, "_REOPEN_S")),
        *((worker, "_CARE_S"), (worker, "_INDEX_S")),
    ):
        monkeypatch.setattr(module, name, 0.005)


def play(scenario: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 120))


class House:
    """One deliverer, its log and receipts, and the destinations it opens, by name."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.log = MemoryLog({ACCEPTED: ["process"], PROCESSED: [GROUP]}, clock=self.clock)
        self.path = folder / "state.db"
        self.store = Store(self.path)
        self.open: dict[str, FakeDestination] = {}
        self.prepared: dict[str, FakeDestination] = {}
        self.broken: set[str] = set()
        self.deliverer = self.fresh()

    def fresh(self) -> Deliverer:
        return Deliverer(self.log, self.store, self._open, self.clock, DAY_MS)

    def _open(self, settings: Destination) -> FakeDestination:
        if settings.name in self.broken:
            raise OSError("can't be opened")
        self.open[settings.name] = self.prepared.get(settings.name) or FakeDestination()
        return self.open[settings.name]

    def configure(self, *names: str, **changes: object) -> None:
        every = [
            Destination(site="29", name=name, type="fake", sources=frozenset(("29/shop",)), settings=None)
            for name in names
        ]
        self.deliverer.apply(
            Snapshot(version="1", destinations={one.ref: structs.replace(one, **changes) for one in every})
        )

    def add(self, *ids: str, name: str = "purchase") -> None:
        payload = b'{"event_name":"%s"}' % name.encode()
        records = [Processed(one, "29/shop", name, "valid", self.clock(), 0, payload, one[0]) for one in ids]
        self.log.append(PROCESSED, [encode(record) for record in records])
        self.deliverer.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.deliverer.run(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(task, 60)
            report = audit(self.log, self.store)
            assert report.closes, report

    def group(self) -> int:
        """Where the log believes this stage to be."""
        return self.log.end(PROCESSED) - self.log.subscribe(PROCESSED, GROUP).lag()


def test_a_new_destination_gets_what_is_processed_from_then_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        house.configure("first")
        async with house.running():
            house.add("a1")
            await eventually(lambda: "first" in house.open and house.open["first"].delivered == ["a1"], "the first")
            house.configure("first", "second")
            house.add("a2")
            await eventually(lambda: "second" in house.open and house.open["second"].delivered == ["a2"], "the second")
        assert house.open["first"].delivered == ["a1", "a2"]

    play(scenario())


@pytest.mark.parametrize("stopped", [False, True], ids=["at work", "while it was stopped"])
def test_a_removed_destination_ends_what_it_had_not_come_to_and_nothing_later(tmp_path: Path, stopped: bool) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        house.configure("orders", event_names=frozenset(("purchase", "view")), filter='event_name = "purchase"')
        # Nobody reads for it: the events that it never came to are all there is.
        house.broken.add("orders")
        house.add("a1", "a2")
        house.add("b1", name="view")
        house.add("c1", name="other")
        if stopped:
            house.deliverer = house.fresh()
        house.configure("late")
        house.add("a3")
        async with house.running():
            await eventually(lambda: "29/orders" not in house.store.destinations(), "the destination to be gone")
        report = next(one for one in audit(house.log, house.store).destinations if one.removed)
        assert report.outcomes == {"error": 2, "filtered": 2}
        assert report.filtered == {"condition": 1, "event_name": 1}
        (found,) = trace(house.log, house.store, "a1")[0].destinations
        assert (found.outcome, found.reason, found.attempts) == ("error", "destination_deleted", 0)
        assert [fate.destination for fate in trace(house.log, house.store, "a3")[0].destinations] == ["29/late"]
        number = next(one.id for one in house.store.registered() if one.ref == "29/orders")
        assert [one.payload for one in house.store.dead_letters(number)] == [b'{"event_name":"purchase"}'] * 2

    play(scenario())


@pytest.mark.parametrize(("zone", "outcome"), [("UTC", "filtered"), ("Asia/Tokyo", "error")])
def test_a_removed_destination_is_judged_in_the_time_zone_of_its_site(tmp_path: Path, zone: str, outcome: str) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        # What has no offset is nine hours earlier in Tokyo.
        earlier = 'DATEDIFF("2026-07-01T09:00", "2026-07-01T09:00:00Z", "hours") = 9'
        house.configure("orders", filter=earlier, time_zone=zone)
        house.broken.add("orders")
        house.add("a1")
        house.configure()
        async with house.running():
            await eventually(lambda: "29/orders" not in house.store.destinations(), "the destination to be gone")
        (found,) = trace(house.log, house.store, "a1")[0].destinations
        assert found.outcome == outcome

    play(scenario())


def test_a_destination_that_comes_back_while_it_is_removed_begins_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        house.configure("orders")
        house.add("a1", "a2")
        house.configure()
        house.add("a3")
        house.configure("orders")
        house.add("a4")
        (waiting,) = trace(house.log, house.store, "a1")[0].destinations
        assert waiting.outcome == "waiting"
        assert trace(house.log, house.store, "a3")[0].destinations == [], "it was not there then"
        async with house.running():
            await eventually(lambda: "orders" in house.open and house.open["orders"].delivered == ["a4"], "the new one")
        (one,) = audit(house.log, house.store).destinations
        assert (one.removed, one.outcomes, one.lag) == (False, {"error": 2, "delivered": 1}, 0)

    play(scenario())


def test_a_removed_destination_ends_what_it_owes_and_can_come_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        house.prepared["orders"] = FakeDestination(lambda _: DOWN)
        house.configure("orders")
        number, _ = house.store.destinations()["29/orders"]
        async with house.running():
            house.add("a1", "a2")
            await eventually(lambda: house.store.pending(number) == 2, "failures")
            house.configure()
            await eventually(lambda: not house.store.destinations(), "the destination to be gone")
            house.add("a3")
            (one,) = audit(house.log, house.store).destinations
            assert (one.removed, one.outcomes, one.lag) == (True, {"error": 2}, 0)
            (found,) = trace(house.log, house.store, "a1")[0].destinations
            assert (found.outcome, found.reason, found.attempts) == ("error", "destination_deleted", 1)
            assert trace(house.log, house.store, "a3")[0].destinations == []
            letters = list(house.store.dead_letters(number))
            assert house.store.replay(number, letters, house.clock()) == 0, "nobody is there to try them"
            house.prepared.clear()
            house.configure("orders")
            assert house.store.replay(number, letters, house.clock()) == 2
            house.add("a4")
            await eventually(lambda: sorted(house.open["orders"].delivered) == ["a1", "a2", "a4"], "deliveries")
            await eventually(lambda: not house.store.pending(number), "receipts")

    play(scenario())


def test_a_slow_destination_delays_no_other_and_no_change_of_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        answers = asyncio.Event()
        house.prepared["slow"] = FakeDestination()
        house.prepared["slow"].gate = answers.wait
        house.configure("slow", "fast")
        async with house.running():
            house.add("a1")
            await eventually(lambda: "slow" in house.open and house.open["slow"].sends, "an attempt under way")
            await eventually(lambda: "fast" in house.open and house.open["fast"].delivered == ["a1"], "the fast one")
            before = house.open["fast"]
            house.configure("slow", "fast", "new", delivery=Delivery(max_attempts=3))
            # Until then it works as it was configured, and may take the next event too.
            await eventually(lambda: house.open["fast"] is not before, "the changed one to be opened")
            house.add("a2")
            await eventually(lambda: "new" in house.open and house.open["new"].delivered == ["a2"], "the new one")
            await eventually(lambda: house.open["fast"].delivered == ["a2"], "the changed one")
            assert house.prepared["slow"].delivered == []
            answers.set()
            await eventually(lambda: house.prepared["slow"].delivered == ["a1", "a2"], "the slow one")

    play(scenario())


def test_a_destination_that_can_not_be_opened_is_in_trouble_until_it_can(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        house.broken.add("orders")
        house.configure("orders", "archive")
        async with house.running():
            house.add("a1")
            await eventually(lambda: house.deliverer.facts()["29/orders"].trouble == "can't be opened", "trouble")
            await eventually(lambda: house.open["archive"].delivered == ["a1"], "the other")
            house.broken.clear()
            await eventually(lambda: "orders" in house.open and house.open["orders"].delivered == ["a1"], "deliveries")
            assert house.deliverer.facts()["29/orders"].trouble == ""

    play(scenario())


def copied(file: Path, to: Path) -> None:
    """By another process: to close a SQLite file here would drop the locks that its connections hold."""
    subprocess.run(["cp", file, to], check=True)


def test_the_log_learns_what_every_destination_has_passed_and_a_power_cut_can_not_take_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        house.configure("orders")
        async with house.running():
            house.add("a1", "a2")
            await eventually(lambda: house.group() == 2, "the log to learn it")
            # The file without its write-ahead log is the least that a power cut leaves.
            copied(house.path, tmp_path / "after.db")
            with closing(sqlite3.connect(tmp_path / "after.db")) as after:
                assert after.execute("SELECT cursor FROM destinations").fetchone() == (2,)
                assert after.execute("SELECT max(next) FROM ids").fetchone() == (2,)
            with closing(sqlite3.connect(house.path, isolation_level=None)) as reader:
                reader.execute("BEGIN")
                reader.execute("SELECT * FROM destinations").fetchall()
                house.add("a3")
                await eventually(lambda: house.open["orders"].delivered == ["a1", "a2", "a3"], "deliveries")
                await eventually(lambda: house.store.destinations()["29/orders"][1] == 3, "receipts")
                assert not await asyncio.to_thread(house.store.checkpoint), "a reader is in the way"
                assert house.group() == 2
            await eventually(lambda: house.group() == 3, "the log to learn the rest")

    play(scenario())


def test_what_a_killed_worker_left_is_durable_before_anything_follows_from_it(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.store.destination("29/orders", 0)
    house.fresh()
    copied(house.path, tmp_path / "after.db")
    with closing(sqlite3.connect(tmp_path / "after.db")) as after:
        assert after.execute("SELECT ref FROM destinations").fetchall() == [("29/orders",)]


def test_the_slowest_destination_holds_the_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        house.prepared["slow"] = FakeDestination()
        answers = asyncio.Event()
        house.prepared["slow"].gate = answers.wait
        house.configure("slow", "fast")
        async with house.running():
            house.add("a1")
            await eventually(lambda: house.store.destinations()["29/fast"][1] == 1, "the fast one")
            assert await asyncio.to_thread(house.store.checkpoint)
            assert house.group() == 0
            answers.set()
            await eventually(lambda: house.group() == 1, "the slow one")

    play(scenario())


def test_with_a_full_disk_everything_goes_on_when_there_is_space_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        house.configure("orders")
        async with house.running():
            house.add("a1")
            await eventually(lambda: house.group() == 1, "the first event")
            set_full(house.store.db, True)
            before = house.log.end(PROCESSED)
            for number in range(40):
                house.add(*(f"a{number}-{n}" for n in range(500)))
            # A destination that comes now begins here, although that can't be written.
            late = [f"late-{n}-{'x' * 400}" for n in range(20)]
            house.configure("orders", *late)
            start = house.log.end(PROCESSED)
            await eventually(lambda: "full" in house.deliverer.facts()["29/orders"].trouble, "trouble")
            house.add("b1")
            set_full(house.store.db, False)
            await eventually(lambda: house.group() == house.log.end(PROCESSED), "everything to be passed")
            assert len(house.open["orders"].delivered) == start - before + 2
            assert all(house.open[name].delivered == ["b1"] for name in late)

    play(scenario())


def test_a_lost_file_of_receipts_costs_repeats_not_events(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        house.prepared["orders"] = FakeDestination()
        answers = asyncio.Event()
        house.configure("orders")
        async with house.running():
            house.add("a1")
            await eventually(lambda: house.group() == 1, "the first event")
            house.prepared["orders"].gate = answers.wait
            house.add("a2")
            await eventually(lambda: ["a2"] in house.prepared["orders"].sends, "an attempt under way")
            answers.set()
        house.store.close()
        house.log.subscribe(PROCESSED, GROUP).commit(1)
        house.path.unlink()
        house.store = Store(house.path)
        house.deliverer = house.fresh()
        house.prepared["orders"] = FakeDestination()
        house.configure("orders")
        async with house.running():
            await eventually(lambda: house.open["orders"].delivered == ["a2"], "what the log had kept")
            house.configure("orders", "later")
            house.add("a3")
            await eventually(lambda: "later" in house.open and house.open["later"].delivered == ["a3"], "the later one")

    play(scenario())


def test_receipts_of_another_log_are_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        house = House(tmp_path)
        house.configure("orders")
        async with house.running():
            house.add("a1")
            await eventually(lambda: house.group() == 1, "the first event")
        house.log = MemoryLog({ACCEPTED: ["process"], PROCESSED: [GROUP]})
        with pytest.raises(ReceiptsUnavailableError, match=r"state\.db knows of events up to offset 1.*log ends at 0"):
            house.fresh()

    play(scenario())


def test_the_index_is_merged_and_what_is_old_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MERGE_RECORDS", 50)

    async def scenario() -> None:
        house = House(tmp_path)
        house.configure("orders")
        runs = "SELECT count(*) FROM runs"
        async with house.running():
            for start in range(0, 120, 3):
                house.add(*(f"a{number}" for number in range(start, start + 3)))
            await eventually(lambda: house.group() == 120, "all events")
            await eventually(lambda: house.store.db.execute(runs).fetchone()[0], "a run")
            assert [index.find(house.store.db, f"a{number}") for number in range(120)] == [[n] for n in range(120)]
            house.clock.ms += 2 * DAY_MS
            await eventually(lambda: not house.store.db.execute(runs).fetchone()[0], "the runs to expire")
            await eventually(lambda: not house.store.db.execute("SELECT count(*) FROM outcomes").fetchone()[0], "bytes")
            house.add("b1")
            await eventually(lambda: house.group() == 121, "an event after that")
        assert house.deliverer.facts()["29/orders"].outcomes == {"delivered": 121}

    play(scenario())
