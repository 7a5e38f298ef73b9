"""Every destination type keeps the contract."""

from pathlib import Path

import pytest

from turnout.destinations.interface import Context
from turnout.destinations.registry import DestinationType, types
from turnout.testing.destination_suite import DestinationSuite, answering


@pytest.fixture(params=sorted(types()))
def kind(request: pytest.FixtureRequest) -> DestinationType:
    return types()[request.param]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(ref="29/example", data_dir=tmp_path, http=answering(200))


class TestDestinations(DestinationSuite):
    """The suite over every file in `destinations/`."""
