"""Which route a request target takes (`collect.md` §1). Pure."""

import re
from collections.abc import Iterable
from typing import Literal

RouteName = Literal["events", "events/batch", "get-cookie", "tag", "healthy", "root"]
GATEWAY = "/gateway"
"""The path behind which edge workers put ours, whatever the configuration says."""

_PATHS: dict[str, RouteName] = {
    "/events": "events",
    "/events/batch": "events/batch",
    "/cdp/events": "events",
    "/cdp/events/batch": "events/batch",
    "/get-cookie": "get-cookie",
    "/cdp/get-cookie": "get-cookie",
    "/tag.js": "tag",
    "/cdp/tag.js": "tag",
    "/healthy": "healthy",
    "/g/healthy": "healthy",
    "": "root",
}
_ABSOLUTE = re.compile(rb"^https?://[^/]*", re.IGNORECASE)
"""What the absolute form of a request target (RFC 9112, 3.2.2) has before the path."""


class Routes:
    """The paths that are served, with and without each gateway prefix and one trailing slash."""

    def __init__(self, prefixes: Iterable[str] = ()) -> None:
        """`prefixes` such as `/metrics`: the paths of a site that its edge forwards to us untouched."""
        self._routes: dict[bytes, RouteName] = {
            f"{prefix}{path}{slash}".encode(): name
            for prefix in ("", GATEWAY, *prefixes)
            for path, name in _PATHS.items()
            for slash in ("", "/")
        }

    def find(self, url: bytes) -> tuple[RouteName | None, bytes]:
        """The route of a request target, None if there is none, and its raw query."""
        path, _, query = url.partition(b"?")
        route = self._routes.get(path)
        if route is None and not path.startswith(b"/"):
            route = self._routes.get(_ABSOLUTE.sub(b"", path))
        return route, query
