"""Several gateways of one source, on machines whose clocks differ."""

import pytest

from tests.support.clocks import wrong_clock
from tests.support.draining import drain
from tests.support.gateways import (
    GatewayProcess,
    alert,
    alertmanager_payload,
    gateway_environment,
    gateway_running,
)
from tests.support.installation import Installation

STATES = "SELECT status, recurrence_of FROM incidents ORDER BY incident_id"


def send(installation: Installation, gateway: GatewayProcess, status: str, start: str) -> None:
    """Let the alert fire, or end, and decide what that comes to."""
    one = alert(status=status, startsAt=f"2025-09-25T{start}:00Z")
    assert gateway.call("/v1/alertmanager", alertmanager_payload(one)).status == 202
    drain(installation)


@pytest.mark.parametrize("database", [True, False], ids=["PostgreSQL's clock", "Redis's clock"])
@pytest.mark.parametrize("seconds", [-300, 300], ids=["behind", "ahead"])
def test_what_fires_again_by_another_gateway_opens_an_incident(
    installation: Installation, database: bool, seconds: float
) -> None:
    """Five minutes between their clocks silence nothing, and both say which clock is wrong."""
    environment = gateway_environment(installation)
    if not database:
        del environment["ANDON_GATEWAY_DATABASE_URL"]
    places = [installation.directory / name for name in ("right", "wrong")]
    for place in places:
        place.mkdir()
    with (
        gateway_running(environment, places[0]) as right,
        gateway_running(environment, places[1], before=wrong_clock(seconds=seconds)) as wrong,
    ):
        send(installation, right, "firing", "11:58")
        send(installation, right, "resolved", "11:58")
        send(installation, wrong, "firing", "12:40")
        assert installation.rows(STATES) == [("resolved", None), ("open", 1)]
        send(installation, wrong, "resolved", "12:40")
        send(installation, right, "firing", "12:50")
        assert "the shared one" in wrong.process.output()
        assert "the shared one" not in right.process.output()
    assert installation.rows(STATES) == [("resolved", None), ("resolved", 1), ("open", 2)]
    assert installation.rows("SELECT FROM halts") == []
