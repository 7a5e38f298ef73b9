"""Keys and chosen properties of events, by their paths."""

import pytest

from turnout.process.enrichment.pick import holders, key_of, picked, tree

EVENT = {
    "id": "O-1",
    "user": {"id": 42, "email": "ann@example.org"},
    "items": [{"id": "a", "product": {"id": "P-1", "price": 2}}, {"id": "b", "product": {"id": "P-2", "price": 3}}],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("id", [("", "O-1")]),
        ("user.id", [("user", "42")]),
        ("items.product.id", [("items.0.product", "P-1"), ("items.1.product", "P-2")]),
        ("items.1.product.id", [("items.1.product", "P-2")]),
        ("items.7.product.id", []),
        ("user.name", [("user", None)]),
        ("user.id.more", []),
        ("nothing.at.all", []),
    ],
)
def test_a_key_is_found_with_the_object_that_holds_it(path: str, found: list[tuple[str, str | None]]) -> None:
    names = path.split(".")
    assert [(one.path, key_of(one.value, names[-1])) for one in holders(EVENT, names)] == found


@pytest.mark.parametrize("value", [None, "", True, [], {}, ["x"]])
def test_what_can_be_no_key(value: object) -> None:
    assert key_of({"id": value}, "id") is None


@pytest.mark.parametrize(
    ("paths", "kept"),
    [
        ([], EVENT),
        (["user.email"], {"user": {"email": "ann@example.org"}}),
        (["user", "user.email"], {"user": EVENT["user"]}),
        (["user.email", "user"], {"user": EVENT["user"]}),
        (
            ["items.product.price", "id"],
            {"id": "O-1", "items": [{"id": "a", "product": {"price": 2}}, {"id": "b", "product": {"price": 3}}]},
        ),
        (["missing.path"], {}),
    ],
)
def test_chosen_properties_are_kept_and_no_others(paths: list[str], kept: object) -> None:
    assert picked(EVENT, tree(paths)) == kept
