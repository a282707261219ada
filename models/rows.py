"""The rows that requests write, as values: field for field a row of the table of that name.

A decision's effects are such rows, as they should be from then on. Changing one gives a new value
(``_replace``); what is new and what has changed is the business of ``tasks.facts``. They are
tuples, which the driver returns and takes as they are (``models.row_tables``).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from policy.vocabulary import (
    DeliveryMethod,
    DeliveryStatus,
    EscalationLevel,
    EscalationStatus,
    IncidentStatus,
    Level,
    RecipientType,
    Severity,
    SeverityOrigin,
)

Stamps = Mapping[str, Mapping[str, str]]
"""By source, then by field: the signed time (ISO 8601, UTC) of the latest update that named it."""


class Incident(NamedTuple):
    """One incident.

    Attributes:
        severity_origin: whether the severity was computed from flags or stated.
        source: who reported it, with ``request_id`` the identity of the report.
        recurrence_of: the incident that was last open under the same dedup key.
        closed_by_source: whose request closed it.
        version: 1 when reported, one more with every update that changed a field.
    """

    incident_id: int
    title: str
    category: str
    severity: Severity
    severity_origin: SeverityOrigin
    stated_severity: Severity | None
    severity_flags: tuple[str, ...] | None
    impact_level: Level
    urgency_level: Level
    status: IncidentStatus
    client_id: str
    component_id: str
    reporter_user_id: str
    assigned_to_user_id: str | None
    detection_timestamp: datetime
    resolution_timestamp: datetime | None
    source: str
    request_id: str
    dedup_key: str | None
    recurrence_of: int | None
    closed_by_source: str | None
    stamps: Stamps
    version: int
    reported_at: datetime
    updated_at: datetime


class IncidentUpdate(NamedTuple):
    """One line of an incident's history: a field that changed, a note, or a repeated report.

    Attributes:
        field: the changed field, or ``note``, or ``report`` for a report under the same dedup key.
        superseded: the field was left alone, since the same source had set it at a later time.
    """

    incident_id: int
    field: str
    old_value: str | None
    new_value: str | None
    note: str | None
    superseded: bool
    updated_by_user: str
    updated_at: datetime
    source: str
    request_id: str


class Escalation(NamedTuple):
    """One escalation of an incident."""

    escalation_id: int
    incident_id: int
    escalated_by_user: str
    escalated_to_user: str
    escalation_level: EscalationLevel
    escalated_at: datetime
    reason: str | None
    status: EscalationStatus
    resolved_at: datetime | None
    source: str
    request_id: str
    stamps: Stamps


class Communication(NamedTuple):
    """One communication about an incident."""

    communication_id: int
    incident_id: int
    sender_id: str
    recipient_id: str | None
    recipient_type: RecipientType | None
    communication_type: str
    delivery_method: DeliveryMethod
    delivery_status: DeliveryStatus
    sent_at: datetime | None
    source: str
    request_id: str
    stamps: Stamps
    recorded_at: datetime


class EarlyUpdate(NamedTuple):
    """What an update by dedup key makes of a status, while nothing is open under its key.

    Kept with the key for a report that was signed earlier and is decided later.

    Attributes:
        time: the update's signed time, and ``now`` the same, at most the time of its receipt.
        resolution_timestamp: None where the update names none.
    """

    source: str
    dedup_key: str
    request_id: str
    time: datetime
    now: datetime
    updated_by_user: str
    status: IncidentStatus
    resolution_timestamp: datetime | None


Row = Incident | IncidentUpdate | Escalation | Communication | EarlyUpdate
