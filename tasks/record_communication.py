"""Communication Management, Recording Communications: document what stakeholders were told."""

from datetime import datetime

from models.inputs import ChangeCommunication, RecordCommunication
from models.rows import Communication, Incident
from policy.authority import associate, authorize, check_recipient
from policy.halts import Halt, InputError, Reason
from policy.lifecycle import check_delivery_move
from policy.procedures import RECORD_COMMUNICATION
from policy.vocabulary import AuditAction, DeliveryStatus
from tasks.decisions import Decision, Done
from tasks.facts import Facts
from tasks.requests import Request
from tasks.stamps import is_superseded, stamp


def decide(request: Request[RecordCommunication | ChangeCommunication], facts: Facts) -> Decision:
    """Record a communication, or how its delivery went on, or halt.

    Halts: see ``policy.procedures.RECORD_COMMUNICATION``.
    """
    if isinstance(request.inputs, ChangeCommunication):
        return _change(request, request.inputs, facts)
    return _record(request, request.inputs, facts)  # type: ignore[arg-type]  # narrowed above


def _record(
    request: Request[RecordCommunication], communication: RecordCommunication, facts: Facts
) -> Decision:
    sender = facts.user(communication.sender_id)
    if halt := authorize(RECORD_COMMUNICATION, sender):
        return halt
    incident = facts.incident(request)
    if not isinstance(incident, Incident):
        return incident
    scope = facts.scope(incident)
    if halt := associate(sender, scope):
        return halt
    if communication.recipient_id is not None and (
        halt := check_recipient(facts.user(communication.recipient_id), scope)
    ):
        return halt

    row = Communication(
        communication_id=facts.new_id("communications"),
        incident_id=incident.incident_id,
        sender_id=communication.sender_id,
        recipient_id=communication.recipient_id,
        recipient_type=communication.recipient_type,
        communication_type=communication.communication_type,
        delivery_method=communication.delivery_method,
        delivery_status=communication.delivery_status,
        sent_at=_sent_at(communication.delivery_status, communication.sent_at, request.now),
        source=request.source,
        request_id=request.identity.id,
        stamps={},
        recorded_at=request.now,
    )
    return _done(row, AuditAction.CREATE)


def _change(
    request: Request[RecordCommunication | ChangeCommunication],
    change: ChangeCommunication,
    facts: Facts,
) -> Decision:
    sender = facts.user(change.sender_id)
    if halt := authorize(RECORD_COMMUNICATION, sender):
        return halt
    row = facts.communications.get(change.communication_id)
    if row is None:
        return _unknown()
    if halt := associate(sender, facts.scope(facts.incidents[row.incident_id])):
        return halt
    if is_superseded(row.stamps, request.source, "delivery_status", request.time):
        return _done(row, AuditAction.UPDATE, superseded=["delivery_status"])
    if halt := check_delivery_move(row.delivery_status, change.delivery_status):
        return halt

    after = row._replace(
        delivery_status=change.delivery_status,
        sent_at=_sent_at(change.delivery_status, change.sent_at or _held(row), request.now),
        stamps=stamp(row.stamps, request.source, ("delivery_status",), request.time),
    )
    return _done(after, AuditAction.UPDATE)


def _held(row: Communication) -> datetime | None:
    """When it was sent, or is to be; of a try that failed, nothing."""
    return None if row.delivery_status == DeliveryStatus.FAILED else row.sent_at


def _sent_at(status: DeliveryStatus, given: datetime | None, now: datetime) -> datetime | None:
    """``sent_at`` defaults to now when the status is sent; otherwise it is as given."""
    return now if given is None and status == DeliveryStatus.SENT else given


def _done(row: Communication, action: AuditAction, superseded: list[str] | None = None) -> Done:
    return Done(
        result={
            "communication_id": str(row.communication_id),
            "incident_id": str(row.incident_id),
            "delivery_status": row.delivery_status,
            **({"superseded": superseded} if superseded else {}),
        },
        rows=() if superseded else (row,),
        action=action,
        subject=f"communication:{row.communication_id}",
        context={
            "incident_id": str(row.incident_id),
            "delivery_method": row.delivery_method,
            "delivery_status": row.delivery_status,
            "superseded": superseded or [],
        },
    )


def _unknown() -> Halt:
    return Halt(
        Reason.INCIDENT_NOT_FOUND,
        "communication_id names no communication, and so no incident.",
        (InputError("$.data.communication_id", "names no communication"),),
    )
