"""One incident with everything that was recorded about it, in the order of time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, TextClause, text

from models.row_tables import INCIDENTS
from models.rows import Incident

_HISTORY = text("""
    SELECT update_id::text AS update_id, field, old_value, new_value, note, superseded,
           updated_by_user, updated_at, source, request_id
    FROM incident_updates WHERE incident_id = :incident ORDER BY incident_updates.update_id
""")
_ESCALATIONS = text("""
    SELECT escalation_id::text AS escalation_id, escalation_level, status, reason,
           escalated_by_user, escalated_to_user, escalated_at, resolved_at, source, request_id
    FROM escalations WHERE incident_id = :incident ORDER BY escalations.escalation_id
""")
_COMMUNICATIONS = text("""
    SELECT communication_id::text AS communication_id, communication_type, delivery_method,
           delivery_status, sender_id, recipient_id, recipient_type, sent_at, recorded_at, source,
           request_id
    FROM communications WHERE incident_id = :incident ORDER BY communications.communication_id
""")

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class IncidentRecord:
    """An incident, and the rows about it as they are stored."""

    incident: Incident
    updates: Sequence[Line]
    escalations: Sequence[Line]
    communications: Sequence[Line]

    def document(self) -> Line:
        """Everything, for programs; numbers of records are strings."""
        fields = self.incident._asdict()
        del fields["stamps"]
        for number in ("incident_id", "recurrence_of"):
            fields[number] = None if fields[number] is None else str(fields[number])
        return fields | {
            "updates": self.updates,
            "escalations": self.escalations,
            "communications": self.communications,
        }


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to an incident.

    Attributes:
        what: ``reported``, ``updated``, ``noted``, ``reported again``, ``escalated``,
            ``escalation resolved``, ``communicated``.
        who: the user on whose authority; empty where the rows do not say.
        detail: the particulars, in a few words.
        note: what somebody wrote about it.
        superseded: it was left without effect, since its source had said something later before.
    """

    at: datetime
    what: str
    who: str
    detail: str
    note: str | None = None
    superseded: bool = False


def read_incident_record(connection: Connection, incident_id: int) -> IncidentRecord | None:
    """The incident of this number with everything about it; None if there is none.

    Uses the indexes on ``incident_id`` of the three tables.
    """
    incident = INCIDENTS.read(connection, [incident_id]).get(incident_id)
    if incident is None:
        return None

    def about(statement: TextClause) -> list[Line]:
        found = connection.execute(statement, {"incident": incident_id})
        return [dict(row) for row in found.mappings()]

    return IncidentRecord(incident, about(_HISTORY), about(_ESCALATIONS), about(_COMMUNICATIONS))


def timeline(record: IncidentRecord) -> list[Moment]:
    """Everything that happened to an incident, the earliest first."""
    incident = record.incident
    first = Moment(
        incident.reported_at,
        "reported",
        incident.reporter_user_id,
        f"request {incident.request_id} of {incident.source}",
    )
    later = [
        *map(_update, record.updates),
        *_escalations(record.escalations),
        *map(_communication, record.communications),
    ]
    return [first, *sorted(later, key=lambda moment: moment.at)]


_KINDS = {"note": "noted", "report": "reported again"}


def _update(row: Line) -> Moment:
    what = _KINDS.get(row["field"], "updated")
    detail = ""
    if what == "updated":
        old, new = (_value(row["field"], row[name]) for name in ("old_value", "new_value"))
        detail = f"{row['field']}: {old} → {new}"
    return Moment(
        row["updated_at"], what, row["updated_by_user"], detail, row["note"], row["superseded"]
    )


def _value(field: str, stored: str | None) -> str:
    """A field's value as it is told; moments to the second, as all others of the timeline."""
    if not stored:
        return "none"
    if field.endswith("_timestamp"):
        moment = datetime.fromisoformat(stored).astimezone(UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return stored


def _escalations(rows: Iterable[Line]) -> Iterator[Moment]:
    for row in rows:
        number, status = row["escalation_id"], row["status"]
        detail = (
            f"{row['escalation_level']}, to {row['escalated_to_user']},"
            f" {status} (escalation {number})"
        )
        by = row["escalated_by_user"]
        yield Moment(row["escalated_at"], "escalated", by, detail, row["reason"])
        if row["resolved_at"] is not None:
            yield Moment(row["resolved_at"], f"escalation {status}", "", f"escalation {number}")


def _communication(row: Line) -> Moment:
    to = " and ".join(filter(None, (row["recipient_id"], row["recipient_type"])))
    detail = (
        f"{row['communication_type']} by {row['delivery_method']} to {to},"
        f" {row['delivery_status']} (communication {row['communication_id']})"
    )
    return Moment(row["recorded_at"], "communicated", row["sender_id"], detail)
