"""Audit: one record for every message decided, done or halted, duplicate or waiting."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from models.audit import AuditEntry
from policy.halts import Halt, Reason
from policy.vocabulary import AuditAction
from tasks.claim import Standing
from tasks.decisions import Done, Wait
from tasks.verdicts import Verdict

_FOREIGN = (Reason.MALFORMED, Reason.UNAUTHENTICATED)


def audit_entry(verdict: Verdict, *, now: datetime) -> AuditEntry:
    """What the audit says of one message: ids, field names, flags, codes and hashes only."""
    message = verdict.claim.message
    action, outcome, subject, reason = AuditAction.EXECUTE, "duplicate", None, None
    context: Mapping[str, Any] = {}
    match verdict.decision:
        case Done() as done:
            action, outcome, subject, context = done.action, "done", done.subject, done.context
        case Halt() as halt:
            outcome, reason, context = "halted", halt.reason, _halt_context(verdict, halt)
            subject = f"halt:{verdict.halt_id}"
        case Wait(report=report):
            outcome, context = "waiting", {"report": list(report)}
        case None:
            pass
    if verdict.claim.standing is Standing.REPLAY and verdict.claim.known is not None:
        context = {**context, "replay_of": str(verdict.claim.known.halt_id)}
    if verdict.claim.standing is Standing.CONFLICT:  # the ledger has the first one's outcome
        context = {**context, "conflict": True}
    return AuditEntry(
        at=now,
        action=action,
        outcome=outcome,
        procedure=message.procedure.name if message.procedure else None,
        source=message.identity.source if message.identity else None,
        request_id=message.identity.id if message.identity else None,
        entry=message.delivery.entry,
        actor=message.actor,
        subject=subject,
        reason=reason,
        context=context,
    )


def _halt_context(verdict: Verdict, halt: Halt) -> dict[str, Any]:
    """How many inputs were at fault; of what is no request, its size."""
    context: dict[str, Any] = {"errors": len(halt.errors)}
    if halt.reason in _FOREIGN:
        context["bytes"] = len(verdict.claim.message.delivery.event)
    return context
