"""The client's typed methods take what the models of the inputs take."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, get_args

import orjson
import pytest
from typing_extensions import override

from models.inputs import (
    ChangeCommunication,
    ChangeEscalation,
    ChangeSet,
    Inputs,
    RecordCommunication,
    ReportIncident,
    SeverityFlags,
    SubmitEscalation,
    UpdateIncident,
    read_inputs,
)
from models.outcomes import Identity
from policy.vocabulary import (
    DeliveryMethod,
    DeliveryStatus,
    EscalationLevel,
    EscalationStatus,
    IncidentStatus,
    Level,
    RecipientType,
    Severity,
)
from producers import procedures
from producers.procedures import Changes, Procedures
from producers.receipts import Receipt, identity_of
from producers.signed import NotPublishable, SignedEvent

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Asked(Procedures[tuple[str, Inputs]]):
    """What the worker would read."""

    @override
    def _ask(
        self,
        procedure: str,
        data: Mapping[str, object],
        *,
        id: str | None = None,
        time: datetime | None = None,
    ) -> tuple[str, Inputs]:
        return procedure, read_inputs(procedure, orjson.loads(orjson.dumps(data)), now=NOW)


METHODS: list[tuple[Callable[..., Any], type[Inputs]]] = [
    (Procedures.report_incident, ReportIncident),
    (Procedures.update_incident, UpdateIncident),
    (Procedures.submit_escalation, SubmitEscalation),
    (Procedures.change_escalation, ChangeEscalation),
    (Procedures.record_communication, RecordCommunication),
    (Procedures.change_communication, ChangeCommunication),
]


@pytest.mark.parametrize(("method", "model"), METHODS, ids=lambda each: each.__name__)
def test_a_method_takes_the_inputs_of_its_model(
    method: Callable[..., Any], model: type[Inputs]
) -> None:
    """Each input is an argument of its own name, and required exactly where the model says so."""
    arguments = {
        name: argument.default is inspect.Parameter.empty
        for name, argument in inspect.signature(method).parameters.items()
        if name not in ("self", "options")
    }
    assert arguments == {name: each.is_required() for name, each in model.model_fields.items()}


@pytest.mark.parametrize(
    ("words", "vocabulary"),
    [
        (procedures.LevelWord, Level),
        (procedures.SeverityWord, Severity),
        (procedures.IncidentStatusWord, IncidentStatus),
        (procedures.EscalationLevelWord, EscalationLevel),
        (procedures.EscalationStatusWord, EscalationStatus),
        (procedures.DeliveryMethodWord, DeliveryMethod),
        (procedures.DeliveryStatusWord, DeliveryStatus),
        (procedures.RecipientTypeWord, RecipientType),
    ],
)
def test_the_words_are_those_of_the_policy(words: Any, vocabulary: type[StrEnum]) -> None:
    """A type checker lets through what the vocabulary has, and nothing else."""
    assert set(get_args(words)) == set(vocabulary)


def test_flags_and_changes_are_those_of_the_models() -> None:
    """The nine conditions and the fields of a change set have their names in one place only."""
    assert set(get_args(procedures.FlagWord)) == set(SeverityFlags.model_fields)
    assert Changes.__annotations__.keys() == ChangeSet.model_fields.keys()


def test_what_the_methods_make_is_what_the_worker_reads() -> None:
    """Every argument of every kind arrives with its value; what is left out is left out."""
    ask = Asked()
    report = Receipt(Identity("monitor", "r1"), "andon:intake/1-0")
    procedure, read = ask.report_incident(
        title="Down",
        category="network",
        impact_level="high",
        urgency_level="low",
        client_id=17,
        component_id="router",
        reporter_user_id="maren",
        detection_timestamp=NOW,
        severity_flags={"p1_outage_no_workaround": True},
    )
    assert procedure == "report_incident"
    assert isinstance(read, ReportIncident)
    assert (read.client_id, read.detection_timestamp) == ("17", NOW)
    assert read.model_fields_set >= {"title", "severity_flags"}
    assert "severity" not in read.model_fields_set

    _, updated = ask.update_incident(
        incident_request=report,
        updated_by_user="tomas",
        change_set={"assigned_to_user_id": None, "status": "resolved", "resolution_timestamp": NOW},
    )
    assert isinstance(updated, UpdateIncident)
    assert updated.incident_request is not None
    assert (updated.incident_request.source, updated.incident_request.id) == report.identity
    assert updated.change_set is not None
    assert updated.change_set.named() == {
        "assigned_to_user_id": None,
        "status": "resolved",
        "resolution_timestamp": NOW,
    }

    procedure, changed = ask.change_escalation(
        escalation_id="3", escalated_by_user="tomas", status="resolved"
    )
    assert (procedure, type(changed)) == ("submit_escalation", ChangeEscalation)
    procedure, changed = ask.change_communication(
        communication_id=4, sender_id="tomas", delivery_status="sent"
    )
    assert (procedure, type(changed)) == ("record_communication", ChangeCommunication)


def test_a_message_without_an_identity_cannot_be_referred_to() -> None:
    """Following up on bytes that are no CloudEvent is refused at once, with the reason."""
    with pytest.raises(NotPublishable, match="no CloudEvent"):
        identity_of(SignedEvent(None, b"{}", "k", "s"))
