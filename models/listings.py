"""What people and programs ask to see: lines of listings, newest first.

Every line is a mapping of column to value. Numbers of incidents and halts are strings, as
everywhere outside (DESIGN 5). A filter that is None leaves everything in.

Nothing here may take longer with every year of history: each filter has an index for itself, and
nobody counts what is not shown.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
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

# By the BRIN index of each partition, which says what each megabyte of it has at all.
_WHICH_RECORDS = """
    FROM audit_records
    WHERE at >= :begin AND at < :end
      AND (CAST(:source AS text) IS NULL OR source = :source)
      AND (CAST(:subject AS text) IS NULL OR subject = :subject)
      AND (CAST(:outcome AS text) IS NULL OR outcome = :outcome)
"""
_RECORDS = text(f"""
    SELECT chain, sequence, at, action, outcome, procedure, source, request_id, entry, actor,
           subject, reason, context, key_id, encode(mac, 'hex') AS mac
    {_WHICH_RECORDS} ORDER BY at DESC, chain, sequence DESC LIMIT :limit
""")
_ARE_MORE = text(f"SELECT EXISTS (SELECT {_WHICH_RECORDS} OFFSET :sorted_at_once)")

# A plan that is kept for all values could not leave out the filters that are not given.
_PLAN_EACH = text("SET LOCAL plan_cache_mode = force_custom_plan")

_SORTED_AT_ONCE = 1_000
_SHORTEST_SPAN = timedelta(milliseconds=1)
_BACK = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=2),
    timedelta(days=100),
)
"""How far back the audit is looked at, as long as too little is found."""


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
    values = {"source": source, "subject": subject, "outcome": outcome}
    lines: list[Line] = []
    connection.execute(_PLAN_EACH)
    for begin, end in _spans_back_from(datetime.now(UTC)):
        lines += _records(connection, values, begin, end, limit=limit + 1 - len(lines))
        if len(lines) > limit:
            break
    return Newest(lines[:limit], more=len(lines) > limit)


def _spans_back_from(now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """From each moment to the next one, the latest first; together they are all of time."""
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    moments = [last, *(now - back for back in _BACK), first]
    return ((begin, end) for end, begin in pairwise(moments))


def _records(
    connection: Connection,
    values: Mapping[str, object],
    begin: datetime,
    end: datetime,
    *,
    limit: int,
) -> list[Line]:
    """The newest records of a span. One with many is halved, so that few are ever sorted."""
    span = {**values, "begin": begin, "end": end}
    at_once = {"sorted_at_once": max(limit, _SORTED_AT_ONCE)}
    if (
        end - begin <= _SHORTEST_SPAN
        or not connection.execute(_ARE_MORE, span | at_once).scalar_one()
    ):
        return _lines(connection, _RECORDS, span | {"limit": limit})
    middle = begin + (end - begin) / 2
    lines = _records(connection, values, middle, end, limit=limit)
    if len(lines) < limit:
        lines += _records(connection, values, begin, middle, limit=limit - len(lines))
    return lines


def _newest(connection: Connection, statement: TextClause, values: Mapping[str, Any]) -> Newest:
    limit = values["limit"]
    lines = _lines(connection, statement, {**values, "limit": limit + 1})
    return Newest(lines[:limit], more=len(lines) > limit)


def _lines(
    connection: Connection, statement: TextClause, values: Mapping[str, object]
) -> list[Line]:
    return [dict(row) for row in connection.execute(statement, values).mappings()]
