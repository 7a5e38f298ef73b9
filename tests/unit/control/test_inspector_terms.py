"""What the index knows of an event: all of it, or that there is more."""

import pytest

from turnout.control.inspector.terms import MORE_PROPERTIES, MORE_WORDS, event_terms, unindexed_paths

MORE = {MORE_PROPERTIES, MORE_WORDS}


@pytest.mark.parametrize("count", [1, 600, 601, 5_000])
def test_a_long_list_of_equal_values_hides_no_later_property(count: int) -> None:
    found = event_terms({"list": [1] * count, "late": "value"})
    assert event_terms({"late": "value"}) - MORE <= found or found >= MORE


@pytest.mark.parametrize(("own", "beyond"), [(100, []), (101, ["p100"]), (103, ["p100", "p101", "p102"])])
def test_properties_beyond_the_bound_are_named(own: int, beyond: list[str]) -> None:
    event = {f"p{number}": number for number in range(own)} | {"user": {"id": "42"}}
    assert unindexed_paths(event) == beyond
    assert (event_terms(event) >= MORE) == bool(beyond)
    assert event_terms({"user": {"id": "42"}}) <= event_terms(event)
