"""The heads of the audit's chains: opened in a new database, signed again after a change of key.

Both are `andon migrate`'s. Nothing here signs what it cannot vouch for: whoever empties the audit,
or puts an old head in the place of the new one, must not have it made good by the next migration.
"""

import hmac
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from models.audit import (
    GENESIS,
    AuditEntry,
    AuditError,
    AuditKey,
    AuditKeys,
    head_mac,
    write_audit,
)
from models.audit_anchors import sign_anchors
from models.clock import database_now
from models.operator import who_acts
from models.tables import AUDIT_CHAINS
from policy.vocabulary import AuditAction

_CHAINS = text("SELECT chain FROM audit_chains")
# The ledger may be pruned; incidents are kept for ever.
_IN_USE = text("""
    SELECT EXISTS (SELECT FROM audit_records) OR EXISTS (SELECT FROM requests)
        OR EXISTS (SELECT FROM incidents) OR EXISTS (SELECT FROM audit_anchors)
""")
_OPEN = text("""
    INSERT INTO audit_chains (chain, sequence, mac, key_id, head_mac)
    VALUES (:chain, 0, :mac, :key_id, :head)
""")


def prepare_heads(connection: Connection, keys: AuditKeys) -> frozenset[str]:
    """Have every chain begin and end with a head that carries the current key.

    Returns:
        The retired keys that heads carried before; empty if nothing was signed again.

    Raises:
        AuditError: heads are missing in a database that has been used, or cannot be vouched for.
    """
    _open_chains(connection, keys)
    return _sign_again(connection, keys)


def _open_chains(connection: Connection, keys: AuditKeys) -> None:
    """Begin the chains of a new database, with heads that say they are empty."""
    there = set(connection.execute(_CHAINS).scalars())
    missing = set(range(AUDIT_CHAINS)) - there
    if not missing:
        return
    if there or connection.execute(_IN_USE).scalar_one():
        raise AuditError(
            f"The audit's heads are missing for {_chains(missing)}, and the database is not new."
            " None is made: bring them back from a backup, and see `andon audit verify`."
        )
    connection.execute(
        _OPEN,
        [
            {
                "chain": chain,
                "mac": GENESIS,
                "key_id": keys.current.key_id,
                "head": head_mac(keys.current, chain, 0, GENESIS),
            }
            for chain in range(AUDIT_CHAINS)
        ],
    )


_HEADS = text("SELECT chain, sequence, mac, key_id, head_mac FROM audit_chains ORDER BY chain")


def wrong_heads(connection: Connection, keys: AuditKeys) -> tuple[int, ...]:
    """The chains whose heads are missing or not genuine under any key: they are not continued."""
    genuine = {head.chain for head in connection.execute(_HEADS) if _is_genuine(head, keys)}
    return tuple(chain for chain in range(AUDIT_CHAINS) if chain not in genuine)


_LOCKED = text(
    "SELECT chain, sequence, mac, key_id, head_mac FROM audit_chains ORDER BY chain FOR UPDATE"
)
# Reads the whole audit, but only when the key has changed.
_HAS_SIGNED = text("SELECT EXISTS (SELECT FROM audit_records WHERE key_id = :key_id)")
_SIGN = text("UPDATE audit_chains SET key_id = :key_id, head_mac = :head WHERE chain = :chain")


def _sign_again(connection: Connection, keys: AuditKeys) -> frozenset[str]:
    """Put the current key on all heads at once, if all carry a retired one and are genuine.

    Raises:
        AuditError: one is not genuine, or some carry the current key already: then an old head
            was put back, since all are signed in one transaction.
    """
    current = keys.current
    heads = connection.execute(_LOCKED).all()
    former = [head for head in heads if head.key_id != current.key_id]
    if not former:
        return frozenset()
    if len(former) < len(heads):
        raise AuditError(
            f"The heads of {_chains({head.chain for head in former})} carry another key than the"
            f" rest, which carry {current.key_id!r}: nothing is signed, see `andon audit verify`."
        )
    if faulty := [head for head in former if not _is_genuine(head, keys)]:
        raise AuditError(
            f"The heads of {_chains({head.chain for head in faulty})} do not fit any key in"
            " ANDON_RETIRED_AUDIT_KEYS: nothing is signed."
        )
    if connection.execute(_HAS_SIGNED, {"key_id": current.key_id}).scalar_one():
        raise AuditError(
            f"The audit key {current.key_id!r} was in use before: a key that was retired does not"
            " come back. Make a new one, with a new name."
        )
    sign_heads(connection, keys, former)
    sign_anchors(connection, keys)
    former_keys = frozenset(head.key_id for head in former)
    write_audit(connection, current, [_record(connection, current, former_keys)])
    return former_keys


def _record(connection: Connection, current: AuditKey, former: frozenset[str]) -> AuditEntry:
    return AuditEntry(
        at=database_now(connection),
        action=AuditAction.UPDATE,
        outcome="done",
        subject="audit:heads",
        context={"key": current.key_id, "former_keys": sorted(former), **who_acts()},
    )


def sign_heads(connection: Connection, keys: AuditKeys, heads: Sequence[Row[Any]]) -> None:
    """Put the current key on *heads*, whatever they carried."""
    current = keys.current
    connection.execute(
        _SIGN,
        [
            {
                "chain": head.chain,
                "key_id": current.key_id,
                "head": head_mac(current, head.chain, head.sequence, bytes(head.mac)),
            }
            for head in heads
        ],
    )


def _is_genuine(head: Row[Any], keys: AuditKeys) -> bool:
    key = keys.get(head.key_id)
    if key is None:
        return False
    mac = head_mac(key, head.chain, head.sequence, bytes(head.mac))
    return hmac.compare_digest(mac, bytes(head.head_mac))


def _chains(numbers: set[int]) -> str:
    if len(numbers) == AUDIT_CHAINS:
        return "all chains"
    return f"chain{'s' * (len(numbers) > 1)} {', '.join(map(str, sorted(numbers)))}"
