"""Runs of one entry alone, noted before they begin (DESIGN 2, "The request kills its worker").

Each run is noted by the process that begins it. A process that lives to note the entry again has
not been killed by it, so only the runs of others count.
"""

from collections.abc import Collection

from sqlalchemy import Connection, text

_BEGIN = text("""
    INSERT INTO attempts AS a (entry, runners) VALUES (:entry, ARRAY[:runner])
    ON CONFLICT (entry) DO UPDATE SET runners = array_append(
        array_remove(a.runners, :runner), :runner)
    RETURNING cardinality(runners) - 1
""")
_WITHDRAW = text("""
    UPDATE attempts SET runners = array_remove(runners, :runner)
    WHERE entry = ANY(CAST(:entries AS text[]))
""")
_END = text("DELETE FROM attempts WHERE entry = ANY(CAST(:entries AS text[]))")


def begin_alone(connection: Connection, entry: str, *, runner: str) -> int:
    """Note a run of *entry* alone by *runner*, to be committed before it begins.

    Returns:
        How many other processes began to run it alone and did not end.
    """
    return int(connection.execute(_BEGIN, {"entry": entry, "runner": runner}).scalar_one())


def withdraw(connection: Connection, entries: Collection[str], *, runner: str) -> None:
    """Take back runs of *runner* that an outage ended, not the entry."""
    if entries:
        connection.execute(_WITHDRAW, {"entries": list(entries), "runner": runner})


def end_alone(connection: Connection, entries: Collection[str]) -> None:
    """These entries are decided."""
    if entries:
        connection.execute(_END, {"entries": list(entries)})
