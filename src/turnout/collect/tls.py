"""TLS for installations without a proxy: a certificate that is renewed while the server runs, and the handshake.

What must stay true: a pair of files that doesn't fit together never replaces one that does; a client that is still
in its handshake counts as a connection and has a deadline.
"""

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, cast

import structlog

from turnout.collect.connection import Connection
from turnout.model.errors import ConfigError, Problem

if TYPE_CHECKING:
    from turnout.collect.server import CollectServer

log = structlog.get_logger("collect")


class Certificate:
    """A certificate with its key, from PEM files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises `ConfigError` if they can't be used."""
        self._files = (certificate, key)
        self._seen: tuple[tuple[int, int, int], ...] = ()
        self.context = _context()
        try:
            self._load()
        except (OSError, ValueError) as error:
            fix = "PEM files, the key without a password, both readable by the server"
            raise ConfigError([Problem("TLS", f"{certificate} and {key} can't be used: {error}", fix)]) from error

    def refresh(self) -> None:
        """Take over files that have changed, for handshakes from now on. Those that can't be used change nothing."""
        if _state(self._files) == self._seen:
            return
        try:
            self._load()
        except (OSError, ValueError) as error:
            log.warning("certificate not replaced", reason=str(error), files=[str(file) for file in self._files])
        else:
            log.info("certificate replaced", files=[str(file) for file in self._files])

    def _load(self) -> None:
        self._seen = _state(self._files)
        # First into one that nobody uses: a key that doesn't fit would leave the other with half of each.
        for context in (_context(), self.context):
            context.load_cert_chain(*self._files, password="")


class Handshake(asyncio.Protocol):
    """A connection before its TLS handshake is complete; then a `Connection` takes its place."""

    def __init__(self, server: "CollectServer", certificate: Certificate) -> None:
        self._server, self._certificate = server, certificate
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio.Transport does without deriving from it.
        self._transport = cast("asyncio.Transport", transport)
        if self._server.greet(self):
            # Nothing may be read before the layer is there that understands it.
            self._transport.pause_reading()
            self._task = asyncio.get_running_loop().create_task(self._shake())
        else:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.greeted(self)

    def abort(self) -> None:
        """Give up."""
        if self._transport is not None:
            self._transport.abort()

    async def _shake(self) -> None:
        assert self._transport is not None
        connection = Connection(self._server)
        limits = self._server.limits
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                self._transport,
                connection,
                self._certificate.context,
                server_side=True,
                ssl_handshake_timeout=limits.head_s,
                ssl_shutdown_timeout=limits.linger_s,
            )
        except (OSError, TimeoutError):
            # Whoever speaks something else, or nothing, or goes away. `ssl.SSLError` is an OSError.
            self.abort()
        else:
            assert encrypted is not None
            connection.connection_made(encrypted)
        finally:
            self._server.greeted(self)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _state(files: tuple[Path, ...]) -> tuple[tuple[int, int, int], ...]:
    """What tells a changed file from one that is the same; of one that is not there, nothing."""
    found = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(found)
