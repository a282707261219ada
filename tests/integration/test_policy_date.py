"""The policy at its own date: "The current time is 2025-09-25 12:00:00 UTC".

The clock is a parameter everywhere (DESIGN 6, "Now"), so the whole pipeline can be put there.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from models.deliveries import Delivery
from tests.support.installation import Installation
from tests.support.requests import communication, delivery, escalation, event, report, update

NOON = datetime(2025, 9, 25, 12, tzinfo=UTC)


@pytest.fixture
def at_noon(installation: Installation) -> Installation:
    """An installation whose clock stands at the policy's own time."""
    installation.pipeline.means = replace(installation.pipeline.means, clock=lambda _: NOON)
    return installation


def _received(event: bytes, at: datetime = NOON) -> Delivery:
    return delivery(event)._replace(received_at=at)


def test_at_the_policys_time_everything_is_of_that_time(at_noon: Installation) -> None:
    """No stored time comes from another clock, but when a tally was counted."""
    never = update(incident_id=None, incident_request={"id": "never"})
    messages = [
        ("report_incident", report()),
        ("update_incident", update(change_set={"status": "resolved"})),
        ("submit_escalation", escalation(status="resolved")),
        ("record_communication", communication(delivery_status="sent")),
        ("update_incident", never),
        ("update_incident", update(incident_id="9")),
    ]
    verdicts = at_noon.process(*(_received(event(*message, time=NOON)) for message in messages))
    outcomes = [v.outcome.data["outcome"] if v.outcome else "waits" for v in verdicts]
    assert outcomes == ["done"] * 4 + ["waits", "halted"]

    columns = at_noon.rows("""
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'
          AND table_name <> 'tallies'
    """)
    found = {
        f"{table}.{column}": value
        for table, column in columns
        for (value,) in at_noon.rows(f"SELECT {column} FROM {table}")  # noqa: S608  # ours
        if value is not None
    }
    detected = NOON - timedelta(minutes=2)
    assert found.pop("incidents.detection_timestamp") == detected
    assert found == dict.fromkeys(found, NOON)
    assert found.keys() >= {
        "incidents.reported_at",
        "incidents.updated_at",
        "incidents.resolution_timestamp",
        "incident_updates.updated_at",
        "escalations.escalated_at",
        "escalations.resolved_at",
        "communications.sent_at",
        "communications.recorded_at",
        "requests.decided_at",
        "requests.received_at",
        "halts.halted_at",
        "waiting.received_at",
        "audit_records.at",
    }


@pytest.mark.parametrize(
    ("event_time", "received", "now"),
    [
        (NOON - timedelta(hours=1), NOON, NOON - timedelta(hours=1)),
        (NOON + timedelta(hours=1), NOON, NOON),
        (NOON, NOON, NOON),
    ],
    ids=["late", "ahead", "in time"],
)
def test_now_is_the_events_time_at_most_that_of_receipt(
    at_noon: Installation, event_time: datetime, received: datetime, now: datetime
) -> None:
    """A request that comes late is dated when it was made, one dated ahead when it came."""
    detected = (now - timedelta(minutes=1)).isoformat()
    message = event("report_incident", report(detection_timestamp=detected), time=event_time)
    at_noon.process(_received(message, received))
    later = event("submit_escalation", escalation(), time=event_time)
    at_noon.process(_received(later, received))
    assert at_noon.rows("SELECT reported_at FROM incidents") == [(now,)]
    assert at_noon.rows("SELECT escalated_at FROM escalations") == [(now,)]


@pytest.mark.parametrize(
    ("seconds", "outcome"), [(300, "done"), (300.001, "halted")], ids=["five minutes", "more"]
)
def test_a_detection_may_lie_five_minutes_ahead_of_now(
    at_noon: Installation, seconds: float, outcome: str
) -> None:
    """A detection more than five minutes in the future is invalid."""
    detected = (NOON + timedelta(seconds=seconds)).isoformat()
    message = event("report_incident", report(detection_timestamp=detected), time=NOON)
    (verdict,) = at_noon.process(_received(message))
    assert verdict.outcome is not None
    assert verdict.outcome.data["outcome"] == outcome
