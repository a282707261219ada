"""A real Prometheus Alertmanager that sends to the gateway: one alert's life, from end to end."""

from datetime import timedelta
from pathlib import Path

import redis

from tests.support.alertmanager import alertmanager, push
from tests.support.gateways import gateway_environment, gateway_running
from tests.support.installation import Installation
from tests.support.traffic import Traffic, read_books
from tests.support.waiting import wait_for
from tests.support.workers import running


def test_an_alert_opens_an_incident_and_its_resolution_resolves_it(
    installation: Installation, broker: redis.Redis, tmp_path: Path
) -> None:
    """However often Alertmanager repeats itself, there is one incident, and nothing halts."""

    def statuses() -> list[str]:
        return [s for (s,) in installation.rows("SELECT status FROM incidents")]

    def received() -> int:
        return read_books(installation, Traffic(broker)).duplicates

    with (
        gateway_running(gateway_environment(installation), tmp_path) as gateway,
        running(installation.environment(), tmp_path),
        alertmanager(gateway, tmp_path) as url,
    ):
        push(url, ends=timedelta(hours=1))
        wait_for(lambda: statuses() == ["open"], what="an incident")
        wait_for(lambda: received() > 0, what="a repetition")
        push(url, ends=timedelta(seconds=-1))
        wait_for(lambda: statuses() == ["resolved"], what="its resolution")
    ((title, severity, reporter),) = installation.rows(
        "SELECT title, severity, reporter_user_id FROM incidents"
    )
    assert (title, severity, reporter) == ("The disk of db-7 is full", "P2", "manager")
    assert installation.rows("SELECT FROM halts") == []
