"""What each category looks at: the right rows, of the right time, from real receipts and the worker's facts."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from turnout.control.alerts.look import Look
from turnout.control.configfile import load
from turnout.log.memory import MemoryLog
from turnout.model.config import Snapshot
from turnout.model.event import ACCEPTED, PROCESSED
from turnout.model.facts import DestinationFacts, Facts
from turnout.model.outcome import Code
from turnout.receipts.records import LedgerEntry, Step
from turnout.receipts.store import Store

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_764_000_000_000 // DAY * DAY + 12 * HOUR + 30 * MINUTE
SNAPSHOT = load(
    """
sites:
  "29":
    sources:
      shop: {type: web, key: a}
      back: {type: web, key: b}
    destinations:
      orders: {type: file, sources: [shop], settings: {path: out/a.ndjson}}
      ads: {type: file, sources: [shop], settings: {path: out/b.ndjson}}
    alerts:
      delivery: {category: destination/delivery, destination: orders, parameters: {window: PT1H, min_events: 1}}
      issue: {category: destination/issue}
      listed: {category: destination/issue, destination: ads, parameters: {reasons: [timeout]}}
      backlog: {category: destination/backlog, destination: orders}
      drift: {category: destination/drift}
      quality: {category: source/data-quality, source: shop, parameters: {min_events: 1}}
      week: {category: source/volume, source: shop, parameters: {window: PT2H, min_events: 1}}
      before:
        category: source/volume
        source: shop
        parameters: {window: PT10M, compare: previous_period, min_events: 1, rise: 100}
      silence: {category: source/silence, source: shop}
      lag: {category: processing/lag, parameters: {max_count: 10}}
