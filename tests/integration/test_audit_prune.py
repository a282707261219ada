"""Dropping the audit's oldest months: what is left verifies, and nobody else can cut it off."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError

from migrations.runner import migrate
from models.audit import AuditEntry, AuditError, AuditKey, AuditKeys, write_audit
from models.audit_prune import DroppedMonth, prune_audit
from models.audit_verify import Misfit, verify_audit
from models.operator import who_acts
from policy.vocabulary import AuditAction
from tests.support.audits import UNLOCK
from tests.support.installation import AUDIT_KEY, Installation
from tests.support.shell import Finished, andon

KEYS = AuditKeys(AUDIT_KEY)
NEW_KEY = AuditKey("audit-new", bytes(range(32)))
RECORDS = "SELECT sequence FROM audit_records WHERE chain = 7 ORDER BY sequence"


@pytest.fixture
def owner(installation: Installation) -> Iterator[Engine]:
    """The owner's connections to an audit with six records, of six months, in one chain."""
    record(installation, *(later(months) + timedelta(days=3) for months in range(6)))
    engine = create_engine(installation.urls.owner)
    yield engine
    engine.dispose()


def later(months: int) -> datetime:
    """The first moment of a month: 0 is this month, 1 the next one."""
    now = datetime.now(UTC)
    index = now.year * 12 + now.month - 1 + months
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


def record(installation: Installation, *moments: datetime, key: AuditKey = AUDIT_KEY) -> None:
    """Append a record of each moment to chain 7."""
    with installation.superuser.begin() as others, installation.superuser.begin() as connection:
        others.execute(text("SELECT FROM audit_chains WHERE chain <> 7 FOR UPDATE"))
        entries = [AuditEntry(moment, AuditAction.APPROVE, "done") for moment in moments]
        write_audit(connection, key, entries)


def prune(owner: Engine, *, months: int = 2, at: int = 5) -> list[str]:
    """Prune as if *at* months had passed; which records of chain 7 are dropped."""
    now = later(at) + timedelta(days=10)
    return [month.name for month in prune_audit(owner, KEYS, now=now, months=months)]


def misfits(installation: Installation, keys: AuditKeys = KEYS) -> tuple[Misfit, ...]:
    """What does not fit, found with the worker's rights."""
    engine = create_engine(installation.urls.worker)
    try:
        return verify_audit(engine, keys).misfits
    finally:
        engine.dispose()


def test_what_is_left_of_the_audit_verifies(installation: Installation, owner: Engine) -> None:
    """From the anchor on; this month and those before it that are to be kept stay."""
    now = later(5) + timedelta(days=10)
    assert prune_audit(owner, KEYS, now=now, months=2) == [
        DroppedMonth(f"audit_records_{later(months):%Y_%m}", 1) for months in range(3)
    ]
    assert [n for (n,) in installation.rows(RECORDS) if n <= 6] == [4, 5, 6]
    assert misfits(installation) == ()
    record(installation, later(5))
    assert misfits(installation) == ()


def test_dropping_a_month_is_recorded(installation: Installation, owner: Engine) -> None:
    """In the audit itself: which one, how many records it had, and who did it."""
    prune(owner, months=4)
    assert installation.rows(
        "SELECT subject, context FROM audit_records WHERE action = 'delete'"
    ) == [(f"audit:{later(0):%Y-%m}", {"records": 1, **who_acts()})]


def test_months_go_one_after_the_other(installation: Installation, owner: Engine) -> None:
    """A chain's anchor moves on; a month without a record in it leaves it where it is."""
    assert len(prune(owner, months=4)) == 1
    assert len(prune(owner, months=4)) == 0
    assert len(prune(owner, months=2)) == 2
    assert misfits(installation) == ()


def test_a_beginning_cut_off_by_anybody_else_shows(
    installation: Installation, owner: Engine
) -> None:
    """No key, no anchor."""
    installation.execute(f"DROP TABLE audit_records_{later(0):%Y_%m}")
    assert misfits(installation) == (Misfit(7, 1, "is missing"),)
    with pytest.raises(AuditError, match="does not verify"):
        prune(owner)


FORGED = {
    "moved on": "UPDATE audit_anchors SET sequence = 4, mac ="
    " (SELECT mac FROM audit_records WHERE chain = 7 AND sequence = 4)",
    "changed": "UPDATE audit_anchors SET anchor_mac = mac",
}


@pytest.mark.parametrize("forged", FORGED)
def test_an_anchor_that_was_changed_is_named(
    forged: str, installation: Installation, owner: Engine
) -> None:
    """So a chain cannot be made to begin later, without the key."""
    prune(owner)
    installation.execute(FORGED[forged])
    assert Misfit(7, None, "has an anchor that was changed") in misfits(installation)


def test_an_anchor_that_is_gone_leaves_a_gap(installation: Installation, owner: Engine) -> None:
    """The chain begins with its first record again, and that is missing."""
    prune(owner)
    installation.execute(
        "ALTER TABLE audit_anchors DISABLE TRIGGER USER", "DELETE FROM audit_anchors"
    )
    assert misfits(installation) == (Misfit(7, 1, "is missing"),)


def test_nothing_is_dropped_of_an_audit_that_does_not_verify(
    installation: Installation, owner: Engine
) -> None:
    """An anchor would make good what was changed before it."""
    installation.execute(UNLOCK, "UPDATE audit_records SET actor = 'x' WHERE sequence = 2")
    with pytest.raises(AuditError, match="does not verify"):
        prune(owner)
    assert len(installation.rows(RECORDS)) == 6


