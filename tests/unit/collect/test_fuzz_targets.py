"""The targets of `make fuzz` hold on their seeds, on pieces of them, and on some random bytes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, Broken, wire
from turnout.collect.endpoint import Endpoint


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_on_its_seeds_and_their_damaged_copies(name: str) -> None:
    target, seeds = TARGETS[name]
    chance = random.Random(5)
    for seed in seeds:
        target(seed)
        for _ in range(60):
            damaged = bytearray(seed)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            target(bytes(damaged[: chance.randint(1, len(damaged))]))


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200), name=st.sampled_from(list(TARGETS)))
def test_a_target_holds_on_any_bytes(data: bytes, name: str) -> None:
    TARGETS[name][0](data)


def test_a_target_tells_of_a_request_that_makes_the_collector_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "handle", lambda *_: 1 / 0)
    with pytest.raises(Broken):
        wire(TARGETS["wire"][1][0])
