"""SOP 1, Reporting Incidents: log an incident that requires formal management response."""

from models.dedup import DedupKey
from models.inputs import ReportIncident
from models.rows import Incident, IncidentUpdate
from policy.authority import associate, authorize, check_assignee
from policy.halts import Halt, InputError, Reason
from policy.lifecycle import is_open
from policy.people import Scope
from policy.procedures import REPORT_INCIDENT
from policy.severity import Classification, determine, more_severe
from policy.vocabulary import AuditAction, IncidentStatus
from tasks.decisions import Decision, Done
from tasks.early_updates import catch_up
from tasks.facts import Facts
from tasks.requests import Request
from tasks.stamps import REPORT, is_superseded, stamp


def decide(request: Request[ReportIncident], facts: Facts) -> Decision:
    """Open an incident, or add to the one that is open under the same dedup key, or halt.

    Halts: see ``policy.procedures.REPORT_INCIDENT``.
    """
    report = request.inputs
    reporter = facts.user(report.reporter_user_id)
    component = facts.components.get(report.component_id)

    if halt := authorize(
        REPORT_INCIDENT, reporter, clients_may_report=facts.rules.clients_may_report
    ):
        return halt
    if report.client_id not in facts.clients:
        return _unknown(Reason.CLIENT_NOT_FOUND, "client")
    if component is None:
        return _unknown(Reason.COMPONENT_NOT_FOUND, "component")
    scope = Scope(report.client_id, component.vendor_id)
    known = _last_under_key(request, facts)
    joined = known if known is not None and _may_join(request, known) else None
    if halt := associate(reporter, scope):
        return halt
    if joined is not None and (halt := associate(reporter, facts.scope(joined))):
        return halt

    severity = determine(
        flags=report.severity_flags.given() if report.severity_flags else None,
        stated=report.severity,
        flags_required=request.flags_required,
    )
    if isinstance(severity, Halt):
        return severity
    if report.assigned_to_user_id is not None and (
        halt := check_assignee(facts.user(report.assigned_to_user_id), scope)
    ):
        return halt

    if joined is not None:
        return _add_to(joined, request, severity)
    if known is None:
        return _open(request, facts, severity, recurrence_of=None)
    if known.client_id != report.client_id:
        return _key_of_another_client()
    return _open(request, facts, severity, recurrence_of=known.incident_id)


def _last_under_key(request: Request[ReportIncident], facts: Facts) -> Incident | None:
    key = request.inputs.dedup_key
    return facts.newest_under(DedupKey(request.source, key)) if key is not None else None


def _may_join(request: Request[ReportIncident], known: Incident) -> bool:
    """Whether the report adds to an incident that is known under its key.

    So it does, too, if its source has ended that incident, and signed that later than the report.
    """
    return known.client_id == request.inputs.client_id and (
        is_open(known.status) or is_superseded(known.stamps, request.source, "status", request.time)
    )


def _open(
    request: Request[ReportIncident],
    facts: Facts,
    severity: Classification,
    *,
    recurrence_of: int | None,
) -> Done:
    report = request.inputs
    closed = report.status == IncidentStatus.CLOSED
    stamped = (*(("status",) if closed else ()), *((REPORT,) if report.dedup_key else ()))
    incident = Incident(
        incident_id=facts.new_id("incidents"),
        title=report.title,
        category=report.category,
        severity=severity.severity,
        severity_origin=severity.origin,
        stated_severity=severity.stated,
        severity_flags=severity.flags,
        impact_level=report.impact_level,
        urgency_level=report.urgency_level,
        status=report.status,
        client_id=report.client_id,
        component_id=report.component_id,
        reporter_user_id=report.reporter_user_id,
        assigned_to_user_id=report.assigned_to_user_id,
        detection_timestamp=report.detection_timestamp,
        resolution_timestamp=report.resolution_timestamp,
        source=request.source,
        request_id=request.identity.id,
        dedup_key=report.dedup_key,
        recurrence_of=recurrence_of,
        closed_by_source=request.source if closed else None,
        stamps=stamp({}, request.source, stamped, request.time) if stamped else {},
        version=1,
        reported_at=request.now,
        updated_at=request.now,
    )
    note = () if report.note is None else (_line(request, incident, "note", note=report.note),)
    opened = Done(
        result={
            "incident_id": str(incident.incident_id),
            "severity": incident.severity,
            "status": incident.status,
        },
        rows=(incident, *note),
        action=AuditAction.CREATE,
        subject=f"incident:{incident.incident_id}",
        context=_context(severity),
    )
    return catch_up(opened, incident, request, facts)


def _add_to(incident: Incident, request: Request[ReportIncident], severity: Classification) -> Done:
    """Record another report of an open incident; a higher severity raises the incident's.

    Not so if the source has set the severity later than it signed this report.
    """
    lines = [_line(request, incident, "report", note=request.inputs.note)]
    higher = more_severe(severity.severity, incident.severity)
    superseded = higher and is_superseded(incident.stamps, request.source, "severity", request.time)
    raised = higher and not superseded
    if superseded:
        lines.append(
            _line(
                request,
                incident,
                "severity",
                old=incident.severity,
                new=severity.severity,
                superseded=True,
            )
        )
    if raised:
        lines.append(
            _line(request, incident, "severity", old=incident.severity, new=severity.severity)
        )
        incident = incident._replace(
            severity=severity.severity,
            severity_origin=severity.origin,
            stated_severity=severity.stated,
            severity_flags=severity.flags,
            stamps=stamp(incident.stamps, request.source, ("severity",), request.time),
            version=incident.version + 1,
            updated_at=request.now,
        )
    incident = incident._replace(
        stamps=stamp(incident.stamps, request.source, (REPORT,), request.time)
    )
    return Done(
        result={
            "incident_id": str(incident.incident_id),
            "severity": incident.severity,
            "status": incident.status,
            "deduplicated": True,
            **({"superseded": ["severity"]} if superseded else {}),
        },
        rows=(incident, *lines),
        action=AuditAction.UPDATE,
        subject=f"incident:{incident.incident_id}",
        context=_context(severity) | {"deduplicated": True, "raised": raised},
    )


def _line(
    request: Request[ReportIncident],
    incident: Incident,
    field: str,
    *,
    old: str | None = None,
    new: str | None = None,
    note: str | None = None,
    superseded: bool = False,
) -> IncidentUpdate:
    return IncidentUpdate(
        incident_id=incident.incident_id,
        field=field,
        old_value=old,
        new_value=new,
        note=note,
        superseded=superseded,
        updated_by_user=request.inputs.reporter_user_id,
        updated_at=request.now,
        source=request.source,
        request_id=request.identity.id,
    )


def _context(severity: Classification) -> dict[str, object]:
    return {
        "severity": severity.severity,
        "severity_origin": severity.origin,
        "stated_severity": severity.stated,
        "severity_flags": severity.flags,
    }


def _unknown(reason: Reason, kind: str) -> Halt:
    path = f"$.data.{kind}_id"
    return Halt(reason, f"{kind}_id names no {kind}.", (InputError(path, f"names no {kind}"),))


def _key_of_another_client() -> Halt:
    message = "names an incident of another client"
    return Halt(
        Reason.INVALID_INPUT, f"dedup_key {message}.", (InputError("$.data.dedup_key", message),)
    )
