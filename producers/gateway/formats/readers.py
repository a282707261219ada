"""Which module reads which format."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from producers.gateway.alerts import Alert, AlertFormat, PayloadFaults
from producers.gateway.formats import alertmanager, grafana, pagerduty
from producers.gateway.formats.reading import read_json


class Reader(Protocol):
    """Reads a payload."""

    def __call__(self, body: bytes, *, received_at: datetime) -> list[Alert]:
        """The alerts of *body*.

        Raises:
            PayloadFaults: naming every fault.
        """


READERS: Mapping[AlertFormat, Reader] = {
    AlertFormat.ALERTMANAGER: alertmanager.read,
    AlertFormat.GRAFANA: grafana.read,
    AlertFormat.PAGERDUTY: pagerduty.read,
}


def guess_format(body: bytes) -> AlertFormat:
    """Which format *body* looks like; Alertmanager's where nothing speaks for another one."""
    try:
        value = read_json(body)
    except PayloadFaults:
        return AlertFormat.ALERTMANAGER
    match value:
        case {"event_action": _} | {"routing_key": _}:
            return AlertFormat.PAGERDUTY
        case {"version": "1"} | {"orgId": _}:
            return AlertFormat.GRAFANA
        case _:
            return AlertFormat.ALERTMANAGER
