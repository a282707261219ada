"""Prometheus Alertmanager's webhook, version 4; Grafana's is built on the same parts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from models.inputs import Timestamp, parse_timestamp
from producers.gateway.alerts import Alert, AlertFormat, AlertState, Link
from producers.gateway.formats.reading import (
    MOST_ALERTS,
    Part,
    Text,
    optional_text,
    read_json,
    read_payload,
)

_NEVER = 1970
"""Go's zero time is in the year 1; nothing that happened is before this one."""

Texts = Annotated[dict[Text, Text], BeforeValidator(lambda value: {} if value is None else value)]
LinkText = Annotated[str, BeforeValidator(optional_text)]
CleanName = Annotated[Text, Field(min_length=1, max_length=255)]


class AlertmanagerAlert(Part):
    """One alert of a group."""

    status: Literal["firing", "resolved"]
    labels: Texts
    annotations: Texts = Field(default_factory=dict)
    startsAt: Timestamp  # noqa: N815  # the sender's own names
    endsAt: datetime | None = None  # noqa: N815
    generatorURL: LinkText = ""  # noqa: N815
    fingerprint: CleanName

    @field_validator("endsAt", mode="before")
    @classmethod
    def _only_of_what_ended(cls, value: object, info: ValidationInfo) -> datetime | None:
        """Of a firing alert it is only when Alertmanager will give up waiting for news."""
        if value is None or info.data.get("status") != "resolved":
            return None
        ended = parse_timestamp(value)
        return ended if ended.year >= _NEVER else None

    def links(self) -> tuple[Link, ...]:
        """Where to read on about this alert."""
        return named_links(("Source", self.generatorURL))


class AlertmanagerPayload(Part):
    """What one call says."""

    version: Literal["4"] = "4"
    receiver: LinkText = ""
    externalURL: LinkText = ""  # noqa: N815
    alerts: Annotated[list[AlertmanagerAlert], Field(max_length=MOST_ALERTS)]


def read(body: bytes, *, received_at: datetime) -> list[Alert]:
    """The alerts of a call.

    Raises:
        PayloadFaults: naming every fault.
    """
    payload = read_payload(AlertmanagerPayload, read_json(body))
    sender = named_links(("Alertmanager", payload.externalURL))
    return [
        alert_of(
            AlertFormat.ALERTMANAGER,
            alert,
            links=alert.links() + sender,
            receiver=payload.receiver,
            received_at=received_at,
        )
        for alert in payload.alerts
    ]


def alert_of(
    format_: AlertFormat,
    alert: AlertmanagerAlert,
    *,
    links: tuple[Link, ...],
    receiver: str,
    received_at: datetime,
) -> Alert:
    """One alert, as Alertmanager and Grafana both tell it."""
    annotations = alert.annotations
    title = annotations.get("summary") or alert.labels.get("alertname") or "Alert without a name"
    return Alert(
        format=format_,
        state=AlertState(alert.status),
        key=alert.fingerprint,
        occurrence=(alert.startsAt.isoformat(),),
        labels=alert.labels,
        title=title,
        description=annotations.get("description") or annotations.get("message") or "",
        annotations=annotations,
        links=(*_runbook(annotations), *links),
        started_at=alert.startsAt,
        ended_at=alert.endsAt,
        received_at=received_at,
        receiver=receiver,
    )


def _runbook(annotations: Mapping[str, Any]) -> tuple[Link, ...]:
    return named_links(("Runbook", annotations.get("runbook_url") or annotations.get("runbook")))


def named_links(*links: tuple[str, str | None]) -> tuple[Link, ...]:
    """Those of *links* that lead somewhere."""
    return tuple(Link(name, url) for name, url in links if url)
