"""The partitions of the audit: one for each month, made ahead (docs/decisions/0006).

The database makes them itself, in ``audit_partitions_ahead()`` (migration 0001), so that the
worker's role needs no right to make tables.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, text

_NAME = re.compile(r"audit_records_(\d{4})_(\d\d)")
_NAMES = text("""
    SELECT relid::regclass::text FROM pg_partition_tree('audit_records') WHERE isleaf ORDER BY 1
""")


def partition_names(connection: Connection) -> Sequence[str]:
    """The names of all partitions, in their order, and the default one's last."""
    return connection.execute(_NAMES).scalars().all()


def month_of(partition: str) -> datetime | None:
    """The first moment of a partition's month; None for the default one."""
    match = _NAME.fullmatch(partition)
    return None if match is None else datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC)


def following(month: datetime) -> datetime:
    """The first moment of the month after one that begins at *month*."""
    years, months = divmod(month.month, 12)
    return month.replace(year=month.year + years, month=months + 1)


@dataclass(frozen=True, slots=True)
class Partitions:
    """What making partitions ahead came to.

    Attributes:
        made: partitions that are new.
        kept_by_default: partitions that were not made, because records of their month lie in
            the default partition; the rest of the month goes there too.
    """

    made: tuple[str, ...]
    kept_by_default: tuple[str, ...]


_MAKE = text("SELECT name, made FROM audit_partitions_ahead() ORDER BY name")


def make_partitions(connection: Connection) -> Partitions:
    """Make the partitions of this month and the next twelve, where they are missing.

    Any number of processes may do so at once; whoever writes records is not held up.
    """
    found = connection.execute(_MAKE).all()
    return Partitions(
        made=tuple(name for name, made in found if made),
        kept_by_default=tuple(name for name, made in found if not made),
    )


COUNTED = 10_000
"""Records of the default partition that are counted; more are as bad."""


@dataclass(frozen=True, slots=True)
class PartitionsAhead:
    """Whether there are partitions for what will be recorded.

    Attributes:
        made_until: the last month up to which each month from this one on has its partition, as
            ``2027-11``; None if this month has none.
        in_default: records in the default partition, :data:`COUNTED` of them at most.
    """

    made_until: str | None
    in_default: int


def read_partitions_ahead(connection: Connection) -> PartitionsAhead:
    """How far ahead partitions are made, and how much belongs to none of them.

    The worker's role may not read a partition by its name. What no month's partition has lies in
    the default one, and the planner looks nowhere else for it.
    """
    now = connection.execute(text("SELECT now()")).scalar_one().astimezone(UTC)
    months = [month for name in partition_names(connection) if (month := month_of(name))]
    outside = " OR ".join(
        f"(at >= '{begin}' AND at < '{end}')" for begin, end in _outside(sorted(months))
    )
    counted = text(
        f"SELECT count(*) FROM (SELECT FROM audit_records WHERE {outside} LIMIT {COUNTED}) AS found"
    )
    until = _until(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0), set(months))
    return PartitionsAhead(
        None if until is None else f"{until:%Y-%m}", connection.execute(counted).scalar_one()
    )


def _until(month: datetime, made: set[datetime]) -> datetime | None:
    last = None
    while month in made:
        last, month = month, following(month)
    return last


def _outside(months: Sequence[datetime]) -> Iterator[tuple[str, str]]:
    """The spans that no month's partition covers, from the beginning of time to its end."""
    begin = "-infinity"
    for month in months:
        if begin != _literal(month):
            yield begin, _literal(month)
        begin = _literal(following(month))
    yield begin, "infinity"


def _literal(month: datetime) -> str:
    return f"{month:%Y-%m-%d} UTC"
