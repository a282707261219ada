"""The clock that counts: PostgreSQL's, for whatever several processes have to agree on."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from models.sql import fetch_column

Clock = Callable[[Connection], datetime]
"""Says what time it is, asked over the connection whose transaction wants to know."""


def database_now(connection: Connection) -> datetime:
    """The time now (UTC), the same for every process whatever its own clock says."""
    now: datetime
    (now,) = fetch_column(connection, "SELECT clock_timestamp()", {})
    return now
