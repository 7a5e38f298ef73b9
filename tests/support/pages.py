"""A web site for a browser to visit: pages, the tag, and a stand-in collector whose answers a test decides."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from turnout.collect import tag

STUB = "window.caReady=window.caReady||[];window.cact=window.cact||function(){caReady.push(arguments)};"
"""What a page runs before the tag is there."""


class Hit(NamedTuple):
    """A POST that the stand-in collector got."""

    query: dict[str, list[str]]
    content_type: str
    cookie: str
    events: list[dict[str, object]]
    status: int


class Site:
    """Use as a context manager. `origin` is another site than the collector's `127.0.0.1`, as in the wild."""

    def __init__(self, port: int = 0) -> None:
        self.hits: list[Hit] = []
        self.answers: list[int] = []
        """Statuses for the next POSTs; 200 when there are none left."""
        self.gate = threading.Event()
        """Closed, POSTs wait at it with their answer."""
        self.gate.set()
        self._pages: dict[str, tuple[str, dict[str, str]]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.origin = f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> "Site":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, path: str, text: str, headers: dict[str, str] | None = None) -> str:
        """From now on `path`, whatever its query, is this page, or this script if it ends so. Gives its URL."""
        self._pages[path.partition("?")[0]] = (text, headers or {})
        return self.origin + path

    def page(self, path: str, script: str = "", title: str = "Page", body: str = "") -> str:
        """Serve a page that runs `script` after the stub and then loads the tag."""
        return self.serve(
            path,
            f'<!doctype html><html lang="fr"><head><meta charset="utf-8"><title>{title}</title>'
            f"<script>{STUB}{script}</script>"
            f'<script async src="/tag.js"></script></head><body>{body}</body></html>',
        )

    def events(self) -> list[dict[str, object]]:
        """What the stand-in collector took, in order."""
        return [event for hit in self.hits if hit.status == 200 for event in hit.events]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/tag.js":
                    script = tag.answer(
                        self.headers.get("Accept-Encoding", "").encode(),
                        self.headers.get("If-None-Match", "").encode(),
                    )
                    self._reply(script.status, script.body, dict(script.headers))
                elif path in site._pages:
                    text, headers = site._pages[path]
                    kind = "text/javascript" if path.endswith(".js") else "text/html"
                    self._reply(200, text.encode(), {"Content-Type": kind, **headers})
                else:
                    self._reply(204, b"", {})

            def do_OPTIONS(self) -> None:
                self._reply(204, b"", {"Access-Control-Allow-Headers": "content-type"})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                site.gate.wait(90)
                status = site.answers.pop(0) if site.answers else 200
                query = parse_qs(urlsplit(self.path).query)
                kind, cookie = self.headers["Content-Type"], self.headers.get("Cookie", "")
                site.hits.append(Hit(query, kind, cookie, json.loads(body)["batch"], status))
                self._reply(status, b"{}", {"Content-Type": "application/json"})

            def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                if origin := self.headers.get("Origin"):
                    allowed = {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}
                    headers = {**headers, **allowed}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: the browser's own log tells more."""

        return Handler
