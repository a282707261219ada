"""The four procedures as methods, typed as ``models.inputs`` reads their inputs.

Nothing is checked here beyond the types: the worker does that, and halts a request with every
fault named. ``docs/producing.md`` says what each input means.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Generic, Literal, TypeAlias, TypedDict, TypeVar

from typing_extensions import Unpack

from producers.receipts import Named, identity_of

Answer = TypeVar("Answer", covariant=True)

# A StrEnum of `policy.vocabulary` is a text too, but not one of a Literal to a type checker, so
# that the words are written out. A test holds them against the vocabulary.
LevelWord: TypeAlias = Literal["low", "medium", "high", "critical"]
SeverityWord: TypeAlias = Literal["P1", "P2", "P3", "P4"]
IncidentStatusWord: TypeAlias = Literal[
    "open", "investigating", "in_progress", "resolved", "closed"
]
EscalationLevelWord: TypeAlias = Literal["technical", "management", "executive", "vendor"]
EscalationStatusWord: TypeAlias = Literal["active", "resolved", "cancelled"]
DeliveryMethodWord: TypeAlias = Literal["email", "sms", "phone", "chat", "dashboard_notification"]
DeliveryStatusWord: TypeAlias = Literal["pending", "sent", "delivered", "failed"]
RecipientTypeWord: TypeAlias = Literal[
    "client_contacts", "executive_team", "technical_team", "all_stakeholders"
]
FlagWord: TypeAlias = Literal[
    "p1_outage_no_workaround",
    "p1_wide_enterprise_or_5plus_customers",
    "p1_regulatory_safety_financial",
    "p1_high_priority_customer_or_recurrent",
    "p2_major_degradation_with_workaround",
    "p2_multi_dept_sites_or_critical_functions",
    "p2_risk_high_priority_sla_breach",
    "p3_localized_or_non_critical",
    "p3_moderate_deg_minimal_workaround",
]

DirectoryId: TypeAlias = str | int
Number: TypeAlias = str | int
"""An id that Andon gave out."""
Moment: TypeAlias = datetime | str
"""A time, or an RFC 3339 text; one without an offset is UTC."""


class Changes(TypedDict, total=False):
    """What an update changes: only what is named. None says that nobody is assigned."""

    title: str
    category: str
    severity: SeverityWord
    impact_level: LevelWord
    urgency_level: LevelWord
    status: IncidentStatusWord
    assigned_to_user_id: DirectoryId | None
    component_id: DirectoryId
    resolution_timestamp: Moment | None


class RequestOptions(TypedDict, total=False):
    """What every procedure takes beside its inputs.

    ``id`` tells this request from all others of the source, and makes it safe to ask again; a
    fresh one by default. ``time`` orders the source's requests about one incident; by default now.
    """

    id: str
    time: datetime


class Procedures(ABC, Generic[Answer]):
    """The typed methods; what a call gives back, and whether it publishes, the subclass says."""

    @abstractmethod
    def _ask(
        self, procedure: str, data: Mapping[str, object], **options: Unpack[RequestOptions]
    ) -> Answer:
        """Ask for *procedure* with the inputs *data*."""

    def report_incident(
        self,
        *,
        title: str,
        category: str,
        impact_level: LevelWord,
        urgency_level: LevelWord,
        client_id: DirectoryId,
        component_id: DirectoryId,
        reporter_user_id: DirectoryId,
        detection_timestamp: Moment,
        severity: SeverityWord | None = None,
        severity_flags: Mapping[FlagWord, bool] | None = None,
        status: IncidentStatusWord | None = None,
        assigned_to_user_id: DirectoryId | None = None,
        resolution_timestamp: Moment | None = None,
        dedup_key: str | None = None,
        note: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """SOP 1: open an incident, or repeat the report of one that is open under *dedup_key*."""
        data = _given(
            title=title,
            category=category,
            impact_level=impact_level,
            urgency_level=urgency_level,
            client_id=client_id,
            component_id=component_id,
            reporter_user_id=reporter_user_id,
            detection_timestamp=detection_timestamp,
            severity=severity,
            severity_flags=severity_flags,
            status=status,
            assigned_to_user_id=assigned_to_user_id,
            resolution_timestamp=resolution_timestamp,
            dedup_key=dedup_key,
            note=note,
        )
        return self._ask("report_incident", data, **options)

    def update_incident(
        self,
        *,
        updated_by_user: DirectoryId,
        incident_id: Number | None = None,
        incident_request: Named | None = None,
        incident_dedup_key: str | None = None,
        change_set: Changes | None = None,
        note: str | None = None,
        expected_version: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """SOP 2: change an incident, or add a note to it."""
        data = _given(
            incident_id=incident_id,
            incident_request=_reference(incident_request),
            incident_dedup_key=incident_dedup_key,
            updated_by_user=updated_by_user,
            change_set=change_set,
            note=note,
            expected_version=expected_version,
        )
        return self._ask("update_incident", data, **options)

    def submit_escalation(
        self,
        *,
        escalated_by_user: DirectoryId,
        escalated_to_user: DirectoryId,
        escalation_level: EscalationLevelWord,
        incident_id: Number | None = None,
        incident_request: Named | None = None,
        incident_dedup_key: str | None = None,
        escalated_at: Moment | None = None,
        reason: str | None = None,
        status: EscalationStatusWord | None = None,
        resolved_at: Moment | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """SOP 3: escalate an incident."""
        data = _given(
            incident_id=incident_id,
            incident_request=_reference(incident_request),
            incident_dedup_key=incident_dedup_key,
            escalated_by_user=escalated_by_user,
            escalated_to_user=escalated_to_user,
            escalation_level=escalation_level,
            escalated_at=escalated_at,
            reason=reason,
            status=status,
            resolved_at=resolved_at,
        )
        return self._ask("submit_escalation", data, **options)

    def change_escalation(
        self,
        *,
        escalation_id: Number,
        escalated_by_user: DirectoryId,
        status: EscalationStatusWord,
        resolved_at: Moment | None = None,
        reason: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """SOP 3: resolve or cancel an escalation (``submit_escalation`` with its id)."""
        data = _given(
            escalation_id=escalation_id,
            escalated_by_user=escalated_by_user,
            status=status,
            resolved_at=resolved_at,
            reason=reason,
        )
        return self._ask("submit_escalation", data, **options)

    def record_communication(
        self,
        *,
        sender_id: DirectoryId,
        communication_type: str,
        delivery_method: DeliveryMethodWord,
        incident_id: Number | None = None,
        incident_request: Named | None = None,
        incident_dedup_key: str | None = None,
        recipient_id: DirectoryId | None = None,
        recipient_type: RecipientTypeWord | None = None,
        delivery_status: DeliveryStatusWord | None = None,
        sent_at: Moment | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Record that somebody was told about an incident."""
        data = _given(
            incident_id=incident_id,
            incident_request=_reference(incident_request),
            incident_dedup_key=incident_dedup_key,
            sender_id=sender_id,
            communication_type=communication_type,
            delivery_method=delivery_method,
            recipient_id=recipient_id,
            recipient_type=recipient_type,
            delivery_status=delivery_status,
            sent_at=sent_at,
        )
        return self._ask("record_communication", data, **options)

    def change_communication(
        self,
        *,
        communication_id: Number,
        sender_id: DirectoryId,
        delivery_status: DeliveryStatusWord,
        sent_at: Moment | None = None,
        **options: Unpack[RequestOptions],
    ) -> Answer:
        """Say how a delivery went on (``record_communication`` with the communication's id)."""
        data = _given(
            communication_id=communication_id,
            sender_id=sender_id,
            delivery_status=delivery_status,
            sent_at=sent_at,
        )
        return self._ask("record_communication", data, **options)


def _given(**inputs: object) -> dict[str, object]:
    return {name: value for name, value in inputs.items() if value is not None}


def _reference(request: Named | None) -> dict[str, str] | None:
    return None if request is None else identity_of(request)._asdict()
