"""Heads that somebody moved: the other chains go on, it is told, and the owner puts them back."""
# the statements are the test's own

import pytest
from sqlalchemy import create_engine, text

from models.audit import AuditEntry, AuditKeys, write_audit
from models.audit_verify import verify_audit
from policy.vocabulary import AuditAction
from tasks.faults import Outage
from tests.support.audits import UNLOCK
from tests.support.command import andon, document
from tests.support.installation import AUDIT_KEY, Installation
from tests.support.requests import delivery, event, report

FORWARD = "UPDATE audit_chains SET sequence = sequence + 1000"
GARBLED = "UPDATE audit_chains SET head_mac = mac, sequence = sequence + 1, mac = head_mac"


def as_worker(installation: Installation, statement: str) -> None:
    """Run a statement with the rights of the worker's role."""
    engine = create_engine(installation.urls.worker)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def record(installation: Installation, chain: int) -> None:
    """Append a record to a chain."""
    with installation.superuser.begin() as others, installation.superuser.begin() as connection:
        others.execute(
            text("SELECT FROM audit_chains WHERE chain <> :chain FOR UPDATE"), {"chain": chain}
        )
        moment = connection.execute(text("SELECT now()")).scalar_one()
        write_audit(connection, AUDIT_KEY, [AuditEntry(moment, AuditAction.APPROVE, "done")])


def do(installation: Installation, requests: int = 1) -> None:
    """Have requests done, each in a transaction of its own."""
    for _ in range(requests):
        installation.process(delivery(event("report_incident", report())))


def misfits(installation: Installation) -> list[int]:
    """The chains that do not fit."""
    found = verify_audit(installation.superuser, AuditKeys(AUDIT_KEY))
    return sorted({each.chain for each in found.misfits})


@pytest.mark.parametrize("change", [FORWARD, GARBLED])
def test_a_head_that_somebody_moved_keeps_nobody_from_going_on(
    change: str, installation: Installation
) -> None:
    """As long as one head is genuine, requests are done and recorded in its chain."""
    as_worker(installation, f"{change} WHERE chain <> 5")
    do(installation, 5)
    assert installation.rows("SELECT DISTINCT chain FROM audit_records") == [(5,)]
    assert misfits(installation) == [chain for chain in range(64) if chain != 5]


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_migrate_says_which_heads_are_not_genuine(
    options: tuple[str, ...], installation: Installation
) -> None:
    """Exit code 1, until they are."""
    environment = installation.environment()
    assert andon("migrate", *options, env=environment).exit_code == 0
    as_worker(installation, f"{FORWARD} WHERE chain IN (3, 4)")
    told = andon("migrate", *options, env=environment)
    assert told.exit_code == 1
    assert "these chains are not continued: 3, 4. See `andon audit verify`" in told.stderr.replace(
        "\n", " "
    )


@pytest.mark.parametrize("change", [FORWARD, GARBLED])
def test_the_owner_puts_heads_back_and_that_is_recorded(
    change: str, installation: Installation
) -> None:
    """Everything goes on, verifies, and says who did it and why."""
    do(installation, 3)
    as_worker(installation, change)
    with pytest.raises(Outage, match="audit repair"):
        do(installation)
    environment = installation.environment()
    rehearsed = andon("audit", "repair", "--reason", "Moved", "--dry-run", env=environment)
    assert (rehearsed.exit_code, misfits(installation)) == (0, list(range(64)))
    done = andon("audit", "repair", "--reason", "Moved", "--json", env=environment)
    assert done.exit_code == 0, done.stderr
    assert len(document(done)["put_back"]) == 64
    assert andon("audit", "verify", env=environment).exit_code == 0
    do(installation)
    contexts = installation.rows(
        "SELECT context FROM audit_records WHERE subject LIKE 'audit:chain-%'"
    )
    assert len(contexts) == 64
    assert {context["reason"] for (context,) in contexts} == {"Moved"}
    assert all(context["account"] and context["host"] for (context,) in contexts)
    again = andon("audit", "repair", "--reason", "Moved", env=environment)
    assert (again.exit_code, again.stdout) == (0, "Every head is genuine.\n")


def test_a_head_is_not_put_back_where_records_are_gone(installation: Installation) -> None:
    """It would make good that somebody cut them off."""
    record(installation, 7)
    record(installation, 7)
    record(installation, 8)
    installation.execute(
        UNLOCK,
        "DELETE FROM audit_records WHERE chain = 7 AND sequence = 2",
        f"{GARBLED} WHERE chain IN (7, 9)",
    )
    done = andon("audit", "repair", "--reason", "Cut", env=installation.environment())
    assert done.exit_code == 1
    assert "Chain 7: its head stays as it is, since record 2 is gone." in done.stderr
    assert "Chain 9: its head was put back to record 0" in done.stdout
    assert misfits(installation) == [7]


def test_a_record_that_nobody_signed_does_not_keep_a_head_from_being_put_back(
    installation: Installation,
) -> None:
    """The worker's role can insert one and move the head to it; it stays, and is named."""
    record(installation, 7)
    as_worker(
        installation,
        "INSERT INTO audit_records (chain, sequence, at, action, outcome, context, key_id, mac)"
        " SELECT 7, 2, now(), 'delete', 'done', '{}', key_id, mac FROM audit_records",
    )
    as_worker(installation, f"{GARBLED} WHERE chain = 7")
    done = andon("audit", "repair", "--reason", "Forged", env=installation.environment())
    assert done.exit_code == 0, done.stderr
    record(installation, 7)
    record(installation, 7)
    found = verify_audit(installation.superuser, AuditKeys(AUDIT_KEY))
    assert [(each.chain, each.sequence) for each in found.misfits] == [(7, 2)]


def test_only_the_owner_puts_heads_back(installation: Installation) -> None:
    """The worker's role moves heads on, and cannot take away what keeps it from more."""
    as_worker(installation, f"{FORWARD} WHERE chain = 3")
    environment = installation.environment()
    environment["ANDON_OWNER_DATABASE_URL"] = environment["ANDON_DATABASE_URL"]
    assert andon("audit", "repair", "--reason", "Moved", env=environment).exit_code == 3
    assert misfits(installation) == [3]
