"""How much there is of what, for `andon status`; read in one snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from models.audit_partitions import PartitionsAhead, read_partitions_ahead
from models.numbers import read_given
from models.settlements import Settlement, read_last_settlement, read_settled
from models.signs import Sign, read_signs_told
from models.tables import Door, HaltState
from models.tallies import Tally, read_tally


@dataclass(frozen=True, slots=True)
class Figures:
    """What the database knows.

    Attributes:
        waiting: requests that wait for a report, by the door they came in.
        unpublished: outcomes in the outbox.
        open_halts: how many, by reason.
        replaying: halts whose requests have been published again and are not decided yet.
        tallies: everything resolved so far, by door.
        audit: whether the audit has partitions for what will be recorded.
        settled: entries that were settled after a loss, in all.
        last_settlement: the last time that they were; None if they never were.
    """

    waiting: Mapping[Door, int]
    unpublished: int
    open_halts: Mapping[str, int]
    replaying: int
    tallies: Mapping[Door, Tally]
    audit: PartitionsAhead
    settled: int
    last_settlement: Settlement | None


@dataclass(frozen=True, slots=True)
class Activity:
    """Who works, and since when something waits for them; seconds are by PostgreSQL's clock.

    Attributes:
        clock: what it is there, in seconds since 1970.
        signs: what the processes of all machines last said, the latest first.
        decided_seconds: since an entry of the intake was last decided; None if none ever was.
        waiting_seconds: for how long the oldest request has waited for a report; None if none does.
        given: the last number that each sequence gave out.
    """

    clock: float
    signs: Sequence[Sign]
    decided_seconds: float | None
    waiting_seconds: float | None
    given: Mapping[str, int]


_WAITING = text("SELECT door, count(*) FROM waiting GROUP BY door")
_UNPUBLISHED = text("SELECT count(*) FROM outbox")
# By the index on halts (state, halt_id); settled halts are not read.
_HALTS = text(f"""
    SELECT state, reason, count(*) FROM halts
    WHERE state IN ('{HaltState.OPEN}', '{HaltState.REPLAYING}')
    GROUP BY state, reason ORDER BY count(*) DESC, reason
""")


def read_figures(connection: Connection) -> Figures:
    """Read all figures; they belong together if the transaction reads one snapshot."""
    waiting = {Door(door): count for door, count in connection.execute(_WAITING)}
    halts = list(connection.execute(_HALTS))
    return Figures(
        waiting={door: waiting.get(door, 0) for door in Door},
        unpublished=connection.execute(_UNPUBLISHED).scalar_one(),
        open_halts={reason: count for state, reason, count in halts if state == HaltState.OPEN},
        replaying=sum(count for state, _, count in halts if state == HaltState.REPLAYING),
        tallies={door: read_tally(connection, door) for door in Door},
        audit=read_partitions_ahead(connection),
        settled=read_settled(connection),
        last_settlement=read_last_settlement(connection),
    )


# `tallies` is short, since it is summed up every minute; what waits is read as a whole, as above.
_ACTIVITY = text(f"""
    SELECT extract(epoch FROM clock_timestamp())::float8,
           extract(epoch FROM clock_timestamp() - (
               SELECT max(at) FROM tallies
               WHERE door = '{Door.INTAKE}' AND done + halted + duplicates > 0))::float8,
           extract(epoch FROM clock_timestamp() - (SELECT min(received_at) FROM waiting))::float8
""")


def read_activity(connection: Connection) -> Activity:
    """Read who works; this changes from moment to moment, unlike the figures."""
    clock, decided, waiting = connection.execute(_ACTIVITY).one()
    return Activity(
        clock=clock,
        signs=read_signs_told(connection),
        decided_seconds=decided,
        waiting_seconds=waiting,
        given=read_given(connection),
    )
