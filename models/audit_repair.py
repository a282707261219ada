"""Putting heads of the audit back that somebody moved, with the owner's rights.

The worker's role has to move heads, so whoever has it can move one forward, or make it unreadable;
that chain is not continued then. Its head is put back to the last record that fits. Not so where
another chain has seen more of it: then records are gone, and a new head would make that good.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from models.audit import AuditEntry, AuditError, AuditKeys, head_mac, write_audit
from models.audit_verify import Progress, Walk, inspect_audit, is_signed
from models.operator import who_acts
from policy.vocabulary import AuditAction


@dataclass(frozen=True, slots=True)
class PutBack:
    """A head that was put back, or is to be.

    Attributes:
        found: the number of the last record, as the head said.
        sequence: the number of the last record that fits.
    """

    chain: int
    found: int
    sequence: int


@dataclass(frozen=True, slots=True)
class NotPutBack:
    """A head that is not genuine and stays so, and why."""

    chain: int
    message: str


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of the heads that are not genuine."""

    put_back: tuple[PutBack, ...]
    refused: tuple[NotPutBack, ...]


_LOCK = text("SELECT sequence, mac, head_mac FROM audit_chains WHERE chain = :chain FOR UPDATE")
_PUT_BACK = text("""
    UPDATE audit_chains SET sequence = :sequence, mac = :mac, key_id = :key_id, head_mac = :head
    WHERE chain = :chain
""")
_TRIGGER = "ALTER TABLE audit_chains {} TRIGGER audit_heads_move_on"


def repair_heads(
    engine: Engine,
    keys: AuditKeys,
    *,
    reason: str,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Repair:
    """Put each head that is not genuine back to the last record of its chain that fits.

    Each is recorded in the audit: what the head said, what it says now, who did it and why.

    Args:
        engine: connects with the owner's rights.
        keys: to verify with; the current one signs the heads.
        reason: why it is done, in the operator's words.
        dry_run: change nothing.
        progress: called while the audit is verified.

    Raises:
        AuditError: a head was changed again meanwhile. Nothing is put back then.
    """
    inspected = inspect_audit(engine, keys, progress)
    repairable: list[Walk] = []
    refused = []
    for chain, walk in inspected.walks.items():
        if is_signed(walk.head, keys):
            continue
        if chain in inspected.outlived:
            refused.append(
                NotPutBack(chain, f"record {inspected.outlived[chain].sequence} is gone")
            )
        elif walk.names_unknown_key:
            refused.append(NotPutBack(chain, "a record names a key that is not given"))
        else:
            repairable.append(walk)
    if repairable and not dry_run:
        with engine.begin() as connection:
            _put_back(connection, keys, repairable, reason)
    return Repair(
        tuple(PutBack(walk.head.chain, walk.head.sequence, walk.last) for walk in repairable),
        tuple(refused),
    )


def _put_back(connection: Connection, keys: AuditKeys, walks: list[Walk], reason: str) -> None:
    connection.execute(text(_TRIGGER.format("DISABLE")))  # and lock out the writers
    for walk in walks:
        head = walk.head
        now = connection.execute(_LOCK, {"chain": head.chain}).one()
        if (now.sequence, bytes(now.mac), bytes(now.head_mac)) != (
            head.sequence,
            bytes(head.mac),
            bytes(head.head_mac),
        ):
            raise AuditError(f"The head of chain {head.chain} was changed meanwhile: try again.")
        connection.execute(
            _PUT_BACK,
            {
                "chain": head.chain,
                "sequence": walk.last,
                "mac": walk.last_mac,
                "key_id": keys.current.key_id,
                "head": head_mac(keys.current, head.chain, walk.last, walk.last_mac),
            },
        )
    connection.execute(text(_TRIGGER.format("ENABLE")))
    at = connection.execute(text("SELECT now()")).scalar_one()
    write_audit(
        connection,
        keys.current,
        [
            AuditEntry(
                at=at,
                action=AuditAction.UPDATE,
                outcome="done",
                subject=f"audit:chain-{walk.head.chain}",
                context={
                    "found": str(walk.head.sequence),
                    "put_back_to": str(walk.last),
                    "reason": reason,
                    **who_acts(),
                },
            )
            for walk in walks
        ],
    )
