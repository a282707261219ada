"""What people and programs ask to see: lines of listings, newest first.

Every line is a mapping of column to value. Numbers of incidents and halts are strings, as
everywhere outside (DESIGN 5). A filter that is None leaves everything in.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, TextClause, text

Line = dict[str, Any]


class Newest(NamedTuple):
    """The newest lines, and how many there are altogether."""

    lines: list[Line]
    total: int


_WHICH_INCIDENTS = """
    WHERE (CAST(:status AS text) IS NULL OR status = :status)
      AND (CAST(:severity AS text) IS NULL OR severity = :severity)
      AND (CAST(:client AS text) IS NULL OR client_id = :client)
"""
_INCIDENTS = text(f"""
    SELECT incident_id::text AS incident_id, severity, status, title, category, client_id,
           component_id, assigned_to_user_id, detection_timestamp, resolution_timestamp,
           reported_at, updated_at, version, source, request_id
    FROM incidents {_WHICH_INCIDENTS}
    ORDER BY incidents.incident_id DESC LIMIT :limit
""")
_COUNT_INCIDENTS = text(f"SELECT count(*) FROM incidents {_WHICH_INCIDENTS}")

_WHICH_HALTS = """
    WHERE (CAST(:state AS text) IS NULL OR state = :state)
      AND (CAST(:reason AS text) IS NULL OR reason = :reason)
      AND (CAST(:source AS text) IS NULL OR source = :source)
"""
_HALTS = text(f"""
    SELECT halt_id::text AS halt_id, state, reason, message, source, request_id, procedure, door,
           halted_at, settled_at
    FROM halts {_WHICH_HALTS}
    ORDER BY halts.halt_id DESC LIMIT :limit
""")
_COUNT_HALTS = text(f"SELECT count(*) FROM halts {_WHICH_HALTS}")

_HALT = text("""
    SELECT halt_id::text AS halt_id, state, reason, message, errors, source, request_id, procedure,
           door, entry, halted_at, settled_at, key_id, signature, event_bytes,
           encode(event_sha256, 'hex') AS event_sha256, event
    FROM halts WHERE halts.halt_id = :halt
""")

# The newest of each chain by the primary key, and then the newest of all.
_AUDIT = text("""
    SELECT record.chain, record.sequence, record.at, record.action, record.outcome,
           record.procedure, record.source, record.request_id, record.entry, record.actor,
           record.subject, record.reason, record.context, record.key_id,
           encode(record.mac, 'hex') AS mac
    FROM audit_chains CROSS JOIN LATERAL (
        SELECT * FROM audit_records
        WHERE audit_records.chain = audit_chains.chain
          AND (CAST(:source AS text) IS NULL OR source = :source)
          AND (CAST(:subject AS text) IS NULL OR subject = :subject)
          AND (CAST(:outcome AS text) IS NULL OR outcome = :outcome)
        ORDER BY audit_records.sequence DESC LIMIT :limit
    ) AS record
    ORDER BY record.at DESC, record.chain, record.sequence DESC LIMIT :limit
""")


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
    return _newest(connection, _INCIDENTS, _COUNT_INCIDENTS, values)


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
    return _newest(connection, _HALTS, _COUNT_HALTS, values)


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
) -> tuple[list[Line], bool]:
    """The newest audit records, and whether there are more; to count them would read them all."""
    values = {"source": source, "subject": subject, "outcome": outcome, "limit": limit + 1}
    lines = _lines(connection, _AUDIT, values)
    return lines[:limit], len(lines) > limit


def _newest(
    connection: Connection,
    statement: TextClause,
    counting: TextClause,
    values: Mapping[str, Any],
) -> Newest:
    """Lines are counted only where there may be more of them than *values* has as their limit."""
    lines = _lines(connection, statement, values)
    if len(lines) < values["limit"]:
        return Newest(lines, len(lines))
    return Newest(lines, connection.execute(counting, values).scalar_one())


def _lines(
    connection: Connection, statement: TextClause, values: Mapping[str, object]
) -> list[Line]:
    return [dict(row) for row in connection.execute(statement, values).mappings()]
