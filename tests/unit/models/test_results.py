"""Outcomes as those read them who asked."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from models.outcomes import Identity, Outcome, halt_body
from models.results import (
    RESULTS,
    CommunicationRecorded,
    Done,
    EscalationSubmitted,
    Halted,
    IncidentReported,
    IncidentUpdated,
    read_outcome,
)
from policy.halts import Halt, InputError, Reason
from policy.procedures import PROCEDURES

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ME = Identity("monitor", "r1")


def told(
    procedure: str | None, body: dict[str, Any], *, halted: bool = False, known: bool = True
) -> dict[str, Any]:
    """The data of an outcome event, as the worker publishes it."""
    outcome = Outcome(ME if known else None, "andon:intake/1-0", procedure, halted, body, NOW)
    data: dict[str, Any] = orjson.loads(outcome.event())["data"]
    return data


def test_results_are_those_of_procedures() -> None:
    """None is left over of a procedure that is gone."""
    assert RESULTS.keys() <= PROCEDURES.keys()


def test_the_result_of_an_unknown_procedure_is_plain() -> None:
    """A client that is older than a fifth SOP still reads that it was done."""
    outcome = read_outcome(told("acknowledge_incident", {"incident_id": "7"}))
    assert isinstance(outcome, Done)
    assert outcome.result == {"incident_id": "7"}


@pytest.mark.parametrize(
    ("procedure", "body", "result"),
    [
        (
            "report_incident",
            {"incident_id": "7", "severity": "P1", "status": "open", "deduplicated": True},
            IncidentReported(incident_id="7", severity="P1", status="open", deduplicated=True),
        ),
        (
            "update_incident",
            {"incident_id": "7", "version": 2, "changed": ["status"], "superseded": ["title"]},
            IncidentUpdated(incident_id="7", version=2, changed=("status",), superseded=("title",)),
        ),
        (
            "update_incident",
            {"incident_id": None, "version": None, "changed": []},
            IncidentUpdated(incident_id=None, version=None, changed=()),
        ),
        (
            "submit_escalation",
            {"escalation_id": "3", "incident_id": "7", "status": "active"},
            EscalationSubmitted(escalation_id="3", incident_id="7", status="active"),
        ),
        (
            "record_communication",
            {"communication_id": "4", "incident_id": "7", "delivery_status": "sent"},
            CommunicationRecorded(communication_id="4", incident_id="7", delivery_status="sent"),
        ),
    ],
)
def test_a_done_request_gives_its_typed_result(
    procedure: str, body: dict[str, Any], result: object
) -> None:
    """Each result is read as the one of its procedure, also with fields that are not known yet."""
    outcome = read_outcome(told(procedure, {**body, "since_version_9": True}))
    assert isinstance(outcome, Done)
    assert (outcome.identity, outcome.procedure, outcome.result) == (ME, procedure, result)


def test_a_halt_says_why_and_keeps_unknown_codes() -> None:
    """Reason, message and errors are there; a code of a newer worker stays readable."""
    halt = Halt(Reason.MISSING_INPUT, "Missing.", (InputError("$.data.title", "is required"),))
    outcome = read_outcome(told("report_incident", halt_body(17, halt), halted=True))
    assert isinstance(outcome, Halted)
    assert outcome.identity == ME
    assert (outcome.halt.id, outcome.halt.reason) == ("17", Reason.MISSING_INPUT)
    assert [(each.path, each.message) for each in outcome.halt.errors] == [
        ("$.data.title", "is required")
    ]
    newer = halt_body(17, halt) | {"reason": "out_of_tea"}
    outcome = read_outcome(told("report_incident", newer, halted=True))
    assert isinstance(outcome, Halted)
    assert outcome.halt.reason == "out_of_tea"


def test_a_halt_without_a_proven_source_has_no_identity() -> None:
    """Such a message is told by its entry."""
    body = halt_body(1, Halt(Reason.MALFORMED, "Not JSON."))
    outcome = read_outcome(told(None, body, halted=True, known=False))
    assert isinstance(outcome, Halted)
    assert outcome.identity is None


def test_what_is_no_outcome_is_refused() -> None:
    """Something else on the stream is not taken for one."""
    with pytest.raises(ValidationError):
        read_outcome({"request": {"source": "a", "id": "b"}, "outcome": "perhaps"})
