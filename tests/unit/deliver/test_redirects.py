"""Which redirects stay with the partner, so that headers (which may hold keys) go along."""

import pytest
from yarl import URL

from turnout.deliver.http import _same_place


@pytest.mark.parametrize(
    ("url", "target", "same"),
    [
        ("http://a.example/x", "http://a.example/y", True),
        ("http://a.example/x", "http://a.example:80/y", True),
        ("http://a.example/x", "https://a.example/x", True),
        ("http://a.example:9000/x", "https://a.example/x", False),
        ("http://a.example/x", "https://a.example:8443/x", False),
        ("https://a.example/x", "http://a.example/x", False),
        ("https://a.example/x", "https://a.example:8443/x", False),
        ("https://a.example/x", "https://b.a.example/x", False),
        ("http://a.example/x", "https://b.example/x", False),
    ],
)
def test_same_place(url: str, target: str, same: bool) -> None:
    assert _same_place(URL(url), URL(target)) is same
