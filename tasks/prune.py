"""Prune: forget what its retention has passed, in short transactions."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, text

from models.clock import Clock, database_now
from models.dedup import forget_early_updates
from models.duplicates import forget_duplicates, oldest_duplicate
from models.in_hand import forget_gone
from models.retentions import note_forgotten
from models.signs import forget_signs
from models.tables import Forgotten
from models.tallies import compact_tallies

_AT_ONCE = 10_000
DUPLICATES_KEPT = timedelta(days=1)
"""How much longer a duplicate is known than its entry can be in the intake.

It covers clocks that differ, entries in hand that a broker does not show, and the messages of
plain tasks, which Celery delivers again within an hour.
"""

# In the order of the index on decided_at, from where the last chunk ended: what has been deleted
# stays in the index until it is vacuumed, and is not passed over again.
_FORGET_REQUESTS = text("""
    WITH old AS (
        SELECT ctid, decided_at FROM requests
        WHERE decided_at >= :after AND decided_at < :before
          AND GREATEST(decided_at, event_time) < :before AND NOT EXISTS (
            SELECT FROM halts WHERE halts.halt_id = requests.halt_id
            AND halts.state IN ('open', 'replaying'))
        ORDER BY decided_at LIMIT :at_once FOR UPDATE SKIP LOCKED),
    gone AS (DELETE FROM requests WHERE ctid = ANY(ARRAY(SELECT ctid FROM old)))
    SELECT count(*), max(decided_at) FROM old
""")
# By the partial index halts_settled_at_idx, which holds only what is still to be forgotten.
_FORGET_EVENTS = text("""
    UPDATE halts SET event = NULL, key_id = '', signature = '' WHERE halt_id = ANY(ARRAY(
        SELECT halt_id FROM halts
        WHERE settled_at < :before AND event IS NOT NULL
        ORDER BY settled_at LIMIT :at_once FOR UPDATE SKIP LOCKED))
""")


def prune(
    engine: Engine,
    *,
    oldest_undecided: Callable[[], datetime | None],
    ledger_retention: timedelta | None,
    halt_retention: timedelta,
    clock: Clock = database_now,
) -> None:
    """Forget old identities, if a retention is set, and the requests of halts settled long ago.

    Up to when identities are forgotten is noted in the transaction that forgets them, whether
    there are any or not: from then on an event that is older is refused as expired. An identity
    stays as long as its halt is open, so that it can be replayed. An entry recorded as a duplicate
    is forgotten when it cannot be delivered again. A dedup key that remembers no more than an early
    update is forgotten when the report that it waits for would be refused as expired.

    Args:
        engine: connects with the worker's rights.
        oldest_undecided: says when the oldest entry still in the intake was accepted, if any is.
        ledger_retention: how long identities are kept; None is for ever.
        halt_retention: how long a settled halt keeps its request.
        clock: the time to count back from.
    """
    with engine.begin() as connection:
        now = clock(connection)
    if ledger_retention is not None:
        expired = now - ledger_retention
        _forget_requests(engine, before=expired)
        _repeat(
            engine,
            lambda connection: forget_early_updates(connection, before=expired, at_once=_AT_ONCE),
        )
    _repeat(engine, lambda connection: _forget_events(connection, now - halt_retention))
    _forget_duplicates(engine, now - DUPLICATES_KEPT, oldest_undecided)
    with engine.begin() as connection:
        forget_gone(connection)
        forget_signs(connection)


def compact(engine: Engine) -> None:
    """Sum up what each transaction counted, so that the whole sum stays cheap to read."""
    _repeat(engine, lambda connection: compact_tallies(connection, at_once=_AT_ONCE))


def _forget_requests(engine: Engine, *, before: datetime) -> None:
    after: datetime | None = datetime.min.replace(tzinfo=UTC)
    while after is not None:
        with engine.begin() as connection:
            note_forgotten(connection, Forgotten.IDENTITIES, before=before)
            values = {"after": after, "before": before, "at_once": _AT_ONCE}
            found, last = connection.execute(_FORGET_REQUESTS, values).one()
        after = last if found == _AT_ONCE else None


def _forget_events(connection: Connection, before: datetime) -> int:
    return connection.execute(_FORGET_EVENTS, {"before": before, "at_once": _AT_ONCE}).rowcount


def _forget_duplicates(
    engine: Engine, before: datetime, oldest_undecided: Callable[[], datetime | None]
) -> None:
    with engine.begin() as connection:
        oldest = oldest_duplicate(connection)
    if oldest is None or oldest >= before:
        return  # the broker is not asked for nothing: on RabbitMQ that counts as a delivery
    undecided = oldest_undecided()
    if undecided is not None:
        before = min(before, undecided - DUPLICATES_KEPT)
    _repeat(
        engine, lambda connection: forget_duplicates(connection, before=before, at_once=_AT_ONCE)
    )


def _repeat(engine: Engine, chunk: Callable[[Connection], int]) -> None:
    """Do *chunk* in transactions of its own, until it finds less than it could take."""
    while True:
        with engine.begin() as connection:
            if chunk(connection) < _AT_ONCE:
                return
