"""What a done request gives back, and outcomes as those read them who asked (DESIGN 5).

``models.outcomes`` writes them. Fields that a newer worker adds are passed over.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from models.outcomes import Identity
from policy.halts import Reason
from policy.vocabulary import DeliveryStatus, EscalationStatus, IncidentStatus, Severity


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class _Result(_Told):
    superseded: tuple[str, ...] = ()
    """Fields that the same source had already set with a later ``time``."""


class IncidentReported(_Result):
    """The result of ``report_incident``.

    Attributes:
        deduplicated: whether the incident was open already, under the report's dedup key.
    """

    incident_id: str
    severity: Severity
    status: IncidentStatus
    deduplicated: bool = False


class IncidentUpdated(_Result):
    """The result of ``update_incident``.

    Attributes:
        incident_id: None, as is the version, where no incident was open under the dedup key.
        changed: the fields whose value is another one now.
    """

    incident_id: str | None
    version: int | None
    changed: tuple[str, ...]


class EscalationSubmitted(_Result):
    """The result of ``submit_escalation``."""

    escalation_id: str
    incident_id: str
    status: EscalationStatus


class CommunicationRecorded(_Result):
    """The result of ``record_communication``."""

    communication_id: str
    incident_id: str
    delivery_status: DeliveryStatus


Result: TypeAlias = IncidentReported | IncidentUpdated | EscalationSubmitted | CommunicationRecorded

RESULTS: Mapping[str, type[Result]] = {
    "report_incident": IncidentReported,
    "update_incident": IncidentUpdated,
    "submit_escalation": EscalationSubmitted,
    "record_communication": CommunicationRecorded,
}
"""The model of each procedure's result, by the procedure's name."""


class Fault(_Told):
    """One input at fault: its JSON path, and what is wrong with it."""

    path: str
    message: str


class HaltTold(_Told):
    """Why a request was halted; ``docs/reason-codes.md`` says what to do.

    Attributes:
        id: the halt's number, for ``andon halts show``.
        reason: the code; a plain text where this version does not know it.
        errors: every input at fault, where inputs are.
    """

    id: str
    reason: Reason | str
    message: str
    errors: tuple[Fault, ...] = ()


class Requested(_Told):
    """Whose request an outcome is about."""

    source: str
    id: str


class RequestEntry(_Told):
    """A message that could not prove its source: its place in the intake."""

    entry: str


class Done(_Told):
    """The ``data`` of ``andon.request.done``: the request has had its effect.

    Attributes:
        result: plain JSON where the procedure is one that this version does not know.
    """

    request: Requested
    procedure: str
    outcome: Literal["done"]
    result: Annotated[Result | dict[str, Any], Field(union_mode="left_to_right")]

    @property
    def identity(self) -> Identity:
        """Whose outcome it is."""
        return Identity(self.request.source, self.request.id)


class Halted(_Told):
    """The ``data`` of ``andon.request.halted``: the request was refused, and is kept.

    Attributes:
        procedure: None where the message did not say one.
    """

    request: Requested | RequestEntry
    procedure: str | None
    outcome: Literal["halted"]
    halt: HaltTold

    @property
    def identity(self) -> Identity | None:
        """Whose outcome it is; None where the message could not prove that."""
        if isinstance(self.request, RequestEntry):
            return None
        return Identity(self.request.source, self.request.id)


Outcome: TypeAlias = Annotated[Done | Halted, Field(discriminator="outcome")]

_OUTCOME: TypeAdapter[Done | Halted] = TypeAdapter(Outcome)


def read_outcome(data: Mapping[str, Any]) -> Done | Halted:
    """Read the ``data`` of an outcome event.

    Raises:
        pydantic.ValidationError: it is none.
    """
    return _OUTCOME.validate_python(data)
