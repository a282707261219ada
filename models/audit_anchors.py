"""Where the audit's chains begin, once their oldest months have been dropped.

An anchor says which record of a chain was the last one dropped, and its MAC, which the next record
follows. It is signed under a domain of its own, with the current key: whoever has not the key
cannot let a chain begin later than it does. It also says how many of the records dropped said of a
message that it was done, halted or a duplicate, so that the tallies can still be compared.
"""

import hmac
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, text

from models.audit import AuditError, AuditKey, AuditKeys
from models.canonical import canonical_json

_DOMAIN = b"andon audit anchor 1\0"


class Dropped(NamedTuple):
    """How many of the records that a chain has lost said this of a message."""

    done: int = 0
    halted: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last record of a chain that was dropped, and what was dropped with it and before."""

    chain: int
    sequence: int
    mac: bytes
    key_id: str
    anchor_mac: bytes
    dropped: Dropped


def anchor_mac(key: AuditKey, chain: int, sequence: int, mac: bytes, dropped: Dropped) -> bytes:
    """The MAC of an anchor: that a chain begins after the record numbered *sequence*."""
    said = canonical_json([chain, sequence, mac.hex(), key.key_id, *dropped])
    return hmac.digest(key.secret, _DOMAIN + said, "sha256")


def is_genuine(anchor: Anchor, key: AuditKey) -> bool:
    """Whether the anchor was signed with *key*, as it is."""
    expected = anchor_mac(key, anchor.chain, anchor.sequence, anchor.mac, anchor.dropped)
    return hmac.compare_digest(expected, anchor.anchor_mac)


_READ = text("""
    SELECT chain, sequence, mac, key_id, anchor_mac, done, halted, duplicates
    FROM audit_anchors ORDER BY chain
""")
_WRITE = text("""
    INSERT INTO audit_anchors (chain, sequence, mac, key_id, anchor_mac, done, halted, duplicates)
    VALUES (:chain, :sequence, :mac, :key_id, :anchor_mac, :done, :halted, :duplicates)
    ON CONFLICT (chain) DO UPDATE SET sequence = EXCLUDED.sequence, mac = EXCLUDED.mac,
        key_id = EXCLUDED.key_id, anchor_mac = EXCLUDED.anchor_mac, done = EXCLUDED.done,
        halted = EXCLUDED.halted, duplicates = EXCLUDED.duplicates
""")


def read_anchors(connection: Connection) -> dict[int, Anchor]:
    """The anchors of the chains that have lost their beginning, by chain."""
    return {
        chain: Anchor(chain, sequence, bytes(mac), key_id, bytes(signed), Dropped(*dropped))
        for chain, sequence, mac, key_id, signed, *dropped in connection.execute(_READ)
    }


def write_anchor(
    connection: Connection,
    key: AuditKey,
    *,
    chain: int,
    sequence: int,
    mac: bytes,
    dropped: Dropped,
) -> None:
    """Let a chain begin after the record numbered *sequence*.

    *dropped* is what it has lost altogether.
    """
    connection.execute(
        _WRITE,
        {
            "chain": chain,
            "sequence": sequence,
            "mac": mac,
            "key_id": key.key_id,
            "anchor_mac": anchor_mac(key, chain, sequence, mac, dropped),
            **dropped._asdict(),
        },
    )


def sign_anchors(connection: Connection, keys: AuditKeys) -> None:
    """Put the current key on all anchors, each only if it is genuine.

    Raises:
        AuditError: one fits no key that is known. Nothing may be signed then.
    """
    for anchor in read_anchors(connection).values():
        key = keys.get(anchor.key_id)
        if key is None or not is_genuine(anchor, key):
            raise AuditError(
                f"The anchor of the audit's chain {anchor.chain} fits no key in"
                " ANDON_RETIRED_AUDIT_KEYS: nothing is signed."
            )
        write_anchor(
            connection,
            keys.current,
            chain=anchor.chain,
            sequence=anchor.sequence,
            mac=anchor.mac,
            dropped=anchor.dropped,
        )
