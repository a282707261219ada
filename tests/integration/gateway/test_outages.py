"""The intake is away: what spools is taken all the same, everything else hears of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from console.embedded import Redis
from models.signatures import verify
from models.streams import StreamNames
from tests.support.gateways import (
    GatewayProcess,
    alert,
    alertmanager_payload,
    gateway_environment,
    gateway_running,
    grafana_payload,
)
from tests.support.installation import Installation
from tests.support.requests import KEY_ID, SECRET
from tests.support.spooling import arrivals
from tests.support.waiting import wait_for


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that the test may stop."""
    server = Redis(tmp_path / "redis")
    yield server
    server.stop()


def ids(gateway: GatewayProcess, *names: str) -> list[str]:
    """Send an alert of each name in a call of its own; the ids of the requests."""
    found = []
    for name in names:
        answer = gateway.call("/v1/grafana", grafana_payload(alert(name)))
        assert answer.status == 202, answer.body
        found += [request["id"] for request in answer.document["requests"]]
    return found


def test_without_a_spool_an_outage_is_503_and_over_when_it_is_over(
    installation: Installation, intake: Redis
) -> None:
    """The sender is told to send again; nothing is kept that it was not promised."""
    url = intake.start()
    environment = gateway_environment(installation, ANDON_BROKER_URL=url)
    with gateway_running(environment, installation.directory) as gateway:
        intake.stop()
        refused = gateway.call("/v1/alertmanager", alertmanager_payload())
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert gateway.call("/readyz").status == 503
        assert gateway.call("/healthz").status == 200
        assert url not in refused.body.decode()
        assert intake.start() == url
        wait_for(lambda: gateway.call("/readyz").status == 200, what="ready again")
        taken = gateway.call("/v1/alertmanager", alertmanager_payload())
        assert taken.status == 202
        assert arrivals(url) == [taken.document["requests"][0]["id"]]


def test_with_a_spool_every_alert_of_an_outage_arrives_in_order(
    installation: Installation, intake: Redis
) -> None:
    """202 says that they are spooled; a killed gateway forwards them when it is back."""
    url = intake.start()
    environment = gateway_environment(installation, spool=True, ANDON_BROKER_URL=url)
    with gateway_running(environment, installation.directory) as gateway:
        before = ids(gateway, "a", "b")
        intake.stop()
        answer = gateway.call("/v1/grafana", grafana_payload(alert("c"), alert("d")))
        assert (answer.status, answer.document["status"]) == (202, "spooled")
        during = [request["id"] for request in answer.document["requests"]]
        during += ids(gateway, "e")
        gateway.process.kill()
    assert intake.start() == url
    with gateway_running(environment, installation.directory) as gateway:
        after = ids(gateway, "f")
        expected = before + during + after
        wait_for(lambda: len(arrivals(url)) == len(expected), what="everything forwarded")
        assert arrivals(url) == expected


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_spooled_is_signed_with_the_key_in_force_when_it_is_forwarded(
    installation: Installation, intake: Redis, restarted: bool
) -> None:
    """A key that was taken back meanwhile makes no alert unauthenticated."""
    url = intake.start()
    environment = gateway_environment(installation, spool=True, ANDON_BROKER_URL=url)
    registry = installation.settings.producers_file
    with ExitStack() as first:
        gateway = first.enter_context(gateway_running(environment, installation.directory))
        intake.stop()
        spooled = ids(gateway, "a")
        before = registry.read_text()
        registry.write_text(before.replace(SECRET.hex(), "cd" * 32).replace(KEY_ID, "monitor-9"))
        assert registry.read_text() != before
        if restarted:
            first.close()
            gateway = first.enter_context(gateway_running(environment, installation.directory))
        assert intake.start() == url
        wait_for(lambda: arrivals(url) == spooled, what="it is forwarded")
    with redis.Redis.from_url(url) as client:
        ((_, fields),) = client.xrange(StreamNames().intake())
    assert fields[b"key"] == b"monitor-9"
    assert verify(fields[b"event"], fields[b"signature"].decode(), b"\xcd" * 32)


def test_a_gateway_that_is_to_spool_does_not_start_without_a_place(
    installation: Installation,
) -> None:
    """It says which source needs it, and how to do without."""
    environment = gateway_environment(installation, spool=True, ANDON_GATEWAY_SPOOL="")
    with (
        pytest.raises(AssertionError) as refused,
        gateway_running(environment, installation.directory),
    ):
        pass
    assert "ANDON_GATEWAY_SPOOL" in str(refused.value)
    assert "spool = false" in str(refused.value)
