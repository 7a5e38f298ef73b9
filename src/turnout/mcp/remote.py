"""A client of the API for one site: documents in, documents out. Everything that goes wrong is a `RemoteError`."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import quote, urlencode

import turnout
from turnout.model.errors import TurnoutError

_TIMEOUT_S = 30.0
_LARGEST_BYTES = 4 << 20

Value = str | int | bool | None


class RemoteError(TurnoutError):
    """The API did not answer, or not with what was asked for; the text says why, and what to do."""


class Remote:
    """See the module. Safe in threads."""

    def __init__(self, url: str, token: str, site: str = "") -> None:
        """`url` is where the control port is reached; without a `site` it is the token's only one."""
        self._url, self._token, self._site = url.rstrip("/"), token, site
        # Proxies of the environment are not for a server that is named on purpose.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())

    def me(self) -> dict[str, object]:
        """The token's own document."""
        return self._ask("GET", "/v2/me", None)

    def get(self, path: str, query: Mapping[str, Value] | None = None) -> dict[str, object]:
        """A document of the site; parameters that are None or empty are left out."""
        given = {name: _text(value) for name, value in (query or {}).items() if value not in (None, "")}
        return self._ask("GET", f"{self._base()}{path}{f'?{urlencode(given)}' if given else ''}", None)

    def post(self, path: str, body: object) -> dict[str, object]:
        """What the API answers to a body."""
        return self._ask("POST", f"{self._base()}{path}", body)

    def _base(self) -> str:
        return f"/v2/{quote(self._site or self._only_site(), safe='')}"

    def _only_site(self) -> str:
        data = self.me()["data"]
        assert isinstance(data, dict)
        sites: list[str] = data["attributes"]["sites"]
        if len(sites) != 1 or sites == ["*"]:
            raise RemoteError("the token is for several sites: start `turnout mcp` with --site")
        self._site = sites[0]
        return self._site

    def _ask(self, method: str, path: str, body: object) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {self._token}", "User-Agent": f"turnout-mcp/{turnout.__version__}"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(f"{self._url}{path}", data, headers, method=method)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                return _document(answer.read(_LARGEST_BYTES + 1))
        except urllib.error.HTTPError as error:
            raise RemoteError(_problem(error.code, error.read(_LARGEST_BYTES))) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise RemoteError(f"{self._url} does not answer ({reason}): is the server running there?") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The API has none, and the token is not for anybody else."""

    def redirect_request(self, *_: object) -> None:
        return None


def _document(body: bytes) -> dict[str, object]:
    if len(body) > _LARGEST_BYTES:
        raise RemoteError("the answer is too long: ask for less")
    try:
        found = json.loads(body) if body else {}
    except ValueError as error:
        raise RemoteError("the answer is not JSON: is this the control port of a turnout?") from error
    if not isinstance(found, dict):
        raise RemoteError("the answer is no document: is this the control port of a turnout?")
    return found


def _problem(status: int, body: bytes) -> str:
    """What a problem says, all of it."""
    try:
        errors = json.loads(body)["errors"]
        said = "; ".join(f"{error['code']}: {error['detail']}" for error in errors)
    except (ValueError, KeyError, TypeError):
        said = "no explanation"
    return f"the server answered {status}: {said}"


def _text(value: Value) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
