"""SOP 2, Updating Incident Status: modify status or progress details of active incidents."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from models.dedup import DedupKey
from models.inputs import ChangeSet, UpdateIncident
from models.rows import EarlyUpdate, Incident, IncidentUpdate
from policy.authority import associate, authorize, check_assignee
from policy.halts import Halt, InputError, Reason
from policy.lifecycle import check_move, is_open, is_resolved, resolution
from policy.people import Scope, User
from policy.procedures import UPDATE_INCIDENT
from policy.vocabulary import AuditAction, IncidentStatus, SeverityOrigin
from tasks.decisions import Decision, Done, Wait
from tasks.facts import Facts
from tasks.requests import Request
from tasks.stamps import REPORT, is_superseded, stamp, superseded_of, text_of

FIELDS = tuple(ChangeSet.model_fields)
"""What an update may change, in the order in which it is told."""


def decide(request: Request[UpdateIncident], facts: Facts) -> Decision:
    """Change an incident and write its history, or halt.

    Halts: see ``policy.procedures.UPDATE_INCIDENT``.
    """
    update = request.inputs
    actor = facts.user(update.updated_by_user)

    if halt := authorize(UPDATE_INCIDENT, actor):
        return halt
    incident = facts.incident(request)
    if update.incident_dedup_key is not None and _is_over(incident):
        return _nothing_to_update(request, incident, actor, facts)
    if not isinstance(incident, Incident):
        return incident
    return change(request, incident, facts)


def change(request: Request[UpdateIncident], incident: Incident, facts: Facts) -> Done | Halt:
    """Change *incident* as an update asks whose actor has the right role, or halt."""
    update = request.inputs
    actor = facts.user(update.updated_by_user)

    scope = facts.scope(incident)
    scope_after = _scope_after(scope, update, facts)
    if isinstance(scope_after, Halt):
        return scope_after
    if halt := associate(actor, scope) or associate(actor, scope_after):
        return halt
    if halt := _check_open(incident, request) or _check_version(incident, update):
        return halt

    changes = _sort_out(incident, request)
    concerned = scope_after if "component_id" in changes.named else scope
    if halt := _check_move(incident, changes, facts) or _check_assignee(changes, concerned, facts):
        return halt
    resolved = _resolve(incident, changes, request.now)
    if isinstance(resolved, Halt):
        return resolved
    return _write(request, incident, changes, resolved)


class Changes(NamedTuple):
    """What a change set comes to: the fields to set, and those left alone as superseded."""

    named: Mapping[str, Any]
    superseded: Mapping[str, Any]

    def status(self, incident: Incident) -> IncidentStatus:
        """The incident's status after the update."""
        status: IncidentStatus = self.named.get("status", incident.status)
        return status


def _sort_out(incident: Incident, request: Request[UpdateIncident]) -> Changes:
    """Leave alone what the same source has set later, unless a version was expected."""
    update = request.inputs
    named = update.change_set.named() if update.change_set else {}
    if update.expected_version is not None:
        return Changes(named, {})
    superseded = superseded_of(incident.stamps, request.source, named, request.time)
    if _reported_since(incident, request, named):
        superseded += named.keys() & {"status", "resolution_timestamp"}
    if not superseded:
        return Changes(named, {})
    return Changes(
        {field: value for field, value in named.items() if field not in superseded},
        {field: value for field, value in named.items() if field in superseded},
    )


def _reported_since(
    incident: Incident, request: Request[UpdateIncident], named: Mapping[str, Any]
) -> bool:
    """Whether an update by dedup key ends what its source, as signed, has reported after that."""
    return (
        request.inputs.incident_dedup_key is not None
        and "status" in named
        and is_resolved(named["status"])
        and is_superseded(incident.stamps, request.source, REPORT, request.time)
    )


def _is_over(incident: Incident | Wait | Halt) -> bool:
    return not isinstance(incident, Incident) or incident.status == IncidentStatus.CLOSED


def _nothing_to_update(
    request: Request[UpdateIncident],
    incident: Incident | Wait | Halt,
    actor: User | None,
    facts: Facts,
) -> Done | Halt:
    """An update by dedup key whose incident is closed or does not exist changes nothing."""
    found = incident if isinstance(incident, Incident) else None
    if found is not None and (halt := associate(actor, facts.scope(found))):
        return halt
    return Done(
        result={
            "incident_id": str(found.incident_id) if found else None,
            "version": found.version if found else None,
            "changed": [],
        },
        rows=_remember(request, facts),
        action=AuditAction.UPDATE,
        subject=f"incident:{found.incident_id}" if found else None,
        context={"changed": [], "nothing_open": True},
    )


def _remember(request: Request[UpdateIncident], facts: Facts) -> tuple[EarlyUpdate, ...]:
    """The status that such an update names, in case the report that it follows is still to come."""
    update = request.inputs
    if update.change_set is None or not update.names_status() or update.expected_version:
        return ()
    assert update.incident_dedup_key is not None
    known = facts.early_updates.get(DedupKey(request.source, update.incident_dedup_key))
    if known is not None and known.time > request.time:
        return ()
    return (
        EarlyUpdate(
            source=request.source,
            dedup_key=update.incident_dedup_key,
            request_id=request.identity.id,
            time=request.time,
            now=request.now,
            updated_by_user=update.updated_by_user,
            status=update.change_set.status,
            resolution_timestamp=update.change_set.resolution_timestamp,
        ),
    )


