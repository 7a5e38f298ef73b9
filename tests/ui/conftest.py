"""A browser per module, and one living server for all tests of pages."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser

from tests.support.server import Server
from tests.support.ui import administrator, chromium
from tests.ui.living import CONFIG, live


class Living(NamedTuple):
    """A server with events of every kind, and the session of its administrator."""

    server: Server
    session: str


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the session: as long as it is there a loop runs, and other tests could start none.
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    data = tmp_path_factory.mktemp("living") / "data"
    server = Server(data, CONFIG)
    session = administrator(data)
    with server:
        live(server)
        yield Living(server, session)