""",
    {},
)


class Scene:
    """Receipts that a test fills."""

    def __init__(self, folder: Path) -> None:
        self.log = MemoryLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]}, clock=lambda: NOW)
        self.store = Store(folder / "state.db")
        self.numbers = {name: self.store.destination(f"29/{name}", 0)[0] for name in ("orders", "ads")}
        self.worker: Facts | None = None

    def sent(self, name: str, ago_ms: int, code: Code, n: int, reason: str = "") -> None:
        minute = (NOW - ago_ms) // MINUTE * MINUTE
        with self.store.transaction():
            self.store.tally.count(self.numbers[name], {(minute, "29/shop", "x", int(code), reason): n}, [])

    def came(self, ago_ms: int, n: int, status: str = "valid", source: str = "29/shop") -> None:
        minute = (NOW - ago_ms) // MINUTE * MINUTE
        with self.store.transaction():
            self.store.tally.collect([((minute, source, "x", status, ""), n)])

    def works(self, lag: int = 0, **drift: int) -> None:
        """What the worker says."""
        told = {f"29/{name}": DestinationFacts(drift=drift.get(name, 0)) for name in self.numbers}
        self.worker = Facts(process="worker", pid=1, started_ms=0, beat_ms=NOW, lag=lag, destinations=told)

    def look(self, alert: str, snapshot: Snapshot = SNAPSHOT) -> tuple[str, float | None]:
        look = Look(snapshot, self.log, self.store, self.worker, NOW)
        reading = look.reading(snapshot.alerts[f"29/{alert}"])
        return reading.verdict, reading.value


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.store.close()


def test_delivery_sees_its_own_destination_and_window(scene: Scene) -> None:
    scene.sent("orders", 5 * MINUTE, Code.DELIVERED, 30)
    scene.sent("orders", 61 * MINUTE, Code.ERROR, 500, "timeout")
    scene.sent("ads", 5 * MINUTE, Code.ERROR, 500, "timeout")
    assert scene.look("delivery") == ("good", 100.0)
    scene.sent("orders", 59 * MINUTE, Code.REJECTED, 10, "invalid")
    assert scene.look("delivery") == ("bad", 75.0)


def test_an_issue_is_new_if_the_day_before_had_none(scene: Scene) -> None:
    scene.sent("orders", 5 * MINUTE, Code.ERROR, 3, "timeout")
    assert scene.look("issue") == ("bad", 3)
    assert scene.look("listed") == ("good", 0)
    scene.sent("ads", 20 * HOUR, Code.ERROR, 1, "timeout")
    assert scene.look("issue") == ("good", 0)
    scene.sent("ads", 5 * MINUTE, Code.ERROR, 2, "timeout")
    assert scene.look("listed") == ("bad", 2)


def test_a_backlog_is_in_the_ledger_and_in_what_has_not_been_reached(scene: Scene) -> None:
    assert scene.look("backlog") == ("good", 0)
    old = NOW - 20 * MINUTE
    entry = LedgerEntry(0, "e", "x", b"{}", "", old, 1, NOW, NOW, "busy")
    scene.log.append(PROCESSED, [b"x"])
    scene.store.record(scene.numbers["orders"], Step(1, [(0, old, bytes([Code.PENDING]))], [entry], [], 1))
    assert scene.look("backlog") == ("bad", 20)
    late = MemoryLog({ACCEPTED: ["process"], PROCESSED: ["deliver"]}, clock=lambda: NOW - 40 * MINUTE)
    for _ in range(3):
        late.append(PROCESSED, [b"x"])
    scene.log = late
    assert scene.look("backlog") == ("bad", 40)


def test_drift_and_lag_are_what_the_worker_tells(scene: Scene) -> None:
    assert (scene.look("drift"), scene.look("lag")) == (("no_data", None), ("no_data", None))
    scene.works(lag=10)
    assert (scene.look("drift"), scene.look("lag")) == (("good", 0), ("good", 10))
    scene.works(lag=11, ads=2)
    assert (scene.look("drift"), scene.look("lag")) == (("bad", 2), ("bad", 11))


def test_quality_and_silence_see_their_own_source(scene: Scene) -> None:
    scene.came(5 * MINUTE, 100, "rejected", "29/back")
    assert (scene.look("quality"), scene.look("silence")) == (("no_data", None), ("no_data", None))
    scene.came(90 * MINUTE, 9, "rejected")
    assert (scene.look("quality"), scene.look("silence")) == (("no_data", None), ("bad", 90))
    scene.came(5 * MINUTE, 3)
    scene.came(5 * MINUTE, 1, "invalid_accepted")
    assert (scene.look("quality"), scene.look("silence")) == (("good", 75.0), ("good", 5))


def test_volume_compares_whole_hours_with_the_same_of_the_week_before(scene: Scene) -> None:
    for hours, n in ((1, 10), (2, 10), (3, 999)):
        scene.came(7 * DAY + hours * HOUR, n)
    scene.came(20 * MINUTE, 999)
    assert scene.look("week") == ("bad", -100)
    scene.came(HOUR, 8)
    scene.came(2 * HOUR, 4)
    assert scene.look("week") == ("good", -40)


def test_volume_compares_minutes_with_those_just_before(scene: Scene) -> None:
    scene.came(15 * MINUTE, 10)
    scene.came(25 * MINUTE, 999)
    scene.came(5 * MINUTE, 20)
    assert scene.look("before") == ("bad", 100)


def test_what_is_switched_off_is_not_looked_at(scene: Scene) -> None:
    scene.came(90 * MINUTE, 9)
    assert scene.look("silence") == ("bad", 90)
    asleep = msgspec.structs.replace(SNAPSHOT.alerts["29/silence"], status="inactive")
    assert scene.look("silence", with_alert("silence", asleep)) == ("off", None)
    closed = msgspec.structs.replace(SNAPSHOT.sources["29/shop"], status="inactive")
    sources = {**SNAPSHOT.sources, "29/shop": closed}
    assert scene.look("silence", msgspec.structs.replace(SNAPSHOT, sources=sources)) == ("off", None)


def with_alert(name: str, alert: object) -> Snapshot:
    return msgspec.structs.replace(SNAPSHOT, alerts={**SNAPSHOT.alerts, f"29/{name}": alert})
