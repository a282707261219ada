"""Settlements: where the sum of `andon status` was begun anew after a loss, by whom and why."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

_ADD = text("""
    INSERT INTO settlements (at, entries, reason, account, host)
    VALUES (clock_timestamp(), :entries, :reason, :account, :host) RETURNING at
""")
_SUM = text("SELECT COALESCE(sum(entries), 0)::bigint FROM settlements")
_LAST = text("""
    SELECT at, entries, reason, account, host FROM settlements
    ORDER BY settlement_id DESC LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Settlement:
    """One new beginning.

    Attributes:
        entries: how many accepted entries were given up as accounted for nowhere; negative for
            those that were decided and that the intake no longer counts as accepted.
        reason: as somebody stated it.
        account: of the operating system, that ran the command on *host*.
    """

    at: datetime
    entries: int
    reason: str
    account: str
    host: str


def add_settlement(
    connection: Connection, *, entries: int, reason: str, account: str, host: str
) -> datetime:
    """Note that *entries* are settled; when that was."""
    values = {"entries": entries, "reason": reason, "account": account, "host": host}
    at: datetime = connection.execute(_ADD, values).scalar_one()
    return at


def read_settled(connection: Connection) -> int:
    """How many entries were settled in all."""
    return int(connection.execute(_SUM).scalar_one())


def read_last_settlement(connection: Connection) -> Settlement | None:
    """The latest one; None if there was none."""
    row = connection.execute(_LAST).first()
    return None if row is None else Settlement(*row)
