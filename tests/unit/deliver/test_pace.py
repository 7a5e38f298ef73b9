"""A destination's rate: attempts spread evenly, steps of about a second, nothing lost or sent twice by a stop."""

import asyncio
from pathlib import Path

import pytest

from tests.unit.deliver.rig import Rig, eventually
from turnout.deliver.pace import Pace, portions
from turnout.deliver.reader import Reader
from turnout.model.config import Delivery
from turnout.model.event import PROCESSED, Processed, encode

SLOW = Delivery(rate_per_second=2)


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        ([(1, 10.0)] * 5, [0.0, 0.0, 0.1, 0.2, 0.3]),
        ([(3, 10.0), (1, 10.0), (1, 10.0)], [0.0, 0.2, 0.3]),
        ([(1, 10.0), (1, 10.05), (1, 60.0), (1, 60.0)], [0.0, 0.0, 0.0, 0.0]),
        ([(1, 10.0), (1, 10.0), (1, 10.0), (1, 10.35)], [0.0, 0.0, 0.1, 0.0]),
    ],
    ids=["one by one", "by their events", "no rest is saved up", "a little late"],
)
def test_attempts_wait_until_the_rate_allows_them(asked: list[tuple[int, float]], waits: list[float]) -> None:
    pace = Pace(10)
    assert [round(pace.wait_s(events, now_s), 6) for events, now_s in asked] == waits


@pytest.mark.parametrize(
    ("batches", "most", "expected"),
    [
        (["aaa"], 5, [["aaa"]]),
        (["aaaaa"], 2, [["aa"], ["aa"], ["a"]]),
        (["a-a-", "-a-a"], 2, [["a-a-", "-"], ["a-a"]]),
        (["aa", "aa"], 2, [["aa"], ["aa"]]),
        (["----", "--"], 1, [["----", "--"]]),
    ],
)
def test_a_portion_has_so_many_events_to_send_and_all_between(
    tmp_path: Path, batches: list[str], most: int, expected: list[list[str]]
) -> None:
    rig = Rig(tmp_path)
    for batch in batches:
        records = [
            Processed("e", "29/shop", mark, "valid" if mark == "a" else "rejected", 0, 0, b"{}") for mark in batch
        ]
        rig.log.append(PROCESSED, [encode(record) for record in records])
    reader = Reader(rig.log)
    decoded = [reader.decode(batch) for batch in reader.subscribe(0).fetch(100)]
    found = list(portions(rig.settings, decoded, most))
    assert [["".join(one.name for one in batch.records) for batch in portion] for portion in found] == expected
    flat = [batch for portion in found for batch in portion]
    assert [batch.base for batch in flat[1:]] == [batch.next for batch in flat[:-1]]


def test_what_was_sent_at_a_rate_is_recorded_within_a_batch_and_not_sent_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path, delivery=SLOW)
        rig.add(*(f"a{n}" for n in range(9)))
        async with rig.running():
            await eventually(lambda: len(rig.destination.delivered) >= 3, "the first second's worth")
            assert not rig.passed()
        sent = list(rig.destination.delivered)
        cursor = rig.store.destinations()[rig.settings.ref][1]
        assert 0 < cursor < 9, "the step ended within the batch"
        assert set(sent) <= {f"a{n}" for n in range(cursor)}
        async with (other := rig.again(delivery=Delivery())).running():
            await other.settled()
        assert sorted(sent + other.destination.delivered) == [f"a{n}" for n in range(9)]
        assert other.outcomes() == {"delivered": 9}

    asyncio.run(asyncio.wait_for(scenario(), 30))
