"""What has been forgotten for good, and up to when.

Whoever forgets says so in the transaction that does (``tasks.prune``). So a process that finds
nothing of a request, and asks here afterwards, knows whether there may have been something.
"""

from datetime import datetime

from sqlalchemy import Connection, text

from models.sql import fetch_column
from models.tables import Forgotten

_READ = "SELECT forgotten_before FROM retentions WHERE kind = %(kind)s"
_NOTE = text("""
    INSERT INTO retentions AS r (kind, forgotten_before) VALUES (:kind, :before)
    ON CONFLICT (kind) DO UPDATE SET forgotten_before = EXCLUDED.forgotten_before
    WHERE r.forgotten_before < EXCLUDED.forgotten_before
""")


def forgotten_before(connection: Connection, kind: Forgotten) -> datetime | None:
    """Up to when what is of *kind* may be forgotten; None: nothing ever was (primary key)."""
    return next(iter(fetch_column(connection, _READ, {"kind": str(kind)})), None)


def note_forgotten(connection: Connection, kind: Forgotten, *, before: datetime) -> None:
    """Note that what is of *kind* and older than *before* is forgotten in this transaction.

    What was forgotten stays so: the time noted never goes back.
    """
    connection.execute(_NOTE, {"kind": kind, "before": before})
