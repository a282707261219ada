"""Intake entries that have been recorded as duplicates, so that each counts as one only once.

The audit records a duplicate, but has no index on entries: it is never forgotten, and an entry can
be delivered again only until it is acknowledged. So this is pruned (``tasks.prune``).
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, text

from models.sql import as_json, copy_rows, fetch_column, in_json

_RECORDED = f"SELECT entry FROM {in_json('entry')} JOIN duplicates USING (entry)"


def recorded_duplicates(connection: Connection, entries: Collection[str]) -> set[str]:
    """Those of *entries* that have been recorded as duplicates before (primary key)."""
    if not entries:
        return set()
    return set(fetch_column(connection, _RECORDED, {"entry": as_json(list(entries))}))


def record_duplicates(connection: Connection, entries: Collection[str], *, now: datetime) -> None:
    """Note that *entries* are duplicates, sorted so that no two transactions wait crosswise.

    Raises:
        psycopg.errors.UniqueViolation: another transaction recorded one of them meanwhile.
    """
    copy_rows(
        connection, "duplicates", ("entry", "at"), ((entry, now) for entry in sorted(entries))
    )


_OLDEST = text("SELECT at FROM duplicates ORDER BY at LIMIT 1")
_FORGET = text("""
    DELETE FROM duplicates WHERE entry = ANY(ARRAY(
        SELECT entry FROM duplicates WHERE at < :before
        ORDER BY at LIMIT :at_once FOR UPDATE SKIP LOCKED))
""")


def oldest_duplicate(connection: Connection) -> datetime | None:
    """When the oldest of them was recorded (index on ``at``); None if there is none."""
    return connection.execute(_OLDEST).scalar_one_or_none()


def forget_duplicates(connection: Connection, *, before: datetime, at_once: int) -> int:
    """Forget up to *at_once* of those recorded earlier than *before*; how many those were."""
    return connection.execute(_FORGET, {"before": before, "at_once": at_once}).rowcount
