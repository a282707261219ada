"""PagerDuty's own client library, with the gateway's address and nothing else changed."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pagerduty
import pytest

from tests.support.certificates import self_signed
from tests.support.gateways import (
    ROUTING_KEY,
    gateway_environment,
    gateway_running,
    with_certificate,
)
from tests.support.installation import Installation
from tests.support.waiting import wait_for
from tests.support.workers import running


@contextmanager
def client_of_a_gateway(
    installation: Installation, routing_key: str
) -> Iterator[pagerduty.EventsApiV2Client]:
    """The library, which insists on HTTPS, with a gateway that has a certificate of its own."""
    certificate = self_signed(installation.directory)
    environment = gateway_environment(installation, **with_certificate(certificate))
    trusting = ssl.create_default_context(cafile=str(certificate.chain))
    with (
        gateway_running(environment, installation.directory) as gateway,
        pagerduty.EventsApiV2Client(routing_key, base_url=gateway.url, verify=trusting) as client,
    ):
        yield client


def test_pagerduty_s_client_triggers_acknowledges_and_resolves(
    installation: Installation, tmp_path: Path
) -> None:
    """One incident goes from open over investigating to resolved, and back comes its key."""

    def statuses() -> list[str]:
        return [s for (s,) in installation.rows("SELECT status FROM incidents ORDER BY 1")]

    with (
        client_of_a_gateway(installation, ROUTING_KEY) as client,
        running(installation.environment(), tmp_path),
    ):
        key = client.trigger(
            "The disk of db-7 is full",
            "db-7",
            severity="critical",
            custom_details={"free": "0 %"},
            links=[{"href": "https://runbooks/disk", "text": "Runbook"}],
        )
        wait_for(lambda: statuses() == ["open"], what="an incident")
        assert client.acknowledge(key) == key
        wait_for(lambda: statuses() == ["investigating"], what="its acknowledgement")
        assert client.resolve(key) == key
        wait_for(lambda: statuses() == ["resolved"], what="its resolution")
        again = client.trigger("The disk of db-7 is full", "db-7", dedup_key=key)
        assert again == key
        wait_for(lambda: statuses() == ["open", "resolved"], what="a new incident")
        with pytest.raises(pagerduty.Error):
            client.trigger("x" * 1025, "db-7")
    assert installation.rows("SELECT FROM halts") == []


def test_a_wrong_routing_key_is_an_error_of_the_client(
    installation: Installation,
) -> None:
    """The client is told by 400, as PagerDuty tells it, and does not try again."""
    with (
        client_of_a_gateway(installation, "f" * 32) as client,
        pytest.raises(pagerduty.Error) as refused,
    ):
        client.trigger("The disk of db-7 is full", "db-7")
    assert "400" in str(refused.value)
