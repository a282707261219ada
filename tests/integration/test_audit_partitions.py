"""The audit's partitions: made ahead, one for each month, and as final as the table itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError

from migrations.runner import differences, migrate
from models.audit import AuditEntry, AuditKeys, write_audit
from models.audit_partitions import make_partitions
from models.audit_verify import verify_audit
from policy.vocabulary import AuditAction
from tests.support.installation import AUDIT_KEY, Installation

PARTITIONS = """
    SELECT relid::regclass::text FROM pg_partition_tree('audit_records')
    WHERE isleaf ORDER BY 1
"""
WHERE = "SELECT tableoid::regclass::text, at FROM audit_records ORDER BY at"


@pytest.fixture
def worker(installation: Installation) -> Iterator[Engine]:
    """Connections with the worker's rights."""
    engine = create_engine(installation.urls.worker)
    yield engine
    engine.dispose()


def name_of(month: datetime) -> str:
    """The partition of a month."""
    return f"audit_records_{month:%Y_%m}"


def later(months: int) -> datetime:
    """The first moment of a month: 0 is this month, 1 the next one."""
    now = datetime.now(UTC)
    index = now.year * 12 + now.month - 1 + months
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


def record(worker: Engine, *moments: datetime) -> None:
    """Append a record of each moment to one chain."""
    with worker.begin() as connection:
        entries = [AuditEntry(moment, AuditAction.APPROVE, "done") for moment in moments]
        write_audit(connection, AUDIT_KEY, entries)


def test_a_new_database_has_a_partition_for_this_month_and_twelve_more(
    installation: Installation,
) -> None:
    """And one for whatever belongs to none of them."""
    expected = [name_of(later(months)) for months in range(13)]
    assert [name for (name,) in installation.rows(PARTITIONS)] == [
        *expected,
        "audit_records_default",
    ]


def test_a_record_lies_in_the_partition_of_its_month_or_in_the_default_one(
    installation: Installation, worker: Engine
) -> None:
    """Nothing halts for want of a partition, and all of it verifies as one chain."""
    first = later(1)
    moments = [
        first - timedelta(microseconds=1),
        first,
        later(14),
        datetime(1999, 12, 31, tzinfo=UTC),
    ]
    record(worker, *moments)
    assert installation.rows(WHERE) == [
        ("audit_records_default", moments[3]),
        (name_of(later(0)), moments[0]),
        (name_of(first), moments[1]),
        ("audit_records_default", moments[2]),
    ]
    found = verify_audit(worker, AuditKeys(AUDIT_KEY))
    assert (found.records, found.misfits) == (4, ())


def test_the_worker_makes_partitions_that_are_missing_and_no_others(
    installation: Installation, worker: Engine
) -> None:
    """It may call the function; of its own it may make no table."""
    gone = name_of(later(12))
    installation.execute(f"DROP TABLE {gone}")
    with worker.begin() as connection:
        assert make_partitions(connection).made == (gone,)
    with worker.begin() as connection:
        assert make_partitions(connection).made == ()
    with pytest.raises(ProgrammingError, match="permission denied"), worker.begin() as connection:
        connection.execute(text("CREATE TABLE mine (x int)"))


def test_what_the_gateway_s_role_locks_keeps_nobody_from_making_partitions(
    installation: Installation, worker: Engine
) -> None:
    """An advisory lock is anybody's; the turn is a row that the owner alone may lock."""
    installation.execute(f"DROP TABLE {name_of(later(12))}")
    installation.execute("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO andon_gateway")
    gateway = create_engine(installation.urls.gateway)
    with gateway.connect() as connection, worker.begin() as making:
        connection.execute(text("SELECT pg_advisory_lock(hashtext('audit_partitions_ahead'))"))
        making.execute(text("SET LOCAL lock_timeout = '5s'"))
        assert make_partitions(making).made == (name_of(later(12)),)
    gateway.dispose()


