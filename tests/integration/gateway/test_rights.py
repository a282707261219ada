"""What the gateway may do where it publishes to, with the rights that the compose file gives it."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from redis.exceptions import NoPermissionError

from tests.support.gateways import alertmanager_payload, gateway_environment, gateway_running
from tests.support.installation import Installation
from tests.support.traffic import Traffic

COMPOSE = Path(__file__).parents[3] / "docker-compose.yml"
PASSWORD = "password-of-the-gateway-s-user"


def test_the_gateway_needs_no_more_of_redis_than_to_add_to_the_intake(
    installation: Installation, broker: redis.Redis, traffic: Traffic
) -> None:
    """It publishes and is ready; what others sent, it can neither read nor remove."""
    rights = re.search(r'echo "user gateway on >\S+ (.+)" >> /tmp/redis.conf', COMPOSE.read_text())
    assert rights is not None
    broker.execute_command("ACL", "SETUSER", "gateway", "on", f">{PASSWORD}", *rights[1].split())
    own = installation.settings.broker_url.get_secret_value()
    url = own.replace(urlsplit(own).netloc.rpartition("@")[0], f"gateway:{PASSWORD}")
    environment = gateway_environment(installation, ANDON_BROKER_URL=url)
    try:
        with gateway_running(environment, installation.directory) as gateway:
            assert gateway.call("/v1/alertmanager", alertmanager_payload()).status == 202
            assert gateway.call("/readyz").status == 200
        assert traffic.left() == 1
        with redis.Redis.from_url(url) as theirs:
            for command in (
                ["XRANGE", traffic.names.intake(), "-", "+"],
                ["DEL", traffic.names.intake()],
                ["XADD", traffic.names.outcomes, "*", "a", "b"],
                ["FLUSHALL"],
                ["CONFIG", "GET", "*"],
            ):
                with pytest.raises(NoPermissionError):
                    theirs.execute_command(*command)
    finally:
        broker.execute_command("ACL", "DELUSER", "gateway")
