"""A client that sends bytes as they are and reads answers strictly: anything but well-formed HTTP/1.1 fails."""

import socket
from types import TracebackType
from typing import NamedTuple

CONTINUE = 100


class Response(NamedTuple):
    """One answer of the server, interim ones included."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawClient:
    """One connection. Reads fail after `timeout` seconds: a server that hangs fails the test."""

    def __init__(self, port: int, timeout: float = 60.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self.closed = False

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        """Send piece by piece; what the server no longer reads is dropped."""
        for piece in pieces:
            try:
                self.socket.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                return

    def end(self) -> None:
        """Say that nothing more will be sent; go on reading."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def read(self, head: bool = False) -> Response | None:
        """The next answer (to a HEAD: no body is expected); None if the connection ends instead."""
        while (end := self._data.find(b"\r\n\r\n")) < 0:
            if not self._more():
                assert not self._data, f"half an answer: {self._data!r}"
                return None
        lines = self._data[:end].decode("ascii").split("\r\n")
        self._data = self._data[end + 4 :]
        version, code, _ = lines[0].split(" ", 2)
        assert version == "HTTP/1.1"
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(": ")
            assert colon, f"not a header: {line!r}"
            assert name.lower() not in headers, f"twice: {name}"
            headers[name.lower()] = value
        status = int(code)
        length = 0 if head or status < 200 or status == 204 else int(headers["content-length"])
        while len(self._data) < length:
            assert self._more(), "half a body"
        body, self._data = self._data[:length], self._data[length:]
        return Response(status, headers, body)

    def final(self) -> Response | None:
        """The next answer that is not an interim one."""
        while (found := self.read()) is not None and found.status == CONTINUE:
            pass
        return found

    def rest(self) -> list[Response]:
        """Every answer until the connection ends."""
        found = []
        while (one := self.final()) is not None:
            found.append(one)
        return found

    def _more(self) -> bool:
        if self.closed:
            return False
        try:
            data = self.socket.recv(65_536)
        except ConnectionResetError:
            data = b""
        self._data += data
        self.closed = not data
        return not self.closed
