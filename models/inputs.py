"""The inputs of the four procedures, under the policy's own names.

A model says what an input may look like; whether the request may be run is decided in
``tasks``. Every fault of a request is reported at once, each with its JSON path.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import override

from policy.lifecycle import DETECTION_TOLERANCE, is_resolved
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

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:?\d\d)?)?", re.ASCII
)


def parse_timestamp(value: object) -> datetime:
    """Read an RFC 3339 timestamp (DESIGN 5); without an offset, or a bare date, it is UTC.

    Raises:
        ValueError: *value* is anything else.
    """
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper())
            if moment.tzinfo is UTC:  # as most are written
                return moment
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise PydanticCustomError("timestamp", "must be an RFC 3339 timestamp")


def _read_directory_id(value: object) -> object:
    """A JSON integer stands for its digits (DESIGN 5)."""
    return str(value) if type(value) is int else value


def _read_number(value: object) -> int:
    """Ids that Andon gives out are numbers, written as strings or as JSON integers."""
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    raise PydanticCustomError("number", 'must be the number of a record, such as "17"')


# What is read before pydantic looks at it has its JSON Schema written out, for `docs/contract`.
Timestamp = Annotated[
    datetime,
    BeforeValidator(parse_timestamp),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^{_RFC3339.pattern}$",
            "description": "RFC 3339; without an offset, or as a bare date, UTC.",
        }
    ),
]
Number = Annotated[
    int,
    Field(gt=0, lt=2**63),
    BeforeValidator(_read_number),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^(?=[0-9]{1,19}$)0*[1-9][0-9]*$"},
                {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
            ],
            "description": "The number of a record, which Andon gave out.",
        }
    ),
]
DirectoryId = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._:-]{1,64}\z"),
    BeforeValidator(_read_directory_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"},
                {"type": "integer"},
            ],
            "description": "The id of a row of the directory; an integer stands for its digits.",
        }
    ),
]
UserId = DirectoryId
Name = Annotated[str, Field(min_length=1, max_length=255)]
ShortText = Annotated[str, Field(min_length=1, max_length=64)]
Title = Annotated[str, Field(min_length=1, max_length=1024)]
LongText = Annotated[str, Field(min_length=1, max_length=4000)]


def _default(word: StrEnum) -> BeforeValidator:
    """Read null as *word*, as if the input had been left out."""
    return BeforeValidator(
        lambda value: word if value is None else value, json_schema_input_type=type(word) | None
    )


def _missing(message: str) -> PydanticCustomError:
    return PydanticCustomError("missing", message)


def _invalid(message: str) -> PydanticCustomError:
    return PydanticCustomError("invalid", message)


class Part(BaseModel):
    """Common to all inputs: immutable, and unknown fields are an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, regex_engine="rust-regex"
    )


class Inputs(Part):
    """The inputs of one procedure.

    ``users``, ``clients`` and ``components`` name the directory rows a decision on them asks
    for, so that the facts of a whole batch can be loaded before any request is decided.

    Attributes:
        OPENS: the table that these inputs add a row to, which needs an id; None if they do not.
        CHANGES_INCIDENT: the incident they refer to may change, and so is locked.
    """

    OPENS: ClassVar[str | None] = None
    CHANGES_INCIDENT: ClassVar[bool] = False

    def users(self) -> tuple[str | None, ...]:
        """The ids of all users that the inputs name."""
        return ()

    def clients(self) -> tuple[str, ...]:
        """The ids of all clients that the inputs name."""
        return ()

    def components(self) -> tuple[str, ...]:
        """The ids of all components that the inputs name."""
        return ()

    @classmethod
    def shape(cls, data: Mapping[str, Any]) -> type["Inputs"]:  # noqa: ARG003  # others look
        """Which model reads *data*: this one, unless the procedure takes several shapes."""
        return cls


class IncidentRequest(Part):
    """The report that opens an incident, by the identity of its request."""

    id: Name
    source: Name | None = None


class IncidentReference(Inputs):
    """Names one incident: by number, by the report that opens it, or by its dedup key."""

    incident_request: IncidentRequest | None = None
    incident_dedup_key: Name | None = None
    incident_id: Number | None = Field(default=None, validate_default=True)

    @field_validator("incident_id")
    @classmethod
    def _exactly_one(cls, value: int | None, info: ValidationInfo) -> int | None:
        if not {"incident_request", "incident_dedup_key"} <= info.data.keys():
            return value
        given = [value, info.data["incident_request"], info.data["incident_dedup_key"]]
        match sum(one is not None for one in given):
            case 0:
                raise _missing(
                    "one of incident_id, incident_request and incident_dedup_key is required"
                )
            case 1:
                return value
            case _:
                raise _invalid(
                    "only one of incident_id, incident_request and incident_dedup_key may be given"
                )


