"""The partitions of the audit: one for each month, made ahead (docs/decisions/0006).

The database makes them itself, in ``audit_partitions_ahead()`` (migration 0001), so that the
worker's role needs no right to make tables.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text


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
