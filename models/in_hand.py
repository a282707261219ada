"""What each process has in hand, told to the others (a hint, and never more than that).

A request that is published twice is often read by two processes at once. Both would decide it, and
the one that commits later would run its whole batch again, since the ledger takes an identity once.
So a process puts off what another one has in hand already, until that one has gone on, or for a
second (``tasks.putting_off``). Whatever is missed here the ledger settles; whatever is put off
needlessly is decided that much later.
"""

import zlib
from array import array
from collections.abc import Iterable

from sqlalchemy import Connection, text

from models.sql import fetch_column

# The others' rows as they were before this statement: two that tell at the same time miss each
# other. The primary key finds ours; there is a row for each process, so reading all is cheap.
_TELL = """
    WITH told AS (
        INSERT INTO in_hand (runner, marks, told_at) VALUES (%(runner)s, %(marks)s, now())
        ON CONFLICT (runner) DO UPDATE SET marks = EXCLUDED.marks, told_at = EXCLUDED.told_at)
    SELECT marks FROM in_hand WHERE runner <> %(runner)s AND told_at > now() - interval '10 s'
"""
_FORGET = text("DELETE FROM in_hand WHERE told_at < now() - interval '1 hour'")


def mark_of(event: bytes) -> int:
    """What an event is known by: the same bytes have the same mark, others nearly never."""
    return zlib.crc32(event)


def tell_in_hand(connection: Connection, runner: str, marks: Iterable[int]) -> set[int]:
    """Tell the other processes what *runner* has in hand now.

    Returns:
        The marks of what the others have had in hand within the last ten seconds.
    """
    told = array("I", marks).tobytes()
    others: set[int] = set()
    for found in fetch_column(connection, _TELL, {"runner": runner, "marks": told}):
        others.update(memoryview(found).cast("I"))
    return others


def forget_gone(connection: Connection) -> None:
    """Remove what processes have told that told nothing for an hour."""
    connection.execute(_FORGET)
