"""The reverse proxies of the documentation, really run with the configuration that its page shows."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.pages import ROOT, blocks
from tests.support.certificates import make_certificate
from tests.support.server import KEY, Server, free_port, until
from tests.support.web import Records, payload, records_of
from turnout.model.event import ACCEPTED

PAGE = ROOT / "docs" / "how-to" / "behind-a-proxy.md"
HOST = "collect.shop.example"
CONFIG = f"""
sites:
  "29":
    first_party: [shop.example]
    sources:
      shop: {{type: web, key: {KEY}}}
"""
ME = "127.0.0.2"
"""An address that is not the proxy's."""


class Proxied(NamedTuple):
    server: Server
    port: int
    certificate: Path


def shown(name: str) -> str:
    """The file of that name in the page."""
    (found,) = [block.text for block in blocks(PAGE.read_text(), "text") if block.remarks.get("file") == name]
    return found


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def nginx(folder: Path, server: Server, port: int) -> list[str]:
    """The command that runs the page's nginx with other files and ports."""
    text = replaced(shown("nginx.conf"), "127.0.0.1:8080", f"127.0.0.1:{server.port}")
    text = replaced(text, "listen 443 ssl http2", f"listen 127.0.0.1:{port} ssl http2")
    live = f"/etc/letsencrypt/live/{HOST}"
    text = replaced(text, f"{live}/fullchain.pem", str(folder / f"{HOST}.pem"))
    text = replaced(text, f"{live}/privkey.pem", str(folder / f"{HOST}.key"))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nworker_processes 1;\nevents {{}}\n"
    whole = folder / "nginx.conf"
    whole.write_text(f"{main}http {{\naccess_log off;\n{temporary}{text}}}\n")
    return ["/usr/sbin/nginx", "-c", str(whole), "-p", str(folder), "-e", str(folder / "error.log")]


def caddy(folder: Path, server: Server, port: int) -> list[str]:
    """The command that runs the page's Caddy with another port and certificate."""
    text = replaced(shown("Caddyfile"), "127.0.0.1:8080", f"127.0.0.1:{server.port}")
    tls = f"https://{HOST}:{port} {{\n    tls {folder}/{HOST}.pem {folder}/{HOST}.key"
    text = replaced(text, f"{HOST} {{", tls)
    whole = folder / "Caddyfile"
    whole.write_text(f"{{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n}}\n{text}")
    return ["caddy", "run", "--config", str(whole), "--adapter", "caddyfile"]


@contextmanager
def proxied(folder: Path, command: Callable[[Path, Server, int], list[str]]) -> Iterator[Proxied]:
    certificate, _ = make_certificate(folder, HOST)
    environment = dict(re.findall(r"^(TURNOUT_TRUSTED_PROXIES)=(.*)$", shown("environment"), re.MULTILINE))
    with Server(folder / "data", CONFIG, **environment) as server:
        port = free_port()
        home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/bin"}
        with (folder / "proxy.log").open("wb") as log:
            process = subprocess.Popen(command(folder, server, port), stdout=log, stderr=log, env=home)
        try:
            found = Proxied(server, port, certificate)
            until(lambda: curl(found, "/healthy")[0] == 200, f"the proxy: {(folder / 'proxy.log').read_text()}")
            yield found
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module", params=[nginx, caddy], ids=lambda run: run.__name__)
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    with proxied(tmp_path_factory.mktemp("proxy"), request.param) as running:
        yield running


@pytest.fixture(scope="module")
def records(proxy: Proxied) -> Iterator[Records]:
    with records_of(proxy.server) as found:
        yield found


def curl(proxy: Proxied, target: str, *options: str, body: bytes = b"") -> tuple[int, str, bytes]:
    """Status, head and body of a request from `ME`, over HTTP/2 unless told otherwise."""
    url = f"https://{HOST}:{proxy.port}{target}"
    command = [
        "curl",
        "-sg",
        "--http2",
        "-i",
        "--interface",
        ME,
        "--cacert",
        str(proxy.certificate),
        "--max-time",
        "20",
    ]
    sent = ["--data-binary", "@-", "-H", "Content-Type: application/json"] if body else []
    where = ["--resolve", f"{HOST}:{proxy.port}:127.0.0.1", *options, url]
    done = subprocess.run([*command, *sent, *where], input=body, capture_output=True, timeout=90, check=False)
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/\S+ (\d+)", head)
    return int(status[1]) if status else 0, head.decode("latin-1").lower(), rest


PIXEL = f"/events?tc_s=29&token={KEY}&event_name=x"
FORGED = (
    "X-Forwarded-For: 203.0.113.9",
    "Forwarded: for=203.0.113.9;host=evil.example;proto=http",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Country: XX",
    "X-Forwarded-Region: XX",
    "X-Forwarded-CountryRegion: XX",
)


@pytest.mark.parametrize("forged", [(), FORGED], ids=["honest", "forging"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_address_and_host_are_the_clients_whatever_it_says(
    proxy: Proxied, records: Records, forged: tuple[str, ...], version: str
) -> None:
    start = records.log.end(ACCEPTED)
    status, head, body = curl(proxy, PIXEL, version, *(part for line in forged for part in ("-H", line)))
    assert (status, body[:6]) == (200, b"GIF89a")
    assert "set-cookie: caid=20" in head
    assert "domain=.shop.example" in head
    (record,) = records.since(start)
    context = payload(record)["context"]
    assert isinstance(context, dict)
    assert context["device"]["ip"] == ME
    assert record.location is None


def test_the_cookie_comes_back(proxy: Proxied, records: Records) -> None:
    start = records.log.end(ACCEPTED)
    _, head, _ = curl(proxy, PIXEL, "-H", "Cookie: CAID=20241; a=b")
    assert "set-cookie" not in head
    (record,) = records.since(start)
    assert payload(record)["user"] == {"consistent_anonymous_id": "20241"}
    assert curl(proxy, "/get-cookie?name=CAID", "-H", "Cookie: CAID=20241")[2] == b'{"CAID":"20241"}'


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_pixel_of_32_kb_comes_through(proxy: Proxied, records: Records, version: str) -> None:
    start = records.log.end(ACCEPTED)
    query = PIXEL.partition("?")[2] + "&long="
    assert curl(proxy, "/events?" + query.ljust(32_768, "y"), version)[0] == 200
    assert curl(proxy, "/events?" + query.ljust(32_769, "y"), version)[0] == 400
    assert [record.status for record in records.since(start)] == ["valid", "rejected"]


def test_a_batch_of_500_kb_comes_through_and_one_byte_more_is_refused_by_us(proxy: Proxied, records: Records) -> None:
    start = records.log.end(ACCEPTED)
    body = b'{"batch":[{"event_name":"x"}]}'.ljust(512_000)
    target = PIXEL.replace("/events", "/events/batch")
    assert curl(proxy, target, body=body)[::2] == (200, b"{}")
    status, _, answer = curl(proxy, target, body=body + b" ")
    assert (status, b"payload_too_large" in answer) == (400, True)
    assert [record.status for record in records.since(start)] == ["valid", "rejected"]


def test_browsers_get_their_headers(proxy: Proxied) -> None:
    origin = "https://www.shop.example"
    status, head, _ = curl(proxy, "/events", "-X", "OPTIONS", "-H", f"Origin: {origin}")
    assert status == 204
    assert f"access-control-allow-origin: {origin}" in head
    assert "access-control-max-age: 86400" in head
    status, head, _ = curl(proxy, "/tag.js", "-H", "Accept-Encoding: gzip")
    assert (status, "content-encoding: gzip" in head) == (200, True)