def test_a_new_partition_is_like_the_first_ones(installation: Installation, worker: Engine) -> None:
    """It has the same indexes, constraints and triggers, and belongs to the owner."""
    like = """
        SELECT (SELECT array_agg(regexp_replace(indexdef, '_\\d{4}_\\d\\d', '', 'g') ORDER BY 1)
                FROM pg_indexes WHERE tablename = c.relname),
               (SELECT array_agg(pg_get_triggerdef(oid) ~ 'UPDATE|DELETE|TRUNCATE')
                FROM pg_trigger WHERE tgrelid = c.oid),
               (SELECT count(*) FROM pg_constraint WHERE conrelid = c.oid),
               c.relowner::regrole::text
        FROM pg_class AS c WHERE relname = :name
    """
    installation.execute(f"DROP TABLE {name_of(later(12))}")
    with worker.begin() as connection:
        make_partitions(connection)
    found = installation.rows(like, name=name_of(later(12)))
    assert found == installation.rows(like, name=name_of(later(0)))
    assert found[0][3] == "andon_owner"


def test_a_month_with_records_in_the_default_partition_stays_there(
    installation: Installation, worker: Engine
) -> None:
    """It is named, and the other months get theirs."""
    blocked, free = name_of(later(11)), name_of(later(12))
    installation.execute(f"DROP TABLE {blocked}", f"DROP TABLE {free}")
    record(worker, later(11) + timedelta(days=3))
    with worker.begin() as connection:
        partitions = make_partitions(connection)
    assert (partitions.made, partitions.kept_by_default) == ((free,), (blocked,))


def test_making_partitions_does_not_hold_up_who_writes(
    installation: Installation, worker: Engine
) -> None:
    """A partition is attached while another transaction has just written a record."""
    installation.execute(f"DROP TABLE {name_of(later(12))}")
    with worker.begin() as writing, worker.begin() as connection:
        entries = [AuditEntry(datetime.now(UTC), AuditAction.APPROVE, "done")]
        write_audit(writing, AUDIT_KEY, entries)
        connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        assert make_partitions(connection).made == (name_of(later(12)),)


@pytest.mark.parametrize("partition", [name_of(later(0)), "audit_records_default"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET actor = 'x'", "DELETE FROM {}", "TRUNCATE {}"]
)
def test_not_even_the_owner_changes_a_record_in_its_partition(
    partition: str, statement: str, installation: Installation
) -> None:
    """Not by a slip; the trigger is on each partition, too."""
    owner = create_engine(installation.urls.owner)
    with (
        pytest.raises(ProgrammingError, match="never changed or deleted"),
        owner.begin() as connection,
    ):
        connection.execute(text(statement.format(partition)))
    owner.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM {}",
        "INSERT INTO {} SELECT * FROM audit_records",
        "UPDATE {} SET actor = 'x'",
        "DELETE FROM {}",
        "TRUNCATE {}",
        "DROP TABLE {}",
        "ALTER TABLE audit_records DETACH PARTITION {}",
        "ALTER TABLE {} DISABLE TRIGGER USER",
    ],
)
@pytest.mark.parametrize("partition", [name_of(later(0)), "audit_records_default"])
def test_the_worker_s_role_has_no_right_on_a_partition(
    partition: str, statement: str, worker: Engine
) -> None:
    """It reaches them through the table they belong to, and no other way."""
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        worker.begin() as connection,
    ):
        connection.execute(text(statement.format(partition)))


def test_migrating_again_makes_partitions_and_takes_rights_on_them_away(
    installation: Installation, worker: Engine
) -> None:
    """`andon migrate` is the other way to get partitions, where no schedules run."""
    installation.execute(
        f"DROP TABLE {name_of(later(12))}", f"GRANT ALL ON {name_of(later(0))} TO andon_worker"
    )
    migrate(installation.urls.owner, worker_role="andon_worker", audit_key=AUDIT_KEY)
    assert (name_of(later(12)),) in installation.rows(PARTITIONS)
    with pytest.raises(ProgrammingError, match="permission denied"), worker.begin() as connection:
        connection.execute(text(f"SELECT FROM {name_of(later(0))}"))
    with installation.superuser.connect() as connection:
        assert differences(connection) == []
