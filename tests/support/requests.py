"""Small factories for requests; everything has a default."""

import uuid
from datetime import UTC, datetime
from typing import Any

from models.deliveries import Delivery
from models.events import write_event
from models.signatures import sign
from models.tables import Door

SOURCE = "monitor"
KEY_ID = "monitor-1"
SECRET = bytes.fromhex("ab" * 32)


def report(**changes: Any) -> dict[str, Any]:
    """The inputs of a report; None leaves one out."""
    return _merge(
        {
            "title": "Checkout answers slowly",
            "category": "performance",
            "impact_level": "high",
            "urgency_level": "high",
            "client_id": "acme",
            "component_id": "gateway",
            "reporter_user_id": "manager",
            "detection_timestamp": "2025-09-25T11:58:00Z",
            "severity_flags": {"p2_major_degradation_with_workaround": True},
        },
        changes,
    )


def update(**changes: Any) -> dict[str, Any]:
    """The inputs of an update of incident 1."""
    return _merge(
        {
            "incident_id": "1",
            "updated_by_user": "support",
            "change_set": {"status": "investigating"},
        },
        changes,
    )


def escalation(**changes: Any) -> dict[str, Any]:
    """The inputs of an escalation of incident 1 to the management."""
    return _merge(
        {
            "incident_id": "1",
            "escalated_by_user": "support",
            "escalated_to_user": "manager",
            "escalation_level": "management",
        },
        changes,
    )


def communication(**changes: Any) -> dict[str, Any]:
    """The inputs of a communication about incident 1."""
    return _merge(
        {
            "incident_id": "1",
            "sender_id": "support",
            "recipient_id": "acme-contact",
            "communication_type": "status_update",
            "delivery_method": "email",
        },
        changes,
    )


def _merge(inputs: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**inputs, **changes}.items() if value is not None}


def event(
    procedure: str,
    data: Any,
    *,
    id: str | None = None,
    source: str = SOURCE,
    time: datetime | None = None,
) -> bytes:
    """The bytes of an event that asks for *procedure*."""
    return write_event(
        id=id or str(uuid.uuid4()),
        source=source,
        type=f"andon.{procedure}",
        time=time or datetime.now(UTC),
        data=data,
    )


def delivery(
    event: bytes, *, entry: str | None = None, key_id: str = KEY_ID, secret: bytes = SECRET
) -> Delivery:
    """An event as it is delivered, signed."""
    return Delivery(
        entry=entry or f"andon:intake/{uuid.uuid4()}",
        door=Door.INTAKE,
        event=event,
        key_id=key_id,
        signature=sign(event, secret),
        received_at=datetime.now(UTC),
    )
