"""How much there is of what, for `andon status`; read in one snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text

from models.audit_partitions import PartitionsAhead, read_partitions_ahead
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
    """

    waiting: Mapping[Door, int]
    unpublished: int
    open_halts: Mapping[str, int]
    replaying: int
    tallies: Mapping[Door, Tally]
    audit: PartitionsAhead


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
    )
