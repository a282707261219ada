"""A vendor's user is named only in incidents of what that vendor supports (DESIGN 6)."""

from typing import Any

import pytest

from tests.support.installation import Installation
from tests.support.requests import communication, delivery, escalation, event, report, update

# The tests' incident is about the component gateway, whose product netco supports.
OWN, OTHER = "netco-contact", "dataco-contact"


@pytest.fixture
def incident(installation: Installation) -> str:
    """The number of an incident of netco's."""
    (verdict,) = installation.process(delivery(event("report_incident", report())))
    assert verdict.outcome is not None
    return str(verdict.outcome.data["result"]["incident_id"])


def outcome(installation: Installation, procedure: str, data: dict[str, Any]) -> Any:
    """The reason of the halt, or done."""
    (verdict,) = installation.process(delivery(event(procedure, data)))
    assert verdict.outcome is not None
    data = verdict.outcome.data
    return data["halt"]["reason"] if data["outcome"] == "halted" else "done"


@pytest.mark.parametrize(
    ("component", "assignee", "expected"),
    [
        ("gateway", OWN, "done"),
        ("gateway", OTHER, "assignee_invalid"),
        ("database", OTHER, "done"),
        ("database", OWN, "assignee_invalid"),
        ("inhouse", OWN, "assignee_invalid"),
    ],
)
def test_a_report_names_no_assignee_of_another_vendor(
    installation: Installation, component: str, assignee: str, expected: str
) -> None:
    """What they would hear of is another vendor's business, or nobody's outside."""
    data = report(component_id=component, assigned_to_user_id=assignee)
    assert outcome(installation, "report_incident", data) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"assigned_to_user_id": OWN}, "done"),
        ({"assigned_to_user_id": OTHER}, "assignee_invalid"),
        ({"assigned_to_user_id": OTHER, "component_id": "database"}, "done"),
        ({"assigned_to_user_id": OWN, "component_id": "database"}, "assignee_invalid"),
    ],
)
def test_an_update_names_no_assignee_of_another_vendor(
    installation: Installation, incident: str, change: dict[str, str], expected: str
) -> None:
    """The component that the incident has after the update is the one that counts."""
    data = update(incident_id=incident, change_set=change)
    assert outcome(installation, "update_incident", data) == expected


@pytest.mark.parametrize(("recipient", "expected"), [(OWN, "done"), (OTHER, "recipient_invalid")])
def test_a_communication_names_no_recipient_of_another_vendor(
    installation: Installation, incident: str, recipient: str, expected: str
) -> None:
    """Nothing leaks to a competitor."""
    data = communication(incident_id=incident, recipient_id=recipient, recipient_type=None)
    assert outcome(installation, "record_communication", data) == expected


@pytest.mark.parametrize(("target", "expected"), [(OWN, "done"), (OTHER, "target_user_invalid")])
def test_an_escalation_names_no_target_of_another_vendor(
    installation: Installation, incident: str, target: str, expected: str
) -> None:
    """A vendor is asked about what it supports."""
    data = escalation(incident_id=incident, escalated_to_user=target, escalation_level="vendor")
    assert outcome(installation, "submit_escalation", data) == expected


def test_staff_of_a_vendor_are_bound_likewise(installation: Installation, incident: str) -> None:
    """Whoever has a vendor_id, whatever the role."""
    installation.execute("UPDATE users SET vendor_id = 'dataco' WHERE user_id = 'account'")
    data = escalation(
        incident_id=incident, escalated_to_user="account", escalation_level="management"
    )
    assert outcome(installation, "submit_escalation", data) == "target_user_invalid"
