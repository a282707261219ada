"""Requests that refer to a report which has not been decided yet."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from models.acceptance import UNTOLD
from models.deliveries import Delivery
from models.outcomes import Identity
from models.sql import as_json, copy_rows, fetch, fetch_column, in_json
from models.tables import Door


@dataclass(frozen=True, slots=True)
class NewWaiting:
    """A request that is to wait for *report*."""

    identity: Identity
    body_hash: bytes
    delivery: Delivery
    received_at: datetime
    waits_since: datetime
    report: Identity

    @property
    def accepted_at(self) -> datetime:
        """When it was accepted, by the same clock as what is in the intake still."""
        told = self.delivery.received_at
        return self.received_at if told == UNTOLD else told


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """What the claim needs to know of a request that waits."""

    body_hash: bytes
    entry: str


_READ = f"""
    SELECT source, request_id, body_hash, entry
    FROM {in_json("source", "request_id")} JOIN waiting USING (source, request_id)
"""


def read_waiting(
    connection: Connection, identities: Collection[Identity]
) -> dict[Identity, WaitingRow]:
    """Those of *identities* that wait (primary key of ``waiting``)."""
    if not identities:
        return {}
    wanted = {
        "source": as_json([identity.source for identity in identities]),
        "request_id": as_json([identity.id for identity in identities]),
    }
    return {
        Identity(source, request_id): WaitingRow(body_hash, entry)
        for source, request_id, body_hash, entry in fetch(connection, _READ, wanted)
    }


def write_waiting(connection: Connection, rows: Iterable[NewWaiting]) -> None:
    """Keep *rows* until their report is decided, in the order of their identities."""
    copy_rows(
        connection,
        "waiting",
        (
            "source",
            "request_id",
            "body_hash",
            "entry",
            "door",
            "event",
            "key_id",
            "signature",
            "received_at",
            "accepted_at",
            "waits_since",
            "report_source",
            "report_id",
        ),
        (
            (
                row.identity.source,
                row.identity.id,
                row.body_hash,
                row.delivery.entry,
                row.delivery.door,
                row.delivery.event,
                row.delivery.key_id,
                row.delivery.signature,
                row.received_at,
                row.accepted_at,
                row.waits_since,
                row.report.source,
                row.report.id,
            )
            for row in sorted(rows, key=lambda row: row.identity)
        ),
    )


class Part(NamedTuple):
    """Some of what waits: the requests after one identity up to another, which belongs to them."""

    after: Identity
    last: Identity
    size: int


BEGINNING = Identity("", "")
"""Before all identities."""

_PART = text("""
    SELECT source, request_id, number FROM (
        SELECT source, request_id, row_number() OVER (ORDER BY source, request_id) AS number
        FROM waiting WHERE (source, request_id) > (:source, :request_id)
        ORDER BY source, request_id LIMIT :at_most) AS part
    ORDER BY number DESC LIMIT 1
""")


def next_part(connection: Connection, after: Identity, *, at_most: int) -> Part | None:
    """The next *at_most* waiting requests after an identity (primary key); None: there are none."""
    values = {"source": after.source, "request_id": after.id, "at_most": at_most}
    last = connection.execute(_PART, values).one_or_none()
    return None if last is None else Part(after, Identity(last[0], last[1]), last[2])


# By the primary key, however many wait.
_IN_PART = """
    (w.source, w.request_id) > (:after_source, :after_id)
    AND (w.source, w.request_id) <= (:last_source, :last_id)
"""


def _bounds(part: Part) -> dict[str, str]:
    (after_source, after_id), (last_source, last_id) = part.after, part.last
    return {
        "after_source": after_source,
        "after_id": after_id,
        "last_source": last_source,
        "last_id": last_id,
    }


_MARK_ALONE = text(f"""
    UPDATE waiting AS w SET alone_since = :now
    WHERE {_IN_PART}
      AND w.alone_since IS NULL
      AND (w.accepted_at < COALESCE(:oldest, 'infinity'::timestamptz)
           OR w.waits_since <= CAST(:overdue AS timestamptz))
""")


def mark_alone(
    connection: Connection,
    part: Part,
    *,
    oldest_undecided: datetime | None,
    overdue: datetime | None = None,
    now: datetime,
) -> None:
    """Note since when everything accepted before a waiting request has been decided.

    Args:
        connection: inside a transaction.
        part: the requests that are looked at.
        oldest_undecided: when the oldest entry still in the intake was accepted; None when
            the intake is empty.
        overdue: what has waited since then, or longer, is marked all the same.
        now: the time to note.
    """
    values = {"oldest": oldest_undecided, "overdue": overdue, "now": now}
    connection.execute(_MARK_ALONE, values | _bounds(part))


_UNMARKED = text(f"""
    SELECT EXISTS (SELECT FROM waiting AS w WHERE {_IN_PART} AND w.alone_since IS NULL)
""")


def any_unmarked(connection: Connection, part: Part) -> bool:
    """Whether a request waits that :func:`mark_alone` has not marked yet."""
    return bool(connection.execute(_UNMARKED, _bounds(part)).scalar_one())


_RIPE = text(f"""
    SELECT w.entry, w.door, w.event, w.key_id, w.signature, w.received_at,
           w.alone_since <= :alone_before AS last_look
    FROM waiting AS w
    WHERE {_IN_PART}
      AND (w.alone_since <= :alone_before
           OR EXISTS (SELECT FROM requests AS r
                      WHERE (r.source, r.request_id) = (w.report_source, w.report_id)))
    ORDER BY w.received_at, w.source, w.request_id
    LIMIT :limit
""")


def read_ripe(
    connection: Connection, part: Part, *, alone_before: datetime, limit: int
) -> list[Delivery]:
    """Up to *limit* requests that can be decided now: their report is known, or time is up."""
    values = {"alone_before": alone_before, "limit": limit}
    found = connection.execute(_RIPE, values | _bounds(part))
    return [
        Delivery(
            entry=entry,
            door=Door(door),
            event=bytes(event),
            key_id=key_id,
            signature=signature,
            received_at=received_at,
            waiting=True,
            last_look=bool(last_look),
        )
        for entry, door, event, key_id, signature, received_at, last_look in found
    ]


_LOCK = """
    SELECT w.entry FROM waiting AS w WHERE w.entry = ANY(%(entries)s::text[])
    ORDER BY w.source, w.request_id
    FOR UPDATE SKIP LOCKED
"""


def lock_waiting(connection: Connection, entries: Collection[str]) -> set[str]:
    """Lock the waiting requests of *entries*.

    Those that another transaction holds, or has decided, are not among the result.
    """
    if not entries:
        return set()
    return set(fetch_column(connection, _LOCK, {"entries": list(entries)}))


_DELETE = text("DELETE FROM waiting WHERE entry = ANY(CAST(:entries AS text[]))")


def delete_waiting(connection: Connection, entries: Collection[str]) -> None:
    """Requests that have been decided wait no longer (unique key ``waiting_entry_key``).

    By their entries: of one that no longer proves whose it is, the identity is not known.
    """
    if entries:
        connection.execute(_DELETE, {"entries": list(entries)})