class SeverityFlags(Part):
    """The nine conditions of the severity classification; what is left out is false."""

    p1_outage_no_workaround: StrictBool = False
    p1_wide_enterprise_or_5plus_customers: StrictBool = False
    p1_regulatory_safety_financial: StrictBool = False
    p1_high_priority_customer_or_recurrent: StrictBool = False
    p2_major_degradation_with_workaround: StrictBool = False
    p2_multi_dept_sites_or_critical_functions: StrictBool = False
    p2_risk_high_priority_sla_breach: StrictBool = False
    p3_localized_or_non_critical: StrictBool = False
    p3_moderate_deg_minimal_workaround: StrictBool = False

    def given(self) -> dict[str, bool]:
        """The flags that the request names; an empty object names none."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class ReportIncident(Inputs):
    """SOP 1, Reporting Incidents."""

    OPENS = "incidents"

    title: Title
    category: ShortText
    impact_level: Level
    urgency_level: Level
    client_id: DirectoryId
    component_id: DirectoryId
    reporter_user_id: UserId
    detection_timestamp: Timestamp
    severity: Severity | None = None
    severity_flags: SeverityFlags | None = None
    status: Annotated[IncidentStatus, _default(IncidentStatus.OPEN)] = IncidentStatus.OPEN
    assigned_to_user_id: UserId | None = None
    resolution_timestamp: Timestamp | None = Field(default=None, validate_default=True)
    dedup_key: Name | None = None
    note: LongText | None = None

    @override
    def users(self) -> tuple[str | None, ...]:
        return (self.reporter_user_id, self.assigned_to_user_id)

    @override
    def clients(self) -> tuple[str, ...]:
        return (self.client_id,)

    @override
    def components(self) -> tuple[str, ...]:
        return (self.component_id,)

    @field_validator("detection_timestamp")
    @classmethod
    def _not_in_the_future(cls, detected: datetime, info: ValidationInfo) -> datetime:
        """A detection more than five minutes in the future is invalid (DESIGN 6)."""
        if info.context and detected > info.context["now"] + DETECTION_TOLERANCE:
            raise _invalid("lies more than five minutes in the future")
        return detected

    @field_validator("resolution_timestamp")
    @classmethod
    def _fits_the_status(cls, resolved: datetime | None, info: ValidationInfo) -> datetime | None:
        """Resolved and closed need a resolution_timestamp, not before detection (DESIGN 6)."""
        status, detected = info.data.get("status"), info.data.get("detection_timestamp")
        if status is None:
            return resolved
        if resolved is None:
            if is_resolved(status):
                raise _missing(f"is required for the status {status}")
            return None
        if not is_resolved(status):
            raise _invalid(f"does not go with the status {status}")
        if detected is not None and resolved < detected:
            raise _invalid("lies before detection_timestamp")
        return resolved


class ChangeSet(Part):
    """What an update changes; only the fields that are named count."""

    title: Title = Field(default=None)  # type: ignore[assignment]  # see `named`: unset, never None
    category: ShortText = Field(default=None)  # type: ignore[assignment]
    severity: Severity = Field(default=None)  # type: ignore[assignment]
    impact_level: Level = Field(default=None)  # type: ignore[assignment]
    urgency_level: Level = Field(default=None)  # type: ignore[assignment]
    status: IncidentStatus = Field(default=None)  # type: ignore[assignment]
    assigned_to_user_id: UserId | None = None
    component_id: DirectoryId = Field(default=None)  # type: ignore[assignment]
    resolution_timestamp: Timestamp | None = None

    def named(self) -> dict[str, Any]:
        """The fields that the change set names, with their new values.

        A null is a value for ``assigned_to_user_id`` (nobody) and ``resolution_timestamp``.
        """
        return {name: getattr(self, name) for name in self.model_fields_set}


class UpdateIncident(IncidentReference):
    """SOP 2, Updating Incident Status."""

    CHANGES_INCIDENT = True

    updated_by_user: UserId
    note: LongText | None = None
    change_set: ChangeSet | None = Field(default=None, validate_default=True)
    expected_version: Annotated[int, Field(ge=1, lt=2**31, strict=True)] | None = None

    @override
    def users(self) -> tuple[str | None, ...]:
        assignee = self.change_set.assigned_to_user_id if self.change_set else None
        return (self.updated_by_user, assignee)

    @override
    def components(self) -> tuple[str, ...]:
        changes = self.change_set
        if changes is None or "component_id" not in changes.model_fields_set:
            return ()
        return (changes.component_id,)

    def names_status(self) -> bool:
        """Whether the incident may be closed or opened again."""
        return self.change_set is not None and "status" in self.change_set.model_fields_set

    @field_validator("change_set")
    @classmethod
    def _says_something(cls, changes: ChangeSet | None, info: ValidationInfo) -> ChangeSet | None:
        if changes is not None and not changes.model_fields_set:
            raise _invalid("must name at least one field")
        if changes is None and info.data.get("note", "faulty") is None:
            raise _missing("change_set or note is required")
        return changes


class SubmitEscalation(IncidentReference):
    """SOP 3, Managing Incident Escalations: a new escalation."""

    OPENS = "escalations"

    escalated_by_user: UserId
    escalated_to_user: UserId
    escalation_level: EscalationLevel
    escalated_at: Timestamp | None = None
    reason: LongText | None = None
    status: Annotated[EscalationStatus, _default(EscalationStatus.ACTIVE)] = EscalationStatus.ACTIVE
    resolved_at: Timestamp | None = None

    @override
    def users(self) -> tuple[str | None, ...]:
        return (self.escalated_by_user, self.escalated_to_user)

    @classmethod
    @override
    def shape(cls, data: Mapping[str, Any]) -> type[Inputs]:
        """A request that names an escalation changes it instead of opening one."""
        return ChangeEscalation if "escalation_id" in data else cls

    @field_validator("resolved_at")
    @classmethod
    def _fits(cls, resolved_at: datetime | None, info: ValidationInfo) -> datetime | None:
        escalated_at = info.data.get("escalated_at")
        if resolved_at is not None and escalated_at is not None and resolved_at < escalated_at:
            raise _invalid("lies before escalated_at")
        return _resolved_only(resolved_at, info)


class ChangeEscalation(Inputs):
    """SOP 3, a later change of one escalation ("resolved_at: set once resolved")."""

    escalation_id: Number
    escalated_by_user: UserId
    status: EscalationStatus
    resolved_at: Timestamp | None = None
    reason: LongText | None = None

    @override
    def users(self) -> tuple[str | None, ...]:
        return (self.escalated_by_user,)

    @field_validator("resolved_at")
    @classmethod
    def _fits(cls, resolved_at: datetime | None, info: ValidationInfo) -> datetime | None:
        return _resolved_only(resolved_at, info)


def _resolved_only(resolved_at: datetime | None, info: ValidationInfo) -> datetime | None:
    status = info.data.get("status")
    if resolved_at is not None and status not in (None, EscalationStatus.RESOLVED):
        raise _invalid(f"does not go with the status {status}")
    return resolved_at


class RecordCommunication(IncidentReference):
    """Communication Management, Recording Communications: a new communication."""

    OPENS = "communications"

    sender_id: UserId
    communication_type: ShortText
    delivery_method: DeliveryMethod
    recipient_type: RecipientType | None = None
    recipient_id: UserId | None = Field(default=None, validate_default=True)
    delivery_status: Annotated[DeliveryStatus, _default(DeliveryStatus.PENDING)] = (
        DeliveryStatus.PENDING
    )
    sent_at: Timestamp | None = None

    @override
    def users(self) -> tuple[str | None, ...]:
        return (self.sender_id, self.recipient_id)

    @classmethod
    @override
    def shape(cls, data: Mapping[str, Any]) -> type[Inputs]:
        """A request that names a communication changes it instead of recording one."""
        return ChangeCommunication if "communication_id" in data else cls

    @field_validator("recipient_id")
    @classmethod
    def _somebody(cls, recipient_id: str | None, info: ValidationInfo) -> str | None:
        if recipient_id is None and info.data.get("recipient_type", "faulty") is None:
            raise _missing("recipient_id or recipient_type is required")
        return recipient_id


class ChangeCommunication(Inputs):
    """A later change of one communication: how its delivery went on."""

    communication_id: Number
    sender_id: UserId
    delivery_status: DeliveryStatus
    sent_at: Timestamp | None = None

    @override
    def users(self) -> tuple[str | None, ...]:
        return (self.sender_id,)


INPUTS: Mapping[str, type[Inputs]] = {
    "report_incident": ReportIncident,
    "update_incident": UpdateIncident,
    "submit_escalation": SubmitEscalation,
    "record_communication": RecordCommunication,
}
"""The model of each procedure's inputs, by the procedure's name."""


def read_inputs(procedure: str, data: Mapping[str, Any], *, now: datetime) -> Inputs:
    """Validate the inputs of *procedure*.

    Raises:
        pydantic.ValidationError: with every fault of *data*.
    """
    shape = INPUTS[procedure].shape(data)
    # As model_validate, but for what that takes to look at options that are not given.
    inputs: Inputs = shape.__pydantic_validator__.validate_python(data, context={"now": now})
    return inputs
