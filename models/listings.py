"""What people and programs ask to see: lines of listings, newest first.

Every line is a mapping of column to value. Numbers of incidents and halts are strings, as
everywhere outside (DESIGN 5). A filter that is None leaves everything in.

Nothing here may take longer with every year of history: each filter has an index for itself, and
nobody counts what is not shown.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, text

Line = dict[str, Any]


class Newest(NamedTuple):
    """The newest lines, and whether there are more."""

    lines: list[Line]
    more: bool


_INCIDENTS = text("""
    SELECT incident_id::text AS incident_id, severity, status, title, category, client_id,
           component_id, assigned_to_user_id, detection_timestamp, resolution_timestamp,
           reported_at, updated_at, version, source, request_id
    FROM incidents
    WHERE (CAST(:status AS text) IS NULL OR status = :status)
      AND (CAST(:severity AS text) IS NULL OR severity = :severity)
      AND (CAST(:client AS text) IS NULL OR client_id = :client)
    ORDER BY incidents.incident_id DESC LIMIT :limit
""")
_HALTS = text("""
    SELECT halt_id::text AS halt_id, state, reason, message, source, request_id, procedure, door,
           halted_at, settled_at
    FROM halts
    WHERE (CAST(:state AS text) IS NULL OR state = :state)
      AND (CAST(:reason AS text) IS NULL OR reason = :reason)
      AND (CAST(:source AS text) IS NULL OR source = :source)
    ORDER BY halts.halt_id DESC LIMIT :limit
""")

_HALT = text("""
    SELECT halt_id::text AS halt_id, state, reason, message, errors, source, request_id, procedure,
           door, entry, halted_at, settled_at, key_id, signature, event_bytes,
           encode(event_sha256, 'hex') AS event_sha256, event
    FROM halts WHERE halts.halt_id = :halt
""")

# One index of each partition, by the filter that is given, merged in the order of time.
_RECORDS = text("""
    SELECT chain, sequence, at, action, outcome, procedure, source, request_id, entry, actor,
           subject, reason, context, key_id, encode(mac, 'hex') AS mac
    FROM audit_records
    WHERE (CAST(:source AS text) IS NULL OR source = :source)
      AND (CAST(:subject AS text) IS NULL OR subject = :subject)
      AND (CAST(:outcome AS text) IS NULL OR outcome = :outcome)
    ORDER BY at DESC, chain, sequence DESC LIMIT :limit
""")

# A plan that is kept for all values could not leave out the filters that are not given.
_PLAN_EACH = text("SET LOCAL plan_cache_mode = force_custom_plan")


def list_incidents(
    connection: Connection,
    *,
    status: str | None = None,
    severity: str | None = None,
    client: str | None = None,
    limit: int,
) -> Newest:
    """The newest incidents."""
    values = {"status": status, "severity": severity, "client": client, "limit": limit}
    return _newest(connection, _INCIDENTS, values)


def list_halts(
    connection: Connection,
    *,
    state: str | None = None,
    reason: str | None = None,
    source: str | None = None,
    limit: int,
) -> Newest:
    """The newest halts, without their requests."""
    values = {"state": state, "reason": reason, "source": source, "limit": limit}
    return _newest(connection, _HALTS, values)


def read_halt(connection: Connection, halt_id: int) -> Line | None:
    """Everything kept of one halt, its message in ``event``; None if there is no such halt."""
    return next(iter(_lines(connection, _HALT, {"halt": halt_id})), None)


def list_audit(
    connection: Connection,
    *,
    source: str | None = None,
    subject: str | None = None,
    outcome: str | None = None,
    limit: int,
) -> Newest:
    """The newest audit records."""
    values = {"source": source, "subject": subject, "outcome": outcome, "limit": limit}
    return _newest(connection, _RECORDS, values)


def _newest(connection: Connection, statement: TextClause, values: Mapping[str, Any]) -> Newest:
    connection.execute(_PLAN_EACH)
    limit = values["limit"]
    lines = _lines(connection, statement, {**values, "limit": limit + 1})
    return Newest(lines[:limit], more=len(lines) > limit)


def _lines(
    connection: Connection, statement: TextClause, values: Mapping[str, object]
) -> list[Line]:
    return [dict(row) for row in connection.execute(statement, values).mappings()]