def test_a_record_that_follows_a_younger_one_is_kept(
    installation: Installation, owner: Engine
) -> None:
    """Its clock was behind. It goes when what it follows is old enough, too."""
    record(installation, later(0) + timedelta(days=4), later(6))
    prune(owner, months=3)
    where = "SELECT sequence FROM audit_records_default WHERE sequence <= 8 ORDER BY sequence"
    assert installation.rows(where) == [(7,)]
    assert [n for (n,) in installation.rows(RECORDS) if n <= 8] == [3, 4, 5, 6, 7, 8]
    assert misfits(installation) == ()
    prune(owner, months=1, at=7)
    assert installation.rows(where) == []
    assert [n for (n,) in installation.rows(RECORDS) if n <= 8] == [8]
    assert misfits(installation) == ()
    with pytest.raises(ProgrammingError, match="never changed"), owner.begin() as connection:
        connection.execute(text("DELETE FROM audit_records_default"))


def test_a_chain_whose_first_record_is_the_youngest_keeps_all_of_them(
    installation: Installation, owner: Engine
) -> None:
    """Its clock was ahead; the other chains lose their beginning all the same."""
    with installation.superuser.begin() as others, installation.superuser.begin() as connection:
        others.execute(text("SELECT FROM audit_chains WHERE chain <> 8 FOR UPDATE"))
        entries = [
            AuditEntry(moment, AuditAction.APPROVE, "done") for moment in (later(40), later(0))
        ]
        write_audit(connection, AUDIT_KEY, entries)
    prune(owner, months=3)
    found = installation.rows("SELECT chain, sequence FROM audit_anchors")
    assert found == [(7, 2)]
    assert installation.rows("SELECT count(*) FROM audit_records WHERE chain = 8")[0][0] >= 2
    assert misfits(installation) == ()


def test_a_new_key_signs_the_anchors_too(installation: Installation, owner: Engine) -> None:
    """A retired key may not move a chain's beginning."""
    prune(owner)
    keys = AuditKeys(NEW_KEY, (AUDIT_KEY,))
    assert len([each for each in misfits(installation, keys) if "anchor" in each.message]) == 1
    migrate(
        installation.urls.owner,
        worker_role="andon_worker",
        audit_key=NEW_KEY,
        retired_keys=[AUDIT_KEY],
    )
    assert misfits(installation, keys) == ()


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_anchors SET sequence = 9", "DELETE FROM audit_anchors"]
)
def test_the_worker_s_role_moves_no_anchor(installation: Installation, statement: str) -> None:
    """It may read them, to verify."""
    engine = create_engine(installation.urls.worker)
    with pytest.raises(ProgrammingError, match="permission denied"), engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_two_do_not_drop_at_once(installation: Installation, owner: Engine, tmp_path: Path) -> None:
    """The second says so and drops nothing; when the first is done, it is free to."""
    settings = installation.environment() | {"ANDON_AUDIT_RETENTION_MONTHS": "1"}

    def again() -> Finished:
        return andon("audit", "prune", settings=settings, directory=tmp_path)

    meanwhile = []
    now = later(5) + timedelta(days=10)
    dropped = prune_audit(
        owner, KEYS, now=now, months=2, progress=lambda *_: meanwhile.append(again())
    )
    assert len(dropped) == 3
    assert {found.code for found in meanwhile} == {1}
    assert "Another `andon audit prune` is under way" in meanwhile[0].stderr
    assert misfits(installation) == ()
    assert again().code == 0


def test_what_the_gateway_s_role_locks_keeps_nobody_from_pruning(
    installation: Installation, owner: Engine
) -> None:
    """An advisory lock is anybody's; the turn is a row that the owner alone may lock."""
    installation.execute("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO andon_gateway")
    gateway = create_engine(installation.urls.gateway)
    with gateway.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(hashtext('andon audit prune'))"))
        assert len(prune(owner)) == 3
    for url in (installation.urls.gateway, installation.urls.worker):
        engine = create_engine(url)
        refusal = pytest.raises(ProgrammingError, match="permission denied")
        with refusal, engine.begin() as asking:
            asking.execute(text("SET TRANSACTION READ WRITE"))  # not the gateway's default
            asking.execute(text("SELECT FROM turns FOR UPDATE"))
        engine.dispose()
    gateway.dispose()


CLOCK_AHEAD = """
import datetime, sys
import console.audit

class Ahead(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(days=400)

console.audit.datetime = Ahead
from console.app import main
main()
"""


def test_months_are_counted_by_postgresql_s_clock(
    installation: Installation, owner: Engine, tmp_path: Path
) -> None:
    """A host whose clock is a year ahead drops nothing that is not old."""
    settings = installation.environment() | {"ANDON_AUDIT_RETENTION_MONTHS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", CLOCK_AHEAD, "audit", "prune"],
        env=os.environ | settings,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (found.returncode, found.stdout) == (0, "No month is old enough.\n"), found.stderr
    with owner.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_records")).scalar_one() == 6


def test_without_a_retention_the_command_drops_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    """It says which setting to set; with one that nothing is older than, it says that."""
    settings = installation.environment()
    found = andon("audit", "prune", settings=settings, directory=tmp_path)
    assert (found.code, "ANDON_AUDIT_RETENTION_MONTHS" in found.stderr) == (2, True)
    settings |= {"ANDON_AUDIT_RETENTION_MONTHS": "1"}
    for option in ([], ["--dry-run"]):
        found = andon("audit", "prune", *option, settings=settings, directory=tmp_path)
        assert (found.code, found.stdout) == (0, "No month is old enough.\n")
