"""The pipeline on a real PostgreSQL: what one batch does, and what it leaves alone."""

from tests.support.installation import Installation
from tests.support.requests import communication, delivery, escalation, event, report, update


def test_one_batch_runs_all_four_procedures_on_the_incident_it_opens(
    installation: Installation,
) -> None:
    """A batch sees its own effects: what follows a report finds the incident it opened."""
    opened = event("report_incident", report(), id="r1")
    reference = {"incident_id": None, "incident_request": {"id": "r1"}}
    verdicts = installation.process(
        delivery(opened),
        delivery(event("update_incident", update(**reference))),
        delivery(event("submit_escalation", escalation(**reference))),
        delivery(event("record_communication", communication(**reference))),
    )
    assert [v.outcome.data["outcome"] for v in verdicts if v.outcome] == ["done"] * 4
    assert installation.rows("SELECT status, version FROM incidents") == [("investigating", 2)]
    assert len(installation.rows("SELECT FROM escalations")) == 1
    assert len(installation.rows("SELECT FROM communications")) == 1
    assert len(installation.rows("SELECT FROM audit_records")) == 4
