"""One complete request of each procedure that works with the sample organisation.

The last three speak of the incident that the first one opens, by its dedup key. Each has a fresh
id: sent again, it is the same request, and has no second effect.
"""

from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from console.failures import wrong_usage
from console.output import visible
from producers.signed import fresh_id

_INCIDENT = {"incident_dedup_key": "example-portal"}
_INPUTS: dict[str, dict[str, Any]] = {
    "report_incident": {
        "title": "The portal answers slowly",
        "category": "performance",
        "impact_level": "high",
        "urgency_level": "high",
        "client_id": "fjordmart",
        "component_id": "web-portal",
        "reporter_user_id": "maren",
        "severity_flags": {"p2_major_degradation_with_workaround": True},
        "dedup_key": _INCIDENT["incident_dedup_key"],
    },
    "update_incident": {
        **_INCIDENT,
        "updated_by_user": "tomas",
        "change_set": {"status": "investigating"},
        "note": "Taken over by the technical support.",
    },
    "submit_escalation": {
        **_INCIDENT,
        "escalated_by_user": "tomas",
        "escalated_to_user": "maren",
        "escalation_level": "management",
        "reason": "The response time of the SLA is at risk.",
    },
    "record_communication": {
        **_INCIDENT,
        "sender_id": "tomas",
        "recipient_type": "client_contacts",
        "communication_type": "status_update",
        "delivery_method": "email",
        "delivery_status": "sent",
    },
}


def example_line(procedure: str) -> dict[str, Any]:
    """A line for `andon send` that asks for *procedure*.

    Raises:
        Failure: there is no such procedure.
    """
    if procedure not in _INPUTS:
        raise wrong_usage(no_procedure(procedure))
    inputs, now = _INPUTS[procedure], datetime.now(UTC)
    if procedure == "report_incident":
        detected = now.replace(microsecond=0).isoformat().replace("+00:00", "Z")
        inputs = {**inputs, "detection_timestamp": detected}
    return {"id": fresh_id(now), "procedure": procedure, "data": inputs}


def no_procedure(name: str) -> str:
    """Says that there is no such procedure, and which there are."""
    close = get_close_matches(name.lower().replace("-", "_"), list(_INPUTS))
    hint = f"did you mean {close[0]}?" if close else f"the procedures are {', '.join(_INPUTS)}"
    return f"There is no procedure {visible(name)!r}: {hint}"
