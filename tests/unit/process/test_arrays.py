"""Which paths of the catalogue are arrays."""

import pytest

from turnout.process.arrays import ARRAYS, is_array


@pytest.mark.parametrize(
    ("path", "array"),
    [
        (("items",), True),
        (("items", "[]"), False),
        (("items", "[]", "product"), False),
        (("items", "[]", "product", "colors"), True),
        (("items", "0", "product", "colors"), False),
        (("user", "consent_categories"), True),
        (("user", "refused_vendors"), True),
        (("user", "email"), False),
        (("keywords",), True),
        (("context", "page"), False),
        (("prices",), False),
        ((), False),
    ],
)
def test_is_array(path: tuple[str, ...], array: bool) -> None:
    assert is_array(path) is array


def test_all_arrays_of_all_events_are_known() -> None:
    assert {path[-1] for path in ARRAYS} == {
        "items", "colors", "consent_categories", "refused_vendors", "keywords",
        "content_asset_id", "content_pod_id", "ad_asset_id", "ad_pod_id",
    }  # fmt: skip
