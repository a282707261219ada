"""Small factories for what monitoring systems send; everything has a default."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from producers.gateway.alerts import Alert
from producers.gateway.formats import alertmanager, grafana, pagerduty
from producers.gateway.mapping import AlertMapping
from producers.gateway.mapping_file import read_mapping

RECEIVED = datetime(2026, 11, 24, 19, 30, 0, 500, tzinfo=UTC)
ROUTING_KEY = "R" * 32
LABELS = {"alertname": "DiskFull", "severity": "critical", "host": "db-1", "tenant": "acme"}
RULES = """
[defaults]
reporter_user_id = "manager"
updated_by_user = "support"
category = "monitoring"

[[rules]]
name = "disks"
match = { alertname = "DiskFull" }
client_id = "{tenant}"
component_id = "gateway"
title = "{alertname} on {host}"
impact_level = "high"
urgency_level = "high"
severity = { from = "severity", map = { critical = "P1", warning = "P3" } }

[[rules]]
name = "pagerduty"
match = { "alert.format" = "pagerduty", component = { regex = ".+" } }
client_id = "acme"
component_id = "{component}"
impact_level = "high"
urgency_level = "high"
severity = { from = "severity", map = { critical = "P1" }, default = "P3" }
"""


def mapping(text: str = RULES) -> AlertMapping:
    """The mapping that a file says."""
    return read_mapping(text, path=Path("mapping.toml"))


def body(payload: object) -> bytes:
    """A payload as it is posted."""
    return json.dumps(payload).encode()


def firing(**changes: Any) -> dict[str, Any]:
    """One alert as Alertmanager tells it; None leaves a field out."""
    return _merge(
        {
            "status": "firing",
            "labels": LABELS,
            "annotations": {"summary": "Disk full", "description": "97 % used"},
            "startsAt": "2026-11-24T19:00:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph",
            "fingerprint": "2ed1bdaa3ba3ea1f",
        },
        changes,
    )


def resolved(**changes: Any) -> dict[str, Any]:
    """The end of the same alert."""
    return firing(**{"status": "resolved", "endsAt": "2026-11-24T19:20:00Z", **changes})


def alertmanager_payload(*alerts: dict[str, Any], **changes: Any) -> bytes:
    """A call of Alertmanager's."""
    return body(
        _merge(
            {
                "version": "4",
                "groupKey": "{}:{}",
                "truncatedAlerts": 0,
                "status": "firing",
                "receiver": "andon",
                "groupLabels": {},
                "commonLabels": {},
                "commonAnnotations": {},
                "externalURL": "http://alertmanager",
                "alerts": list(alerts) or [firing()],
            },
            changes,
        )
    )


def alertmanager_alert(received_at: datetime = RECEIVED, **changes: Any) -> Alert:
    """One alert that came from Alertmanager."""
    (alert,) = alertmanager.read(alertmanager_payload(firing(**changes)), received_at=received_at)
    return alert


def grafana_payload(*alerts: dict[str, Any], **changes: Any) -> bytes:
    """A call of Grafana's."""
    own = {
        "values": {"B": 97.1},
        "valueString": "[ var='B' value=97.1 ]",
        "silenceURL": "http://grafana/silence",
        "dashboardURL": "http://grafana/d/1",
        "panelURL": "http://grafana/d/1?viewPanel=2",
        "imageURL": "http://grafana/image/1.png",
    }
    return body(
        _merge(
            {
                "version": "1",
                "receiver": "andon",
                "orgId": 1,
                "title": "[FIRING:1]",
                "state": "alerting",
                "message": "…",
                "alerts": [own | alert for alert in (list(alerts) or [firing()])],
            },
            changes,
        )
    )


def grafana_alert(received_at: datetime = RECEIVED, **changes: Any) -> Alert:
    """One alert that came from Grafana."""
    (alert,) = grafana.read(grafana_payload(firing(**changes)), received_at=received_at)
    return alert


def trigger(**changes: Any) -> dict[str, Any]:
    """A PagerDuty event that triggers; None leaves a field out."""
    return _merge(
        {
            "routing_key": ROUTING_KEY,
            "event_action": "trigger",
            "dedup_key": "disk/db-1",
            "client": "Nagios",
            "client_url": "http://nagios",
            "payload": {
                "summary": "Disk full",
                "source": "db-1",
                "severity": "critical",
                "component": "gateway",
            },
        },
        changes,
    )


def follow_up(action: str, **changes: Any) -> dict[str, Any]:
    """What acknowledges or resolves the same alert, with nothing more than it needs."""
    return _merge(
        {"routing_key": ROUTING_KEY, "event_action": action, "dedup_key": "disk/db-1"}, changes
    )


def pagerduty_alert(event: dict[str, Any], received_at: datetime = RECEIVED) -> Alert:
    """The alert of a PagerDuty event."""
    return pagerduty.read_event(body(event)).alert(received_at=received_at)


def _merge(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**values, **changes}.items() if value is not None}
