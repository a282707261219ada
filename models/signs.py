"""What the processes of all machines say of themselves in PostgreSQL, for `andon status`.

A row for each process, written at most every few seconds and in no transaction with requests.
It is a hint: what cannot be written is left out, and a crash of PostgreSQL empties the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

_TELL = text("""
    INSERT INTO signs_of_life AS known (runner, host, kind, seen_at, braked_since, cause)
    VALUES (:runner, :host, :kind, clock_timestamp(),
            CASE WHEN CAST(:cause AS text) IS NOT NULL THEN clock_timestamp() END, :cause)
    ON CONFLICT (runner) DO UPDATE SET
        seen_at = EXCLUDED.seen_at, cause = EXCLUDED.cause,
        braked_since = CASE WHEN EXCLUDED.cause IS NOT NULL
                            THEN COALESCE(known.braked_since, EXCLUDED.braked_since) END
""")
_FORGET = text("DELETE FROM signs_of_life WHERE seen_at < now() - interval '1 hour'")
_READ = text("""
    SELECT host, kind, extract(epoch FROM clock_timestamp() - seen_at)::float8,
           extract(epoch FROM clock_timestamp() - braked_since)::float8, cause
    FROM signs_of_life ORDER BY seen_at DESC
""")


@dataclass(frozen=True, slots=True)
class Sign:
    """What one process last said.

    Attributes:
        host: its machine.
        kind: ``pool`` for a worker's pool process, or ``schedules``.
        seconds: since it last drained or swept, well or not.
        braked_seconds: since when it was in an outage then; None if it was not.
        cause: what kind of outage.
    """

    host: str
    kind: str
    seconds: float
    braked_seconds: float | None
    cause: str | None


def tell_sign(
    connection: Connection, *, runner: str, host: str, kind: str, cause: str | None
) -> None:
    """Say that *runner* lives; *cause* is of the outage that it is in, if it is in one."""
    connection.execute(_TELL, {"runner": runner, "host": host, "kind": kind, "cause": cause})


def forget_signs(connection: Connection) -> None:
    """Remove what is said of processes that have said nothing for an hour."""
    connection.execute(_FORGET)


def read_signs_told(connection: Connection) -> Sequence[Sign]:
    """What all processes last said, the latest first."""
    return [Sign(*row) for row in connection.execute(_READ)]
