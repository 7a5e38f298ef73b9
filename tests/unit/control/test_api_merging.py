"""What a PATCH leaves of what there was."""

import pytest

from turnout.control.api.merging import merged


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}, {"a": {"c": 2, "d": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": {"c": None, "d": 1}}}, {"a": {"b": {"d": 1}}}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 1}, {}, {"a": 1}),
        (None, {"a": 1, "b": None}, {"a": 1}),
        ({"a": 1}, [1], [1]),
    ],
)
def test_members_are_merged_null_removes_all_else_replaces(target: object, patch: object, result: object) -> None:
    assert merged(target, patch) == result


def test_what_there_was_is_not_changed() -> None:
    target = {"a": {"b": 1}}
    merged(target, {"a": {"b": 2}})
    assert target == {"a": {"b": 1}}
