"""The control port: `/healthy`, `/ready` and `/metrics` for everybody who reaches it, the API for who has a token,
the interface for who has logged in."""

import asyncio
import contextlib
import socket

import msgspec
import uvicorn
from litestar import Litestar, MediaType, Response, get
from litestar.exceptions import HTTPException
from litestar.response import Redirect

from turnout.control import metrics
from turnout.control.api import shell
from turnout.control.api.answer import Api
from turnout.control.api.table import OPERATIONS
from turnout.control.api.world import World
from turnout.control.status import status
from turnout.control.ui import shell as ui
from turnout.control.ui.table import PAGES
from turnout.model.clock import now_ms
from turnout.settings import Settings, address


def control_app(settings: Settings, world: World, stop: asyncio.Event) -> Litestar:
    """The ASGI application. `stop` ends the answers that go on."""

    @get("/healthy", media_type=MediaType.TEXT, sync_to_thread=False)
    def healthy() -> str:
        return "ok"

    @get("/ready", sync_to_thread=True)
    def ready() -> Response[bytes]:
        found = status(settings, now_ms())
        body = msgspec.json.encode({"ready": found.ready, "problems": found.problems, "warnings": found.warnings})
        return Response(body, status_code=200 if found.ready else 503, media_type=MediaType.JSON)

    @get("/metrics", sync_to_thread=True)
    def figures() -> Response[bytes]:
        text = metrics.render(status(settings, now_ms()))
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @get("/", sync_to_thread=False)
    def start() -> Redirect:
        return Redirect("/ui")

    def unrouted(request: shell.Http, error: HTTPException) -> Response[bytes]:
        is_page = request.method == "GET" and request.url.path.startswith("/ui/")
        return ui.lost(api, request) if is_page else shell.unrouted(request, error)

    api = Api(world, OPERATIONS)
    return Litestar(
        [healthy, ready, figures, start, *shell.handlers(api, OPERATIONS, stop), *ui.handlers(api, PAGES)],
        openapi_config=None,
        exception_handlers={HTTPException: unrouted},
        request_max_body_size=shell.BODY_BYTES,
    )


class _Server(uvicorn.Server):
    """Leaves the signals to whoever owns `stop`."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override] # narrower
        return contextlib.nullcontext()


async def serve_control(settings: Settings, world: World, stop: asyncio.Event) -> None:
    """Serve until `stop`. Raises OSError if it can't listen."""
    # Bound here, because uvicorn would end the process instead of raising.
    listener = socket.create_server(address(settings.control), family=_family(settings.control), backlog=128)
    config = uvicorn.Config(
        control_app(settings, world, stop),
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=2,
        server_header=False,
        # Whoever reaches the port could otherwise claim any address, in the activity log too.
        proxy_headers=False,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    server.should_exit = True
    await serving


def _family(text: str) -> socket.AddressFamily:
    return socket.AF_INET6 if text.startswith("[") else socket.AF_INET
