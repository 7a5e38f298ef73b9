"""TLS on the collector: handshakes, a certificate that is renewed while clients are connected, and what is no TLS."""

import http.client
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import make_certificate
from tests.support.server import KEY, Server, until
from tests.support.web import ask

TARGET = f"/events?tc_s=29&token={KEY}&event_name=x"
HEAD_SECONDS = 2


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    for name in ("one", "two"):
        make_certificate(made, name)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    for kind in ("pem", "key"):
        shutil.copy(folder / f"one.{kind}", folder / f"live.{kind}")
    environment = {
        "TURNOUT_TLS_CERT": str(folder / "live.pem"),
        "TURNOUT_TLS_KEY": str(folder / "live.key"),
        "TURNOUT_HEAD_SECONDS": str(HEAD_SECONDS),
        "TURNOUT_MAX_CONNECTIONS": "30",
    }
    with Server(folder / "data", **environment) as running:
        yield running


def replace(folder: Path, name: str, kinds: tuple[str, ...] = ("pem", "key")) -> None:
    """As a renewal does: a new file takes the place of the old one."""
    for kind in kinds:
        shutil.copy(folder / f"{name}.{kind}", folder / f"new.{kind}")
        (folder / f"new.{kind}").replace(folder / f"live.{kind}")


def served(server: Server) -> bytes | None:
    """The certificate that a new client gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port), 10) as plain, context.wrap_socket(plain) as encrypted:
        return encrypted.getpeercert(binary_form=True)


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def test_events_come_over_tls_and_connections_are_kept(server: Server, folder: Path) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=60, context=trusting(folder / "one.pem"))
    for _ in range(3):
        connection.request("GET", TARGET)
        response = connection.getresponse()
        assert (response.status, response.getheader("Content-Type")) == (200, "image/gif")
        response.read()
    body = b'{"event_name": "x", "long": "' + b"y" * 30_000 + b'"}'
    connection.request("POST", TARGET, body, {"Content-Type": "application/json", "Connection": "close"})
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"{}")
    connection.close()


def test_http_1_1_is_agreed_on_and_nothing_older_than_tls_1_2(server: Server, folder: Path) -> None:
    context = trusting(folder / "one.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", server.port), 10) as plain,
        context.wrap_socket(plain, server_hostname="one") as encrypted,
    ):
        assert encrypted.selected_alpn_protocol() == "http/1.1"
        assert encrypted.version() in ("TLSv1.2", "TLSv1.3")
    for version, fails in (("-tls1_2", False), ("-tls1_1", True)):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", version, "-cipher", "ALL:@SECLEVEL=0"]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
        assert (done.returncode != 0) == fails, done.stderr


def test_a_renewed_certificate_is_taken_over_and_connections_stay(server: Server, folder: Path) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=60, context=trusting(folder / "one.pem"))
    connection.request("GET", TARGET)
    connection.getresponse().read()
    try:
        replace(folder, "two")
        until(lambda: served(server) == der(folder / "two.pem"), "the new certificate")
        assert ask(server.port, TARGET, tls=trusting(folder / "two.pem")).status == 200
        connection.request("GET", TARGET)
        assert connection.getresponse().status == 200
    finally:
        connection.close()
        replace(folder, "one")
        until(lambda: served(server) == der(folder / "one.pem"), "the old certificate")


@pytest.mark.parametrize("wrong", ["another's key", "another's certificate", "garbage", "nothing"])
def test_a_pair_that_does_not_fit_changes_nothing_and_is_told(server: Server, folder: Path, wrong: str) -> None:
    told = server.errors.count("certificate not replaced")
    if wrong == "another's key":
        replace(folder, "two", ("key",))
    elif wrong == "another's certificate":
        replace(folder, "two", ("pem",))
    elif wrong == "garbage":
        (folder / "live.pem").write_text("no certificate")
    else:
        (folder / "live.pem").unlink()
    try:
        until(lambda: server.errors.count("certificate not replaced") > told, "the warning")
        assert served(server) == der(folder / "one.pem")
        assert ask(server.port, TARGET, tls=trusting(folder / "one.pem")).status == 200
    finally:
        count = server.errors.count("certificate replaced")
        replace(folder, "one")
        until(lambda: server.errors.count("certificate replaced") > count, "the certificate that fits")


@pytest.mark.parametrize(
    "sent", [b"GET /healthy HTTP/1.1\r\nHost: t\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 50]
)
def test_what_is_no_tls_is_hung_up_on(server: Server, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(sent)
        answer = b""
        try:
            while piece := client.recv(1000):
                answer += piece
        except ConnectionResetError:
            pass
    assert b"HTTP" not in answer


def test_handshakes_that_never_end_have_a_deadline_and_count_as_connections(server: Server, folder: Path) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(40)]
    try:
        answers = []
        for client in idle:
            try:
                answers.append(client.recv(100))
            except ConnectionResetError:
                answers.append(b"")
        assert set(answers) == {b""}, "every one is ended"
        until(lambda: served(server) == der(folder / "one.pem"), "room for others")
    finally:
        for client in idle:
            client.close()


def test_a_server_does_not_start_with_what_it_cannot_use(folder: Path) -> None:
    environment = {"TURNOUT_TLS_CERT": str(folder / "one.pem"), "TURNOUT_TLS_KEY": str(folder / "two.key")}
    server = Server(folder / "broken", **environment)
    server.launch()
    try:
        until(lambda: "could not start" in server.errors, "the end")
        assert re.search(r"one\.pem and \S+two\.key can't be used", server.errors)
    finally:
        server.stop()
