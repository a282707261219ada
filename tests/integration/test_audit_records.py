"""What the audit records of each request, and that it does so with its effects or not at all."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.faults import Outage
from tasks.pipeline import run
from tests.support.asking import ask, done, halted
from tests.support.installation import Installation
from tests.support.requests import communication, delivery, escalation, event, report, update

REPORT = "report_incident"
RECORDS = """
    SELECT action, outcome, procedure, source, request_id, actor, subject, reason
    FROM audit_records ORDER BY at, chain, sequence
"""
EFFECTS = ("incidents", "incident_updates", "escalations", "communications", "requests", "halts")


def test_every_procedure_is_recorded_as_what_it_does(installation: Installation) -> None:
    """Log every create, update and execute: who did what to what, on which request."""
    changes: list[tuple[str, dict[str, Any]]] = [
        (REPORT, report(dedup_key="k")),
        (REPORT, report(dedup_key="k")),
        ("update_incident", update()),
        ("submit_escalation", escalation()),
        (
            "submit_escalation",
            {"escalation_id": "1", "escalated_by_user": "boss", "status": "cancelled"},
        ),
        ("record_communication", communication()),
        (
            "record_communication",
            {"communication_id": "1", "sender_id": "manager", "delivery_status": "sent"},
        ),
    ]
    for number, (procedure, data) in enumerate(changes, 1):
        done(installation, procedure, data, id=f"r{number}")
    assert halted(installation, REPORT, report(client_id="initech"), id="r8") == "client_not_found"
    ask(installation, REPORT, report(dedup_key="k"), id="r1")
    report_, update_ = REPORT, "update_incident"
    escalate, tell = "submit_escalation", "record_communication"
    assert [tuple(row) for row in installation.rows(RECORDS)] == [
        ("create", "done", report_, "monitor", "r1", "manager", "incident:1", None),
        ("update", "done", report_, "monitor", "r2", "manager", "incident:1", None),
        ("update", "done", update_, "monitor", "r3", "support", "incident:1", None),
        ("create", "done", escalate, "monitor", "r4", "support", "escalation:1", None),
        ("update", "done", escalate, "monitor", "r5", "boss", "escalation:1", None),
        ("create", "done", tell, "monitor", "r6", "support", "communication:1", None),
        ("update", "done", tell, "monitor", "r7", "manager", "communication:1", None),
        ("execute", "halted", report_, "monitor", "r8", "manager", "halt:1", "client_not_found"),
        ("execute", "duplicate", report_, "monitor", "r1", "manager", None, None),
    ]


def test_effects_and_records_are_one_transaction(installation: Installation) -> None:
    """Rolled back, neither is there."""
    with installation.pipeline.engine.connect() as connection:
        run(connection, [delivery(event(REPORT, report()))], installation.pipeline.means)
        connection.rollback()
    for table in (*EFFECTS, "audit_records"):
        assert installation.rows(f"SELECT FROM {table}") == [], table


@pytest.mark.parametrize("client", ["acme", "initech"], ids=["done", "halted"])
def test_nothing_happens_that_cannot_be_recorded(installation: Installation, client: str) -> None:
    """Where the audit takes no record, no request is done or halted: it is an outage."""
    installation.execute("REVOKE INSERT ON audit_records FROM PUBLIC, andon_worker")
    message = delivery(event(REPORT, report(client_id=client)))
    with pytest.raises(Outage):
        installation.process(message)
    for table in EFFECTS:
        assert installation.rows(f"SELECT FROM {table}") == [], table


def test_the_audit_tells_the_time_of_the_clock(installation: Installation) -> None:
    """A record says when it was made, whatever the event says of itself."""
    done(installation, REPORT, report(), time=datetime(2025, 9, 25, 12, tzinfo=UTC))
    ((at,),) = installation.rows("SELECT at FROM audit_records")
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
