"""TLS for installations without a proxy: a certificate that is renewed while the server runs, and handshakes.

What must stay true: a pair of files that doesn't fit together never replaces one that does; a client that is still
in its handshake counts as a connection and has a deadline.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from turnout.collect.connection import Connection
from turnout.model.errors import ConfigError, Problem

if TYPE_CHECKING:
    from turnout.collect.server import CollectServer

_AT_ONCE = 256
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_S = 0.2

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


class Listener:
    """Accepts connections and has their handshakes done; a `Connection` is told when its own is.

    The event loop could do both, but it does not count handshakes, and nothing would bound them.
    """

    def __init__(self, server: "CollectServer", certificate: Certificate, host: str, port: int) -> None:
        """Listen. Raises OSError if that is not possible."""
        self._server, self._certificate = server, certificate
        self._loop = asyncio.get_running_loop()
        self._shaking: set[asyncio.Task[None]] = set()
        self.sockets = tuple(_listening(host, port))
        for listener in self.sockets:
            self._loop.add_reader(listener, self._accept, listener)

    def close(self) -> None:
        """Accept no more, and give up handshakes that are under way."""
        for listener in self.sockets:
            self._loop.remove_reader(listener)
            listener.close()
        for task in self._shaking:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    continue  # that client has gone
                # There is nothing to wait for that would tell when it is over.
                self._loop.remove_reader(listener)
                self._loop.call_later(_PAUSE_S, self._resume, listener)
                return
            connection = Connection(self._server)
            if self._server.greet(connection):
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                task = self._loop.create_task(self._shake(client, connection))
                self._shaking.add(task)
                task.add_done_callback(self._shaking.discard)
            else:
                self._server.greeted(connection)
                client.close()

    def _resume(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._accept, listener)

    async def _shake(self, client: socket.socket, connection: Connection) -> None:
        limits = self._server.limits
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                client,
                ssl=self._certificate.context,
                ssl_handshake_timeout=limits.head_s,
                ssl_shutdown_timeout=limits.linger_s,
            )
        except OSError:
            # Whoever speaks something else, or nothing in time, or goes away; `ssl.SSLError` is one of them.
            client.close()
        finally:
            self._server.greeted(connection)


def _listening(host: str, port: int) -> Iterator[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
        listener = socket.create_server(address[:2], family=family, backlog=4096)
        listener.setblocking(False)
        yield listener


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
