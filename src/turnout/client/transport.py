"""One keep-alive connection to the collector. Blocking; used by the sender's thread alone."""

import http.client
from urllib.parse import quote, urlsplit

from turnout.client.events import body, compressed

_ANSWER_BYTES = 65_536


class TransportError(Exception):
    """No answer: the text says why. The server may have taken the events or not."""


class Transport:
    """Sends batches. Redirects are not followed, proxies of the environment not used."""

    def __init__(self, url: str, site: str, key: str, timeout_s: float) -> None:
        """`url` is where the collector is, with the path in front of `/events`, if any.

        `timeout_s` is for every single wait on the socket. Raises `ValueError` for an address that can't be one.
        """
        self._made_of = (url, site, key, timeout_s)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"url is like https://collect.example.com, not {url!r}")
        if parts.username is not None:
            raise ValueError("url has no user name or password; the source key goes into key")
        if not site or not key:
            raise ValueError("site and key are needed: the id of the site and a source key")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.server = f"{parts.scheme}://{parts.netloc}"
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        path = quote(parts.path.rstrip("/"), safe="/%")
        self._target = f"{path}/events/batch?tc_s={quote(site, '')}&token={quote(key, '')}"

    def post(self, events: list[bytes]) -> tuple[int, str | None]:
        """Send a batch; gives the status and the `Retry-After` header. Raises `TransportError`."""
        data = body(events)
        headers = {"Content-Type": "application/json", "User-Agent": "turnout-python"}
        zipped = compressed(data)
        if zipped is not None:
            headers["Content-Encoding"] = "gzip"
        reused = self._connection.sock is not None
        try:
            try:
                return self._exchange(zipped or data, headers)
            except ConnectionError:
                # The usual end of an idle connection: it shows only when it is used again.
                if not reused:
                    raise
                return self._exchange(zipped or data, headers)
        except (OSError, http.client.HTTPException) as error:
            raise TransportError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connection; the next `post` opens another."""
        self._connection.close()

    def fresh(self) -> "Transport":
        """The same without a connection, for a forked child: the parent's is not ours to use."""
        self.close()
        return Transport(*self._made_of)

    def _exchange(self, data: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
        try:
            self._connection.request("POST", self._target, data, headers)
            response = self._connection.getresponse()
            rest = response.read(_ANSWER_BYTES)
        except BaseException:
            self._connection.close()
            raise
        if len(rest) == _ANSWER_BYTES:
            self._connection.close()
        return response.status, response.headers.get("Retry-After")
