"""Grafana's alerting webhook: Alertmanager's shape, with version 1 and fields of its own.

What differs from one repetition of an alert to the next is left out: the values that were measured
(``values``, ``valueString``) and the screenshot (``imageURL``).
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from producers.gateway.alerts import Alert, AlertFormat, Link
from producers.gateway.formats.alertmanager import (
    AlertmanagerAlert,
    LinkText,
    alert_of,
    named_links,
)
from producers.gateway.formats.reading import (
    MOST_ALERTS,
    Part,
    read_json,
    read_payload,
)


class GrafanaAlert(AlertmanagerAlert):
    """One alert of a notification."""

    dashboardURL: LinkText = ""  # noqa: N815
    panelURL: LinkText = ""  # noqa: N815
    silenceURL: LinkText = ""  # noqa: N815

    @override
    def links(self) -> tuple[Link, ...]:
        return named_links(
            ("Panel", self.panelURL),
            ("Dashboard", self.dashboardURL),
            ("Rule", self.generatorURL),
            ("Silence", self.silenceURL),
        )


class GrafanaPayload(Part):
    """What one call says."""

    version: Literal["1"] = "1"
    receiver: LinkText = ""
    alerts: Annotated[list[GrafanaAlert], Field(max_length=MOST_ALERTS)]


def read(body: bytes, *, received_at: datetime) -> list[Alert]:
    """The alerts of a call.

    Raises:
        PayloadFaults: naming every fault.
    """
    payload = read_payload(GrafanaPayload, read_json(body))
    return [
        alert_of(
            AlertFormat.GRAFANA,
            alert,
            links=alert.links(),
            receiver=payload.receiver,
            received_at=received_at,
        )
        for alert in payload.alerts
    ]
