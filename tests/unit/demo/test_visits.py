"""The simulated shop: what it sends is what a real one would send, broken where it says so and nowhere else."""

from itertools import islice
from random import Random

import msgspec
import pytest

from turnout.demo.visits import BREAKAGES, Sending, traffic
from turnout.process.steps.check import check

NOW_MS = 1_764_000_000_000


@pytest.fixture(scope="module")
def requests() -> list[Sending]:
    return list(islice(traffic(Random(29), NOW_MS, 500.0), 4000))


def events(requests: list[Sending]) -> list[dict[str, object]]:
    return [msgspec.json.decode(one.body) for one in requests if not one.broken]


def test_whole_events_have_nothing_to_complain_about(requests: list[Sending]) -> None:
    found = [(event["event_name"], violation) for event in events(requests) for violation in check(event)]
    assert found == []


def test_a_visit_can_go_all_the_way_and_the_purchase_comes_from_the_backend_too(requests: list[Sending]) -> None:
    names = {str(event["event_name"]) for event in events(requests)}
    assert names == {"page_view", "search", "view_item", "add_to_cart", "login", "begin_checkout", "purchase"}
    server = [msgspec.json.decode(one.body) for one in requests if one.source == "server"]
    browser = {event["id"] for event in events(requests) if event["event_name"] == "purchase"}
    assert {event["event_name"] for event in server} == {"purchase"}
    assert {event["id"] for event in server} <= browser


def test_some_refuse_consent_and_some_grant_it(requests: list[Sending]) -> None:
    granted = {tuple(event["user"]["consent_categories"]) for event in events(requests)}  # type: ignore[index]
    assert () in granted
    assert ("1", "2", "3") in granted


def test_a_few_are_broken_in_every_way(requests: list[Sending]) -> None:
    broken = [one.broken for one in requests if one.broken]
    assert set(broken) == set(BREAKAGES)
    assert len(broken) < len(requests) / 20


def test_times_go_on_and_ids_are_never_the_same(requests: list[Sending]) -> None:
    contexts = [event["context"] for event in events(requests)]
    times = [context["event_timestamp"] for context in contexts]  # type: ignore[index]
    assert times == sorted(times)
    assert times[0] >= NOW_MS
    assert len({context["event_id"] for context in contexts}) == len(contexts)  # type: ignore[index]
