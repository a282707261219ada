"""Where the audit's chains begin, once their oldest months have been dropped.

An anchor says which record of a chain was the last one dropped, and its MAC, which the next record
follows. It is signed under a domain of its own, with the current key: whoever has not the key
cannot let a chain begin later than it does.
"""

import hmac
from dataclasses import dataclass

from sqlalchemy import Connection, text

from models.audit import AuditError, AuditKey, AuditKeys
from models.canonical import canonical_json

_DOMAIN = b"andon audit anchor 1\0"


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last record of a chain that was dropped."""

    chain: int
    sequence: int
    mac: bytes
    key_id: str
    anchor_mac: bytes


def anchor_mac(key: AuditKey, chain: int, sequence: int, mac: bytes) -> bytes:
    """The MAC of an anchor: that a chain begins after the record numbered *sequence*."""
    said = canonical_json([chain, sequence, mac.hex(), key.key_id])
    return hmac.digest(key.secret, _DOMAIN + said, "sha256")


def is_genuine(anchor: Anchor, key: AuditKey) -> bool:
    """Whether the anchor was signed with *key*, as it is."""
    expected = anchor_mac(key, anchor.chain, anchor.sequence, anchor.mac)
    return hmac.compare_digest(expected, anchor.anchor_mac)


_READ = text("SELECT chain, sequence, mac, key_id, anchor_mac FROM audit_anchors ORDER BY chain")
_WRITE = text("""
    INSERT INTO audit_anchors (chain, sequence, mac, key_id, anchor_mac)
    VALUES (:chain, :sequence, :mac, :key_id, :anchor_mac)
    ON CONFLICT (chain) DO UPDATE SET sequence = EXCLUDED.sequence, mac = EXCLUDED.mac,
        key_id = EXCLUDED.key_id, anchor_mac = EXCLUDED.anchor_mac
""")


def read_anchors(connection: Connection) -> dict[int, Anchor]:
    """The anchors of the chains that have lost their beginning, by chain."""
    return {row.chain: Anchor(**row._asdict()) for row in connection.execute(_READ)}


def write_anchor(
    connection: Connection, key: AuditKey, *, chain: int, sequence: int, mac: bytes
) -> None:
    """Let a chain begin after the record numbered *sequence*."""
    connection.execute(
        _WRITE,
        {
            "chain": chain,
            "sequence": sequence,
            "mac": mac,
            "key_id": key.key_id,
            "anchor_mac": anchor_mac(key, chain, sequence, mac),
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
        )
