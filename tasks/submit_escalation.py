"""SOP 3, Managing Incident Escalations: elevate the response to one incident."""

from models.inputs import ChangeEscalation, SubmitEscalation
from models.rows import Escalation, Incident
from policy.authority import associate, authorize
from policy.escalation import check_target
from policy.halts import Halt, InputError, Reason
from policy.lifecycle import check_escalation_move
from policy.procedures import SUBMIT_ESCALATION
from policy.vocabulary import AuditAction, EscalationStatus
from tasks.decisions import Decision, Done
from tasks.facts import Facts
from tasks.requests import Request
from tasks.stamps import stamp, superseded_of


def decide(request: Request[SubmitEscalation | ChangeEscalation], facts: Facts) -> Decision:
    """Open an escalation, or change one, or halt.

    Halts: see ``policy.procedures.SUBMIT_ESCALATION``.
    """
    if isinstance(request.inputs, ChangeEscalation):
        return _change(request, request.inputs, facts)
    return _submit(request, request.inputs, facts)  # type: ignore[arg-type]  # narrowed above


def _submit(
    request: Request[SubmitEscalation], escalation: SubmitEscalation, facts: Facts
) -> Decision:
    actor = facts.user(escalation.escalated_by_user)
    if halt := authorize(SUBMIT_ESCALATION, actor):
        return halt
    incident = facts.incident(request)
    if not isinstance(incident, Incident):
        return incident
    scope = facts.scope(incident)
    if halt := associate(actor, scope) or check_target(
        facts.user(escalation.escalated_to_user), escalation.escalation_level, scope
    ):
        return halt

    escalated_at = escalation.escalated_at or request.now
    if escalation.resolved_at is not None and escalation.resolved_at < escalated_at:
        return _resolved_too_early()
    resolved = escalation.status == EscalationStatus.RESOLVED
    row = Escalation(
        escalation_id=facts.new_id("escalations"),
        incident_id=incident.incident_id,
        escalated_by_user=escalation.escalated_by_user,
        escalated_to_user=escalation.escalated_to_user,
        escalation_level=escalation.escalation_level,
        escalated_at=escalated_at,
        reason=escalation.reason,
        status=escalation.status,
        resolved_at=escalation.resolved_at or max(request.now, escalated_at) if resolved else None,
        source=request.source,
        request_id=request.identity.id,
        stamps={},
    )
    return _done(row, AuditAction.CREATE, {"level": row.escalation_level, "status": row.status})


def _change(
    request: Request[SubmitEscalation | ChangeEscalation], change: ChangeEscalation, facts: Facts
) -> Decision:
    actor = facts.user(change.escalated_by_user)
    if halt := authorize(SUBMIT_ESCALATION, actor):
        return halt
    row = facts.escalations.get(change.escalation_id)
    if row is None:
        return _unknown()
    if halt := associate(actor, facts.scope(facts.incidents[row.incident_id])):
        return halt

    named = ["status"] if change.reason is None else ["status", "reason"]
    superseded = superseded_of(row.stamps, request.source, named, request.time)
    after = row._replace(stamps=stamp(row.stamps, request.source, named, request.time))
    if "reason" in named and "reason" not in superseded:
        after = after._replace(reason=change.reason)
    if "status" not in superseded:
        if halt := check_escalation_move(row.status, change.status):
            return halt
        if change.resolved_at is not None and change.resolved_at < row.escalated_at:
            return _resolved_too_early()
        after = after._replace(status=change.status)
        if change.status == EscalationStatus.RESOLVED:
            default = row.resolved_at or max(request.now, row.escalated_at)
            after = after._replace(resolved_at=change.resolved_at or default)
    return _done(
        after, AuditAction.UPDATE, {"status": after.status, "superseded": superseded}, superseded
    )


def _done(
    row: Escalation,
    action: AuditAction,
    context: dict[str, object],
    superseded: list[str] | None = None,
) -> Done:
    return Done(
        result={
            "escalation_id": str(row.escalation_id),
            "incident_id": str(row.incident_id),
            "status": row.status,
            **({"superseded": superseded} if superseded else {}),
        },
        rows=(row,),
        action=action,
        subject=f"escalation:{row.escalation_id}",
        context=context | {"incident_id": str(row.incident_id)},
    )


def _unknown() -> Halt:
    return Halt(
        Reason.INCIDENT_NOT_FOUND,
        "escalation_id names no escalation, and so no incident.",
        (InputError("$.data.escalation_id", "names no escalation"),),
    )


def _resolved_too_early() -> Halt:
    return Halt(
        Reason.INVALID_INPUT,
        "resolved_at lies before the escalation.",
        (InputError("$.data.resolved_at", "lies before escalated_at"),),
    )
