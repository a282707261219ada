"""What the first record of each transaction says of all chains: how far each of them had come.

A chain whose end was cut off, and whose old head was put back, fits itself. The records of the
other chains that were written since do not fit it any more: each transaction's first record
carries, under its MAC, the numbers of all 64 heads and a digest of their MACs. What one
transaction wrote is so vouched for by every later one, in whichever chain.

The form is compact, since it is written with every transaction, however small: the digest, the
first byte of each MAC, by which the chain at fault is named, the smallest of the numbers, and how
far each number lies above it in two, four or eight bytes.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from models.tables import AUDIT_CHAINS

TAG_BYTES = 8
"""How much of a record's MAC stands for it here."""

NOTHING = bytes(TAG_BYTES)
"""Stands for a chain of which nothing genuine was seen; and what its first record follows."""

_DIGEST_BYTES = 16
_BEFORE_NUMBERS = struct.Struct(f">{_DIGEST_BYTES}s{AUDIT_CHAINS}sq")
_NUMBERS = {
    size: struct.Struct(f">{AUDIT_CHAINS}{letter}")
    for size, letter in ((2, "H"), (4, "I"), (8, "Q"))
}


class Witness(NamedTuple):
    """How far each chain had come, as one transaction saw it.

    Attributes:
        sequences: the number of each chain's last record.
        digest: of the tags of these records, in the order of the chains.
        marks: the first byte of each tag.
    """

    sequences: tuple[int, ...]
    digest: bytes
    marks: bytes


def tags_digest(tags: Sequence[bytes]) -> bytes:
    """The digest of the tags of all chains."""
    return blake2b(b"".join(tags), digest_size=_DIGEST_BYTES).digest()


def pack_witness(sequences: Sequence[int], tags: Sequence[bytes]) -> bytes:
    """A witness in its compact form: a number and a tag for each chain."""
    least = min(sequences)
    above = max(sequences) - least
    numbers = _NUMBERS[2 if above < 1 << 16 else 4 if above < 1 << 32 else 8]
    marks = bytes([tag[0] for tag in tags])
    return _BEFORE_NUMBERS.pack(tags_digest(tags), marks, least) + numbers.pack(
        *[sequence - least for sequence in sequences]
    )


def unpack_witness(packed: bytes) -> Witness:
    """The witness of a record.

    Raises:
        ValueError: it is none.
    """
    size, rest = divmod(len(packed) - _BEFORE_NUMBERS.size, AUDIT_CHAINS)
    if rest or size not in _NUMBERS:
        raise ValueError("this is no witness")
    digest, marks, least = _BEFORE_NUMBERS.unpack_from(packed)
    above = _NUMBERS[size].unpack_from(packed, _BEFORE_NUMBERS.size)
    return Witness(tuple([least + number for number in above]), digest, marks)
