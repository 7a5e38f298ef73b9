"""A destination behind its mapping: what it is sent, and what becomes of the rest."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from turnout.destinations.file import FileDestination
from turnout.destinations.interface import Context, Destination, Event
from turnout.destinations.mapped import MappedDestination, open_destination
from turnout.destinations.registry import validate
from turnout.formula.run import Warned
from turnout.model import config
from turnout.model.change import Change
from turnout.model.outcome import DELIVERED, Result
from turnout.model.partner import PartnerMapping
from turnout.testing.destination_suite import answering


class Heard:
    """A place for warnings."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()

    def take(self, warned: Mapping[str, Warned]) -> None:
        self.codes.update(warned.keys())


def opened(tmp_path: Path, mapping: PartnerMapping | None, heard: Heard | None = None) -> Destination:
    settings, _ = validate("file", {"path": "out.ndjson"})
    destination = config.Destination(
        site="29", name="d", type="file", sources=frozenset(), settings=settings, mapping=mapping
    )
    heard = heard or Heard()
    return open_destination(destination, Context("29/d", tmp_path, answering(200), warned=heard.take))


def send(destination: Destination, events: Sequence[Event]) -> Sequence[Result]:
    async def once() -> Sequence[Result]:
        try:
            return await destination.send(events)
        finally:
            await destination.close()

    return asyncio.run(once())


def event(event_id: str, **data: object) -> Event:
    return Event(event_id, str(data.get("event_name", "")), json.dumps(data, separators=(",", ":")).encode())


def lines(tmp_path: Path) -> list[object]:
    return [json.loads(line) for line in (tmp_path / "out.ndjson").read_text().splitlines()]


def test_without_a_mapping_the_destination_is_opened_as_it_is(tmp_path: Path) -> None:
    assert isinstance(opened(tmp_path, None), FileDestination)


def test_every_event_has_its_own_result_in_order(tmp_path: Path) -> None:
    mapping = PartnerMapping(events={"a": "A", "bad": "{{nothing}}"}, others="drop")
    destination = opened(tmp_path, mapping)
    assert isinstance(destination, MappedDestination)
    names = ["a", "z", "bad", "a"] * 150
    results = send(destination, [event(f"e-{n}", event_name=name, n=n) for n, name in enumerate(names)])
    assert [result.kind for result in results] == ["delivered", "filtered", "rejected", "delivered"] * 150
    assert lines(tmp_path) == [{"event_name": "A", "n": n} for n, name in enumerate(names) if name == "a"]


def test_nothing_is_asked_of_a_partner_who_gets_nothing(tmp_path: Path) -> None:
    (result,) = send(opened(tmp_path, PartnerMapping(others="drop")), [event("e", event_name="a")])
    assert result == Result("filtered", "unsupported_event", asked=False)
    assert not (tmp_path / "out.ndjson").exists()


def test_warnings_are_heard_once_per_event_and_code(tmp_path: Path) -> None:
    heard = Heard()
    mapping = PartnerMapping(changes=(Change("set", "a", "text * 2"), Change("set", "b", "text * 3")))
    results = send(opened(tmp_path, mapping, heard), [event(f"e-{n}", event_name="x", text="abc") for n in range(3)])
    assert results == [DELIVERED] * 3
    assert heard.codes == {"not_a_number": 3}
    assert lines(tmp_path)[0] == {"event_name": "x", "text": "abc", "a": None, "b": None}


@pytest.mark.parametrize("payload", [b"[]", b"5", b"{", b'{"a":"\xff"}', b""])
def test_what_is_no_event_is_rejected_alone(tmp_path: Path, payload: bytes) -> None:
    good = event("e-1", event_name="x")
    results = send(opened(tmp_path, PartnerMapping(events={"x": "X"})), [Event("e-0", "", payload), good])
    assert (results[0].kind, results[0].reason, results[0].asked) == ("rejected", "mapping_error", False)
    assert results[1] == DELIVERED
    assert lines(tmp_path) == [{"event_name": "X"}]
