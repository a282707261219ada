"""The audit's chains vouch for each other: one that is put back to an older state shows."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text

from models.audit import AuditEntry, AuditKeys, write_audit
from models.audit_verify import Misfit, verify_audit
from models.audit_witness import NOTHING, pack_witness, tags_digest, unpack_witness
from policy.vocabulary import AuditAction
from tests.support.audits import UNLOCK
from tests.support.installation import AUDIT_KEY, Installation

HEAD = "SELECT sequence, mac, key_id, head_mac FROM audit_chains WHERE chain = 7"


@pytest.fixture
def owner(installation: Installation) -> Iterator[Engine]:
    """Connections of somebody who may do anything to the database, but has not the key."""
    installation.execute(UNLOCK)
    engine = create_engine(installation.urls.superuser)
    yield engine
    engine.dispose()


def record(installation: Installation, chain: int, records: int = 1) -> None:
    """Append records to one chain, in one transaction."""
    with installation.superuser.begin() as others, installation.superuser.begin() as connection:
        others.execute(
            text("SELECT FROM audit_chains WHERE chain <> :chain FOR UPDATE"), {"chain": chain}
        )
        moment = connection.execute(text("SELECT now()")).scalar_one()
        entries = [AuditEntry(moment, AuditAction.APPROVE, "done")] * records
        write_audit(connection, AUDIT_KEY, entries)


def put_back(installation: Installation, owner: Engine) -> None:
    """Cut off the end of chain 7 and put back the head that it had before, which is genuine."""
    record(installation, 7, 3)
    (old,) = installation.rows(HEAD)
    record(installation, 7, 2)
    record(installation, 8)  # a chain that has gone on
    with owner.begin() as connection:
        connection.execute(
            text("DELETE FROM audit_records WHERE chain = 7 AND sequence > :last"),
            {"last": old.sequence},
        )
        connection.execute(
            text(
                "UPDATE audit_chains SET sequence = :sequence, mac = :mac, key_id = :key_id,"
                " head_mac = :head_mac WHERE chain = 7"
            ),
            old._asdict(),
        )


def misfits(installation: Installation) -> tuple[Misfit, ...]:
    """What does not fit."""
    return verify_audit(installation.superuser, AuditKeys(AUDIT_KEY)).misfits


def test_a_chain_cut_off_with_its_old_head_put_back_is_named(
    installation: Installation, owner: Engine
) -> None:
    """It fits itself; but another chain has a record from when there was more of it."""
    put_back(installation, owner)
    assert misfits(installation) == (
        Misfit(7, 4, "is missing: chain 8's record 1 was written after it"),
    )


@pytest.mark.parametrize("records", [1, 2, 5])
def test_a_chain_put_back_that_has_gone_on_is_named(
    records: int, installation: Installation, owner: Engine
) -> None:
    """Other records have the numbers of those that are gone: their MACs are others."""
    put_back(installation, owner)
    record(installation, 7, records)
    record(installation, 9)
    (misfit,) = misfits(installation)
    assert misfit.chain == 7
    assert "chain 8's record 1 was written after" in misfit.message


def test_chains_that_only_go_on_verify(installation: Installation) -> None:
    """Whichever of them, and in whatever order."""
    for chain in (7, 8, 7, 9, 9, 8, 63, 0):
        record(installation, chain, 2)
    assert misfits(installation) == ()


def test_only_the_first_record_of_a_transaction_says_how_far_the_chains_had_come(
    installation: Installation,
) -> None:
    """A record is small; the rest of its transaction follows it anyway."""
    record(installation, 7, 3)
    rows = installation.rows("SELECT witness FROM audit_records ORDER BY sequence")
    assert [row.witness is None for row in rows] == [False, True, True]
    assert len(rows[0].witness) < 256


@pytest.mark.parametrize("last", [3, 2**16 + 7, 2**33, 2**62])
def test_a_witness_is_read_as_it_was_written(last: int) -> None:
    """However far apart the chains are."""
    sequences = [*range(63), last]
    tags = [NOTHING, *(bytes([n] * 8) for n in range(1, 64))]
    witness = unpack_witness(pack_witness(sequences, tags))
    assert witness.sequences == tuple(sequences)
    assert witness.digest == tags_digest(tags)
    assert witness.marks == bytes(range(64))


def test_what_is_no_witness_is_refused() -> None:
    """Whatever its length."""
    for length in (0, 1, 87, 89, 500):
        with pytest.raises(ValueError, match="no witness"):
            unpack_witness(bytes(length))
