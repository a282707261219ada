"""A gateway process for the tests of this folder."""

from collections.abc import Iterator

import pytest
import redis

from tests.support.gateways import GatewayProcess, gateway_environment, gateway_running
from tests.support.installation import Installation
from tests.support.traffic import Traffic


@pytest.fixture
def gateway(installation: Installation) -> Iterator[GatewayProcess]:
    """One that publishes to the test's intake; nobody reads that."""
    with gateway_running(gateway_environment(installation), installation.directory) as running:
        yield running


@pytest.fixture
def traffic(broker: redis.Redis) -> Traffic:
    """The intake, from outside."""
    return Traffic(broker)
