"""`turnout demo` against a running server: whole events arrive, broken ones are refused or flagged, none is lost."""

from collections.abc import Iterator

import pytest

from tests.support.server import CONFIG, Server, until
from turnout.control import factsfile

EVENTS = 1000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("demo") / "data", CONFIG) as running:
        yield running


def processed(server: Server) -> dict[str, int]:
    """Events by "source status", as the worker counts them."""
    return factsfile.read(server.data)["worker"].events


def test_what_the_shop_sends_is_there_and_explained(server: Server) -> None:
    ran = server.run("demo", "--rate", "1000", "--count", str(EVENTS))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.decode().startswith(f"{EVENTS} events sent, ")
    until(lambda: sum(processed(server).values()) == EVENTS, "every request to have a record")
    assert processed(server)["29/shop valid"] > 0.8 * EVENTS
    assert processed(server)["29/backend valid"] > 0
    assert processed(server)["29/ rejected"] > 0, "a foreign key"
    assert server.audit()["closes"] is True


def test_it_says_what_to_do_without_a_source(server: Server) -> None:
    ran = server.run("demo", "--site", "30", "--count", "1")
    assert ran.returncode == 2
    assert b"give --site and --key: no configured source fits" in ran.stderr
