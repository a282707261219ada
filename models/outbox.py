"""The outbox: outcomes that no intake entry carries, until they are on their streams."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from models.outcomes import Outcome
from models.sql import copy_rows


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One outcome event that is still to be published."""

    outbox_id: int
    event: bytes
    halted: bool


def write_outbox(connection: Connection, outcomes: Iterable[Outcome]) -> None:
    """Keep *outcomes* to be published after the commit."""
    copy_rows(
        connection,
        "outbox",
        ("event", "halted"),
        ((outcome.event(), outcome.halted) for outcome in outcomes),
    )


_TAKE = text("""
    SELECT outbox_id, event, halted FROM outbox
    ORDER BY outbox_id LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_DELETE = text("DELETE FROM outbox WHERE outbox_id = ANY(CAST(:ids AS bigint[]))")


def take_outbox(connection: Connection, *, limit: int) -> list[OutboxRow]:
    """Lock the oldest outcomes that nobody else is publishing."""
    found = connection.execute(_TAKE, {"limit": limit})
    return [OutboxRow(number, bytes(event), halted) for number, event, halted in found]


def delete_outbox(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Forget outcomes that have been published."""
    connection.execute(_DELETE, {"ids": [row.outbox_id for row in rows]})
