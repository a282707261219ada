"""Tallies: how many intake entries each transaction resolved, and how (DESIGN 7)."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, text

from models.sql import execute
from models.tables import Door


@dataclass(frozen=True, slots=True)
class Tally:
    """Entries resolved for the first time; a redelivery is not a second entry."""

    done: int = 0
    halted: int = 0
    duplicates: int = 0


_INSERT = """
    INSERT INTO tallies (door, done, halted, duplicates)
    VALUES (%(door)s, %(done)s, %(halted)s, %(duplicates)s)
"""
_SUM = text("""
    SELECT COALESCE(sum(done), 0)::bigint, COALESCE(sum(halted), 0)::bigint,
           COALESCE(sum(duplicates), 0)::bigint
    FROM tallies WHERE door = :door
""")


def write_tally(connection: Connection, door: Door, tally: Tally) -> None:
    """Add one row for what this transaction resolved."""
    execute(connection, _INSERT, {"door": str(door), **asdict(tally)})


# Readers see the rows or their sum, never both: it is one statement, so one snapshot.
_COMPACT = text("""
    WITH gone AS (
        DELETE FROM tallies WHERE tally_id = ANY(ARRAY(
            SELECT tally_id FROM tallies ORDER BY tally_id
            LIMIT :at_once FOR UPDATE SKIP LOCKED))
        RETURNING door, at, done, halted, duplicates),
    summed AS (
        INSERT INTO tallies (door, at, done, halted, duplicates)
        SELECT door, max(at), sum(done), sum(halted), sum(duplicates) FROM gone GROUP BY door)
    SELECT count(*) FROM gone
""")


def compact_tallies(connection: Connection, *, at_once: int) -> int:
    """Put the sums of the oldest rows in their place; how many rows those were.

    What is being written at this time is left to the next compaction.
    """
    return int(connection.execute(_COMPACT, {"at_once": at_once}).scalar_one())


def read_tally(connection: Connection, door: Door) -> Tally:
    """Everything resolved so far of what came in by *door*."""
    return Tally(*connection.execute(_SUM, {"door": door}).one())
