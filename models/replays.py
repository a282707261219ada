"""What operators do about a halt, in the database (DESIGN 6).

It is replayed: its request is published again, unedited, and decided anew. Or it is discarded:
settled, without anything being done.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from models.audit import AuditEntry
from models.operator import who_acts
from models.outcomes import Identity
from models.tables import HaltState
from policy.vocabulary import AuditAction


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A halt with what is needed to publish its request again.

    Attributes:
        identity: None for a message that could not prove who sent it.
        event: what is kept of the bytes that were published; nothing, once a settled halt's
            retention has passed.
        event_bytes: how many those were.
        in_ledger: the halt is what the ledger says of this identity, so the worker settles it when
            it decides the request anew. A message that is no request, or that came second under its
            identity, is not in the ledger.
    """

    halt_id: int
    state: HaltState
    identity: Identity | None
    procedure: str | None
    entry: str
    event: bytes
    event_bytes: int
    key_id: str
    signature: str
    in_ledger: bool

    @property
    def is_whole(self) -> bool:
        """Whether everything that was published was kept."""
        return len(self.event) == self.event_bytes

    @property
    def is_settled(self) -> bool:
        """Whether nothing can be done about it any more."""
        return self.state not in (HaltState.OPEN, HaltState.REPLAYING)


# The subquery is bound to the identity, so it reads one row by the ledger's primary key.
_LOCK = text("""
    SELECT h.halt_id, h.state, h.source, h.request_id, h.procedure, h.entry, h.event,
           h.event_bytes, h.key_id, h.signature,
           EXISTS (SELECT FROM requests AS r
                   WHERE (r.source, r.request_id) = (h.source, h.request_id)
                     AND r.halt_id = h.halt_id) AS in_ledger
    FROM halts AS h WHERE h.halt_id = ANY(CAST(:halt_ids AS bigint[]))
    ORDER BY h.halt_id
    FOR NO KEY UPDATE OF h
""")


def lock_halted(connection: Connection, halt_ids: Collection[int]) -> dict[int, KeptRequest]:
    """Those of the halts that exist, by number, locked until the commit.

    They are locked in the order of their numbers, as by the worker that settles them.
    """
    found = connection.execute(_LOCK, {"halt_ids": list(halt_ids)})
    return {
        row.halt_id: KeptRequest(
            halt_id=row.halt_id,
            state=HaltState(row.state),
            identity=None if row.source is None else Identity(row.source, row.request_id),
            procedure=row.procedure,
            entry=row.entry,
            event=bytes(row.event or b""),
            event_bytes=row.event_bytes,
            key_id=row.key_id,
            signature=row.signature,
            in_ledger=row.in_ledger,
        )
        for row in found
    }


_BEGIN = text("UPDATE halts SET state = :state, settled_at = :settled_at WHERE halt_id = :halt_id")


def begin_replay(connection: Connection, halted: KeptRequest, *, now: datetime) -> HaltState:
    """Note that the request is published again; what the halt's state is from now on.

    It is settled when the request is decided anew, or at once where nothing of it is in the ledger.
    """
    state = HaltState.REPLAYING if halted.in_ledger else HaltState.REPLAYED
    settled_at = None if halted.in_ledger else now
    connection.execute(
        _BEGIN, {"state": state, "settled_at": settled_at, "halt_id": halted.halt_id}
    )
    return state


_DISCARD = text(f"""
    UPDATE halts SET state = '{HaltState.DISCARDED}', settled_at = :now
    WHERE halt_id = ANY(CAST(:halt_ids AS bigint[]))
""")


def discard_halts(connection: Connection, halt_ids: Collection[int], *, now: datetime) -> None:
    """Settle halts without anything being done; what the ledger says of them stays.

    A replay that nobody has decided yet is called off: it gets the outcome of the halt.
    """
    connection.execute(_DISCARD, {"halt_ids": list(halt_ids), "now": now})


def operators_record(
    halted: KeptRequest, action: AuditAction, outcome: HaltState, *, now: datetime
) -> AuditEntry:
    """The record of what somebody did about a halt: ids only, and who it was."""
    source, request_id = halted.identity or (None, None)
    return AuditEntry(
        at=now,
        action=action,
        outcome=outcome,
        procedure=halted.procedure,
        source=source,
        request_id=request_id,
        subject=f"halt:{halted.halt_id}",
        context={"entry": halted.entry, **who_acts()},
    )
