"""Dropping the audit's oldest months, with the owner's rights, where a retention is set.

A month is dropped whole, and each chain gets an anchor where it begins from then on. Nothing is
dropped that does not verify: an anchor would make good whatever somebody did before it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text

from models.audit import AuditEntry, AuditError, AuditKeys, write_audit
from models.audit_anchors import Dropped, read_anchors, write_anchor
from models.audit_partitions import month_of, partition_names
from models.audit_verify import Progress, verify_audit
from models.operator import who_acts
from policy.vocabulary import AuditAction

_DEFAULT = "audit_records_default"


@dataclass(frozen=True, slots=True)
class DroppedMonth:
    """A partition that is dropped, and how many records went with it."""

    name: str
    records: int


_NOW = text("SELECT now()")


def old_months(connection: Connection, *, months: int, now: datetime | None = None) -> list[str]:
    """The partitions of all months but this one and the *months* before it, the oldest first.

    They are counted back from *now*; without it, from PostgreSQL's.
    """
    cutoff = _cutoff(now or connection.execute(_NOW).scalar_one(), months)
    return [name for name in partition_names(connection) if (month_of(name) or cutoff) < cutoff]


def prune_audit(
    engine: Engine,
    keys: AuditKeys,
    *,
    months: int,
    now: datetime | None = None,
    progress: Progress = lambda _done, _total: None,
) -> list[DroppedMonth]:
    """Drop all months but this one and the *months* before it, and record that.

    Clocks differ, so a record of an old month may follow one of a month that is kept. A chain
    begins at one place: such a record is kept for now, in the default partition.

    Args:
        engine: connects with the owner's rights.
        keys: to verify with; the current one signs the anchors.
        months: how many are kept besides the one under way.
        now: the time to count back from; without it, PostgreSQL's.
        progress: called while the audit is verified.

    Raises:
        AuditError: the audit does not verify, or somebody prunes it already. Nothing is dropped
            then.
    """
    with _alone(engine) as asked_at:
        return _prune(engine, keys, now or asked_at, months, progress)


# Only the owner may lock a turn. A transaction that does nothing else holds it: it ends with this
# process, whatever becomes of it.
_TAKE_TURN = text("SELECT now() FROM turns WHERE work = 'audit prune' FOR UPDATE SKIP LOCKED")
_STAY = text("SET LOCAL idle_in_transaction_session_timeout = 0")


@contextmanager
def _alone(engine: Engine) -> Iterator[datetime]:
    """Let nobody else prune meanwhile: what one drops, the other would miss in its verification.

    The value is the time by PostgreSQL's clock.
    """
    with engine.connect() as connection:
        connection.detach()  # the engine's pool may have room for one only
        connection.execute(_STAY)
        asked_at = connection.execute(_TAKE_TURN).scalar_one_or_none()
        if asked_at is None:
            raise AuditError("Another `andon audit prune` is under way: this one dropped nothing.")
        yield asked_at


def _prune(
    engine: Engine, keys: AuditKeys, now: datetime, months: int, progress: Progress
) -> list[DroppedMonth]:
    with engine.connect() as connection:
        old = old_months(connection, now=now, months=months)
    if not old:
        return []
    if verify_audit(engine, keys, progress).misfits:
        raise AuditError(
            "The audit does not verify, so nothing of it is dropped: see `andon audit verify`."
        )
    with engine.begin() as connection:
        cutoff = _cutoff(now, months)
        # So that nobody adds to them meanwhile, with a clock that is behind.
        connection.execute(text(f"LOCK TABLE {', '.join(old)} IN ACCESS EXCLUSIVE MODE"))
        before = read_anchors(connection)
        for chain, sequence, mac in _ends(connection, old, cutoff):
            lost = before[chain].dropped if chain in before else Dropped()
            now_lost = _counted(connection, old, chain, sequence)
            write_anchor(
                connection,
                keys.current,
                chain=chain,
                sequence=sequence,
                mac=bytes(mac),
                dropped=Dropped(*map(sum, zip(lost, now_lost, strict=True))),
            )
        dropped = [DroppedMonth(name, _count(connection, name)) for name in old]
        write_audit(connection, keys.current, [_record(month, now) for month in dropped])
        for name in old:  # last: from here on writers are locked out
            _drop(connection, name)
        _empty_default(connection)
    return dropped


def _cutoff(now: datetime, months: int) -> datetime:
    """The first moment of the oldest month that is kept."""
    today = now.astimezone(UTC)
    year, month = divmod(today.year * 12 + today.month - 1 - months, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def _ends(
    connection: Connection, old: Sequence[str], cutoff: datetime
) -> Sequence[tuple[int, int, bytes]]:
    """The last record of each chain that lies before all that are kept: chain, number and MAC.

    The first records that are kept are found by the primary keys of their partitions. Of the
    default partition only what is young enough is kept.
    """
    firsts = ", ".join(
        f"(SELECT sequence FROM {name} AS r WHERE r.chain = c.chain AND at >= :cutoff"
        " ORDER BY sequence LIMIT 1)"
        for name in partition_names(connection)
        if name not in old
    )
    records = " UNION ALL ".join(
        f"SELECT chain, sequence, mac FROM {name} WHERE at < :cutoff" for name in (*old, _DEFAULT)
    )
    found = connection.execute(
        text(f"""
            SELECT DISTINCT ON (chain) chain, record.sequence, mac
            FROM ({records}) AS record
            JOIN (SELECT chain, LEAST({firsts}) AS sequence FROM audit_chains AS c) AS first
            USING (chain)
            WHERE record.sequence < COALESCE(first.sequence, record.sequence + 1)
            ORDER BY chain, record.sequence DESC
        """),
        {"cutoff": cutoff},
    )
    return [(chain, sequence, mac) for chain, sequence, mac in found]


def _counted(connection: Connection, old: Sequence[str], chain: int, sequence: int) -> Dropped:
    """What the records of a chain that are dropped said of messages."""
    records = " UNION ALL ".join(
        f"SELECT outcome FROM {name} WHERE chain = :chain AND sequence <= :sequence"
        " AND entry IS NOT NULL"
        for name in (*old, _DEFAULT)
    )
    counted = text(f"""
        SELECT count(*) FILTER (WHERE outcome = 'done'),
               count(*) FILTER (WHERE outcome = 'halted'),
               count(*) FILTER (WHERE outcome = 'duplicate')
        FROM ({records}) AS dropped
    """)
    return Dropped(*connection.execute(counted, {"chain": chain, "sequence": sequence}).one())


def _count(connection: Connection, name: str) -> int:
    """How many records of a partition lie before the anchors of their chains."""
    statement = f"SELECT count(*) FROM {name} JOIN audit_anchors AS a USING (chain)"
    counted = text(f"{statement} WHERE {name}.sequence <= a.sequence")
    return int(connection.execute(counted).scalar_one())


def _drop(connection: Connection, name: str) -> None:
    """Drop a partition; what lies behind the anchors moves to the default one."""
    connection.execute(text(f"ALTER TABLE audit_records DETACH PARTITION {name}"))
    connection.execute(
        text(f"""
            INSERT INTO audit_records
            SELECT old.* FROM {name} AS old LEFT JOIN audit_anchors AS a ON a.chain = old.chain
            WHERE old.sequence > COALESCE(a.sequence, 0)
        """)
    )
    connection.execute(text(f"DROP TABLE {name}"))


def _empty_default(connection: Connection) -> None:
    """Remove what the default partition has from before the anchors."""
    trigger = f"ALTER TABLE {_DEFAULT} {{}} TRIGGER audit_records_are_final"
    connection.execute(text(trigger.format("DISABLE")))
    connection.execute(
        text(f"""
            DELETE FROM {_DEFAULT} AS record USING audit_anchors AS anchor
            WHERE record.chain = anchor.chain AND record.sequence <= anchor.sequence
        """)
    )
    connection.execute(text(trigger.format("ENABLE")))


def _record(month: DroppedMonth, now: datetime) -> AuditEntry:
    return AuditEntry(
        at=now,
        action=AuditAction.DELETE,
        outcome="done",
        subject=f"audit:{month.name.removeprefix('audit_records_').replace('_', '-')}",
        context={"records": month.records, **who_acts()},
    )
