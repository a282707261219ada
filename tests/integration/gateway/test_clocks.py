"""Several gateways of one source, on machines whose clocks differ."""

import hmac
from datetime import UTC, datetime

import orjson
import pytest

from tests.support.draining import drain
from tests.support.gateways import (
    HMAC_KEY,
    GatewayProcess,
    alert,
    alertmanager_payload,
    bearer,
    gateway_environment,
    gateway_running,
    grafana_payload,
)
from tests.support.installation import Installation
from tests.support.requests import event, report

STATES = "SELECT status, recurrence_of FROM incidents ORDER BY incident_id"


def send(installation: Installation, gateway: GatewayProcess, status: str, start: str) -> None:
    """Let the alert fire, or end, and decide what that comes to."""
    one = alert(status=status, startsAt=f"2025-09-25T{start}:00Z")
    assert gateway.call("/v1/alertmanager", alertmanager_payload(one)).status == 202
    drain(installation)


@pytest.mark.parametrize(
    "with_database", [True, False], ids=["PostgreSQL's clock", "Redis's clock"]
)
@pytest.mark.parametrize("seconds", [-600, 600], ids=["behind", "ahead"])
def test_what_fires_again_by_another_gateway_opens_an_incident(
    installation: Installation, with_database: bool, seconds: float
) -> None:
    """Ten minutes between their clocks silence nothing, and both say which clock is wrong."""
    environment = gateway_environment(installation)
    if not with_database:
        del environment["ANDON_GATEWAY_DATABASE_URL"]
    places = [installation.directory / name for name in ("right", "wrong")]
    for place in places:
        place.mkdir()
    with (
        gateway_running(environment, places[0]) as right,
        gateway_running(environment, places[1], clock_ahead=seconds) as wrong,
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


def test_a_gateways_own_clock_refuses_no_fresh_event(installation: Installation) -> None:
    """What is detected now is not in the future, and a fresh signature is fresh."""
    environment = gateway_environment(installation)
    inputs = report(detection_timestamp=datetime.now(UTC).isoformat())
    message = event("report_incident", inputs)
    kind = {"Content-Type": "application/cloudevents+json"}
    webhook, stamp = orjson.dumps(grafana_payload()), str(int(datetime.now(UTC).timestamp()))
    signature = hmac.new(HMAC_KEY.encode(), f"{stamp}:".encode() + webhook, "sha256").hexdigest()
    proof = {"X-Timestamp": stamp, "X-Grafana-Alerting-Signature": signature}
    with gateway_running(environment, installation.directory, clock_ahead=-600) as gateway:
        assert gateway.call("/v1/events", message, headers=bearer() | kind).status == 202
        assert gateway.call("/v1/grafana", webhook, headers=proof).status == 202