def _scope_after(scope: Scope, update: UpdateIncident, facts: Facts) -> Scope | Halt:
    """Whom the incident concerns once it is moved to another component, if it is."""
    for component_id in update.components():
        component = facts.components.get(component_id)
        if component is None:
            path = "$.data.change_set.component_id"
            return Halt(
                Reason.COMPONENT_NOT_FOUND,
                "component_id names no component.",
                (InputError(path, "names no component"),),
            )
        return Scope(scope.client_id, component.vendor_id)
    return scope


def _check_open(incident: Incident, request: Request[UpdateIncident]) -> Halt | None:
    """Closed is final.

    But a close that the same source signed later does not halt what it signed before: that is
    sorted out field by field.
    """
    if incident.status != IncidentStatus.CLOSED:
        return None
    closed_later = (
        incident.closed_by_source == request.source
        and request.inputs.expected_version is None
        and is_superseded(incident.stamps, request.source, "status", request.time)
    )
    return None if closed_later else check_move(incident.status, incident.status)


def _check_version(incident: Incident, update: UpdateIncident) -> Halt | None:
    if update.expected_version in (None, incident.version):
        return None
    message = f"the incident is at version {incident.version}"
    return Halt(
        Reason.VERSION_CONFLICT,
        f"The update expects version {update.expected_version}; {message}.",
        (InputError("$.data.expected_version", message),),
    )


def _check_move(incident: Incident, changes: Changes, facts: Facts) -> Halt | None:
    new = changes.status(incident)
    if new == incident.status:
        return None
    if halt := check_move(incident.status, new):
        return halt
    reopened = is_open(new) and not is_open(incident.status)
    if not reopened or incident.dedup_key is None:
        return None
    newest = facts.newest_under(DedupKey(incident.source, incident.dedup_key))
    if newest is None or newest.incident_id == incident.incident_id or not is_open(newest.status):
        return None
    message = f"incident {newest.incident_id} is open under the same dedup key"
    return Halt(
        Reason.INVALID_STATUS,
        f"The incident cannot be reopened: {message}.",
        (InputError("$.data.change_set.status", message),),
    )


def _check_assignee(changes: Changes, scope: Scope, facts: Facts) -> Halt | None:
    assignee = changes.named.get("assigned_to_user_id")
    if assignee is None:
        return None
    return check_assignee(facts.user(assignee), scope, field="change_set.assigned_to_user_id")


def _resolve(incident: Incident, changes: Changes, now: datetime) -> datetime | Halt | None:
    """The resolution_timestamp after the update."""
    if not changes.named.keys() & {"status", "resolution_timestamp"}:
        return incident.resolution_timestamp
    return resolution(
        old=incident.status,
        new=changes.status(incident),
        held=incident.resolution_timestamp,
        names="resolution_timestamp" in changes.named,
        stated=changes.named.get("resolution_timestamp"),
        detected=incident.detection_timestamp,
        now=now,
    )


def _write(
    request: Request[UpdateIncident],
    incident: Incident,
    changes: Changes,
    resolved: datetime | None,
) -> Done:
    wanted = {**changes.named, "resolution_timestamp": resolved}
    changed = [
        field for field in FIELDS if field in wanted and wanted[field] != getattr(incident, field)
    ]
    superseded = [field for field in FIELDS if field in changes.superseded]
    after = incident._replace(
        **{field: wanted[field] for field in changed},
        **_follows_from(request, incident, changed, wanted),
        stamps=stamp(incident.stamps, request.source, changes.named, request.time),
    )
    return Done(
        result={
            "incident_id": str(incident.incident_id),
            "version": after.version,
            "changed": changed,
            **({"superseded": superseded} if superseded else {}),
        },
        rows=(
            *((after,) if changes.named else ()),
            *_history(request, incident, after, changed, changes.superseded),
        ),
        action=AuditAction.UPDATE,
        subject=f"incident:{incident.incident_id}",
        context={"changed": changed, "superseded": superseded, "version": after.version},
    )


def _follows_from(
    request: Request[UpdateIncident], incident: Incident, changed: list[str], wanted: dict[str, Any]
) -> dict[str, Any]:
    """What else changes when a field does."""
    if not changed:
        return {}
    also: dict[str, Any] = {"version": incident.version + 1, "updated_at": request.now}
    if "severity" in changed:
        also["severity_origin"] = SeverityOrigin.STATED
        also["stated_severity"] = wanted["severity"]
    if "status" in changed and wanted["status"] == IncidentStatus.CLOSED:
        also["closed_by_source"] = request.source
    return also


def _history(
    request: Request[UpdateIncident],
    before: Incident,
    after: Incident,
    changed: list[str],
    superseded: Mapping[str, Any],
) -> list[IncidentUpdate]:
    def line(
        field: str, old: object, new: object, *, superseded: bool = False, note: str | None = None
    ) -> IncidentUpdate:
        return IncidentUpdate(
            incident_id=before.incident_id,
            field=field,
            old_value=_text(old),
            new_value=_text(new),
            note=note,
            superseded=superseded,
            updated_by_user=request.inputs.updated_by_user,
            updated_at=request.now,
            source=request.source,
            request_id=request.identity.id,
        )

    lines = [line(field, getattr(before, field), getattr(after, field)) for field in changed]
    lines += [
        line(field, getattr(before, field), value, superseded=True)
        for field, value in superseded.items()
    ]
    if request.inputs.note is not None:
        lines.append(line("note", None, None, note=request.inputs.note))
    return lines


def _text(value: object) -> str | None:
    """A value as the history shows it."""
    match value:
        case None:
            return None
        case datetime():
            return text_of(value)
        case _:
            return str(value)
