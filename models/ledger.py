"""The ledger: which requests are known, and what became of them.

Read at the start of a transaction and written once at its end. Both use the primary key
``(source, request_id)``; a request that two transactions decide at once violates it, and the
later one runs again.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from models.outcomes import Identity, Outcome
from models.sql import as_json, copy_rows, execute, fetch, in_json
from models.tables import HaltState
from policy.procedures import REPORT_INCIDENT


class LedgerRow(NamedTuple):
    """A request that has been decided.

    Attributes:
        replaying: its halt is being replayed, so the next delivery is decided anew.
    """

    identity: Identity
    body_hash: bytes
    entry: str
    procedure: str | None
    halted: bool
    body: Mapping[str, Any]
    decided_at: datetime
    halt_id: int | None
    replaying: bool

    @property
    def outcome(self) -> Outcome:
        """The outcome as it was published."""
        return Outcome(
            self.identity, self.entry, self.procedure, self.halted, self.body, self.decided_at
        )

    @property
    def incident_id(self) -> int | None:
        """The incident that the request opened or joined, if it was a report and is done."""
        if self.halted or self.procedure != REPORT_INCIDENT.name:
            return None
        return int(self.body["incident_id"])


_READ = f"""
    SELECT r.source, r.request_id, r.body_hash, r.entry, r.procedure, r.halted, r.body,
           r.decided_at, r.halt_id, COALESCE(h.state = '{HaltState.REPLAYING}', false)
    FROM {in_json("source", "request_id")} JOIN requests AS r USING (source, request_id)
    LEFT JOIN halts AS h ON h.halt_id = r.halt_id
"""


def read_ledger(
    connection: Connection, identities: Collection[Identity]
) -> dict[Identity, LedgerRow]:
    """The rows of those of *identities* that have been decided."""
    if not identities:
        return {}
    wanted = {
        "source": as_json([identity.source for identity in identities]),
        "request_id": as_json([identity.id for identity in identities]),
    }
    return {
        (identity := Identity(source, request_id)): LedgerRow(identity, *values)
        for source, request_id, *values in fetch(connection, _READ, wanted)
    }


class NewLedgerRow(NamedTuple):
    """A request decided in this transaction."""

    identity: Identity
    body_hash: bytes
    outcome: Outcome
    halt_id: int | None
    event_time: datetime | None
    received_at: datetime

    def values(self) -> tuple[Any, ...]:
        """In the order of the columns of the ledger."""
        return (
            self.identity.source,
            self.identity.id,
            self.body_hash,
            self.outcome.procedure,
            self.outcome.halted,
            as_json(self.outcome.body),
            self.halt_id,
            self.outcome.entry,
            self.event_time,
            self.received_at,
            self.outcome.decided_at,
        )


_COLUMNS = (
    "source",
    "request_id",
    "body_hash",
    "procedure",
    "halted",
    "body",
    "halt_id",
    "entry",
    "event_time",
    "received_at",
    "decided_at",
)

_FORGET = f"""
    DELETE FROM requests AS r USING {in_json("source", "request_id", "halt_id")}
    WHERE (r.source, r.request_id, r.halt_id)
        = (wanted.source, wanted.request_id, wanted.halt_id::bigint)
"""


def write_ledger(connection: Connection, rows: Collection[NewLedgerRow]) -> None:
    """Insert *rows*, sorted by identity so that no two transactions wait for each other crosswise.

    Raises:
        sqlalchemy.exc.IntegrityError: another transaction decided one of them meanwhile.
    """
    if rows:
        ordered = sorted(rows, key=lambda row: row.identity)
        copy_rows(connection, "requests", _COLUMNS, (row.values() for row in ordered))


def forget_halted(connection: Connection, replayed: Iterable[LedgerRow]) -> None:
    """Make room for the new outcomes of requests whose halts are being replayed."""
    rows = sorted(replayed, key=lambda row: row.identity)
    if rows:
        execute(
            connection,
            _FORGET,
            {
                "source": as_json([row.identity.source for row in rows]),
                "request_id": as_json([row.identity.id for row in rows]),
                "halt_id": as_json([row.halt_id for row in rows]),
            },
        )
