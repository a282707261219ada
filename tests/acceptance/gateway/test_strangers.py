"""A gateway under 2,000 connections without a credential, while a real Alertmanager sends."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.alertmanager import alertmanager, push
from tests.support.certificates import self_signed
from tests.support.gateways import (
    GatewayProcess,
    gateway_environment,
    gateway_running,
    with_certificate,
)
from tests.support.installation import Installation
from tests.support.spooling import arrivals
from tests.support.strangers import strangers
from tests.support.waiting import wait_for

COUNT = 2_000
ALERTS = 12

NOTHING = (b"", b"")
A_SLOW_HEADER = (b"POST /v1/alertmanager HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"x")
A_SLOW_BODY = (b"POST /v2/enqueue HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n{", b" ")
HALF_A_HANDSHAKE = (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00")


@contextmanager
def serving(installation: Installation, *, tls: bool) -> Iterator[GatewayProcess]:
    """A gateway, with a certificate of its own where it is to speak TLS."""
    directory = installation.directory
    more = with_certificate(self_signed(directory)) if tls else {}
    with gateway_running(gateway_environment(installation, **more), directory) as gateway:
        yield gateway


def is_well(gateway: GatewayProcess, path: str) -> bool:
    """Whether it says so to one who asks from the strangers' own address, without a credential.

    Hundreds of them may come while it is asked, and then the oldest makes room: who asks.
    """
    try:
        return gateway.call(path, headers={}).status == 200
    except OSError:  # in the middle of a handshake it is ssl's
        return False


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (False, NOTHING),
        (False, A_SLOW_HEADER),
        (False, A_SLOW_BODY),
        (True, NOTHING),
        (True, HALF_A_HANDSHAKE),
    ],
    ids=["nothing", "slow header", "slow body", "nothing to TLS", "half a handshake"],
)
def test_idle_strangers_keep_no_alert_out(
    installation: Installation,
    tmp_path: Path,
    tls: bool,
    said: tuple[bytes, bytes],
) -> None:
    """Every alert arrives, and the gateway says that it is well, however many hold it open."""
    intake = installation.settings.broker_url.get_secret_value()
    with (
        serving(installation, tls=tls) as gateway,
        alertmanager(gateway, tmp_path) as url,
        strangers(gateway, *said, count=COUNT),
    ):
        for number in range(ALERTS):
            before = len(set(arrivals(intake)))
            push(url, ends=timedelta(hours=1), name=f"Disk{number}")
            wait_for(lambda before=before: len(set(arrivals(intake))) > before, what="an alert")
            for path in ("/readyz", "/healthz"):
                wait_for(lambda path=path: is_well(gateway, path), what=path)
        told = gateway.process.output()
    assert len(set(arrivals(intake))) == ALERTS
    assert "Connections: closed" in told
    assert told.count("Connections: ") < 10, "what strangers do fills no log"
