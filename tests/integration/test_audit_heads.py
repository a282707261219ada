"""The audit's heads: made in a new database alone, and extended only if genuine."""

from collections.abc import Sequence

import pytest
from sqlalchemy import create_engine, text

from migrations.runner import Migrated, migrate
from models.audit import AuditEntry, AuditError, AuditKey, AuditKeys, write_audit
from models.audit_verify import verify_audit
from models.operator import who_acts
from policy.vocabulary import AuditAction
from tasks.faults import Fault, Outage, fault_of
from tests.support.audits import UNLOCK
from tests.support.installation import AUDIT_KEY, Installation
from tests.support.requests import delivery, event, report

NEW_KEY = AuditKey("audit-new", bytes(range(32)))


def migrated(
    installation: Installation, key: AuditKey = AUDIT_KEY, retired: Sequence[AuditKey] = ()
) -> Migrated:
    """Migrate the installation's database."""
    return migrate(
        installation.urls.owner, worker_role="andon_worker", audit_key=key, retired_keys=retired
    )


def do_one(installation: Installation) -> None:
    """Have one request done, and recorded."""
    installation.process(delivery(event("report_incident", report())))


EMPTIED = {
    "everything": ["TRUNCATE audit_records", "TRUNCATE audit_chains"],
    "the heads": ["TRUNCATE audit_chains"],
    "one head": ["DELETE FROM audit_chains WHERE chain = 7"],
    "the audit and the ledger": ["TRUNCATE audit_records, audit_chains, requests"],
}


@pytest.mark.parametrize("emptied", EMPTIED)
def test_an_emptied_audit_is_not_signed_again(emptied: str, installation: Installation) -> None:
    """Migrate names what is missing and makes none of it, so that it goes on not to verify."""
    do_one(installation)
    installation.execute(UNLOCK, *EMPTIED[emptied])
    left = installation.rows("SELECT count(*) FROM audit_chains")
    with pytest.raises(AuditError, match="chain 7," if emptied == "one head" else "all chains,"):
        migrated(installation)
    assert installation.rows("SELECT count(*) FROM audit_chains") == left
    engine = create_engine(installation.urls.worker)
    found = verify_audit(engine, AuditKeys(AUDIT_KEY))
    engine.dispose()
    assert "is missing" in {each.message for each in found.misfits if each.sequence is None}


def test_one_missing_head_is_missed_in_an_unused_database(installation: Installation) -> None:
    """All are made at once, so a gap is no beginning."""
    installation.execute(UNLOCK, "DELETE FROM audit_chains WHERE chain IN (3, 4)")
    with pytest.raises(AuditError, match="chains 3, 4,"):
        migrated(installation)


FORGED = {
    "number": "UPDATE audit_chains SET sequence = sequence + 5",
    "last record": "UPDATE audit_chains SET mac = head_mac",
    "signature": "UPDATE audit_chains SET head_mac = mac",
    "key": "UPDATE audit_chains SET key_id = 'audit-other'",
    "absence": "DELETE FROM audit_chains",
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_head_that_is_not_genuine_is_never_extended(
    forged: str, installation: Installation
) -> None:
    """It is an outage: nothing is done or halted, and the request goes through later."""
    installation.execute(UNLOCK, FORGED[forged])
    with pytest.raises(Outage, match="audit"):
        do_one(installation)
    for table in ("audit_records", "requests", "halts", "incidents"):
        assert installation.rows(f"SELECT FROM {table}") == [], table  # ours


def test_the_fault_is_an_outage() -> None:
    """Whoever runs into it waits."""
    assert fault_of(AuditError("The head was changed.")) is Fault.OUTAGE


def test_migrate_signs_the_heads_again_after_a_change_of_key(installation: Installation) -> None:
    """Once; the worker goes on with the new key, and one with the old key writes nothing more."""
    do_one(installation)
    assert migrated(installation, NEW_KEY, [AUDIT_KEY]).former_keys == ("audit-test",)
    assert migrated(installation, NEW_KEY, [AUDIT_KEY]).former_keys == ()
    with pytest.raises(Outage, match="`andon migrate` after changing the key"):
        do_one(installation)
    with installation.superuser.begin() as connection:
        moment = connection.execute(text("SELECT now()")).scalar_one()
        write_audit(connection, NEW_KEY, [AuditEntry(moment, AuditAction.APPROVE, "done")])
    found = verify_audit(installation.superuser, AuditKeys(NEW_KEY, (AUDIT_KEY,)))
    assert (found.records, found.misfits) == (3, ())
    (signed,) = installation.rows("SELECT context FROM audit_records WHERE subject = 'audit:heads'")
    assert signed.context == {"key": "audit-new", "former_keys": ["audit-test"], **who_acts()}


def test_a_key_that_is_not_retired_but_gone_is_missed(installation: Installation) -> None:
    """Without the old key nobody can tell whether a head is genuine."""
    with pytest.raises(AuditError, match="all chains do not fit any key"):
        migrated(installation, NEW_KEY)


def test_a_head_that_was_changed_is_not_signed_again(installation: Installation) -> None:
    """A change of key makes nothing good; and none is signed as long as one is wrong."""
    installation.execute(UNLOCK, "UPDATE audit_chains SET sequence = 9 WHERE chain = 5")
    with pytest.raises(AuditError, match="chain 5 do not fit"):
        migrated(installation, NEW_KEY, [AUDIT_KEY])
    assert installation.rows("SELECT DISTINCT key_id FROM audit_chains") == [("audit-test",)]


def test_an_old_head_put_back_is_not_signed_again(installation: Installation) -> None:
    """All were signed together: a head under the old key was put there since."""
    (old,) = installation.rows("SELECT head_mac FROM audit_chains WHERE chain = 5")
    migrated(installation, NEW_KEY, [AUDIT_KEY])
    with installation.superuser.begin() as connection:
        connection.execute(
            text("UPDATE audit_chains SET head_mac = :mac, key_id = 'audit-test' WHERE chain = 5"),
            {"mac": old.head_mac},
        )
    with pytest.raises(AuditError, match="chain 5 carry another key than the rest"):
        migrated(installation, NEW_KEY, [AUDIT_KEY])


def test_a_retired_key_does_not_come_back(installation: Installation) -> None:
    """Its records would stand before and after those of another one."""
    do_one(installation)
    migrated(installation, NEW_KEY, [AUDIT_KEY])
    with pytest.raises(AuditError, match="does not come back"):
        migrated(installation, AUDIT_KEY, [NEW_KEY])
