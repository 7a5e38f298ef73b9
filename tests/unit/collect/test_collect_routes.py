"""Paths lead where the protocol says, behind every gateway prefix (`collect.md` §1)."""

import pytest

from turnout.collect.routes import RouteName, Routes

ROUTES = Routes(["/metrics", "/a/b"])
PREFIXES = ("", "/gateway", "/metrics", "/a/b")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/events", "events"),
        ("/cdp/events", "events"),
        ("/events/batch", "events/batch"),
        ("/cdp/events/batch", "events/batch"),
        ("/get-cookie", "get-cookie"),
        ("/tag.js", "tag"),
        ("/cdp/tag.js", "tag"),
        ("/healthy", "healthy"),
        ("/g/healthy", "healthy"),
        ("", "root"),
        ("//events", None),
        ("/Events", None),
        ("/event", None),
        ("/events/batch/x", None),
        ("/cdp", None),
    ],
)
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("origin", ["", "http://collect.example", "HTTPS://collect.example:8443"])
def test_path(prefix: str, path: str, route: RouteName | None, origin: str) -> None:
    url = f"{origin}{prefix}{path}".encode()
    assert ROUTES.find(url + b"?a=b?c") == (route, b"a=b?c")
    assert ROUTES.find(url + b"/") == (route, b"")
    assert ROUTES.find(url + b"//")[0] is None
    assert ROUTES.find(b"/x" + url)[0] is None


def test_a_prefix_that_nobody_configured_leads_nowhere() -> None:
    assert Routes().find(b"/metrics/events") == (None, b"")
    assert Routes().find(b"/gateway/gateway/events") == (None, b"")
