"""What a listing reads does not grow with history: it finds what it shows by an index."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, text

from models.listings import Newest, list_audit, list_halts, list_incidents
from tests.support.installation import Installation

FEW = 250
"""Pages of 8 KiB; each table has twenty times as many."""

INCIDENTS = """
    INSERT INTO incidents (
        title, category, severity, severity_origin, severity_flags, impact_level, urgency_level,
        status, client_id, component_id, reporter_user_id, detection_timestamp,
        resolution_timestamp, source, request_id, stamps, version, reported_at, updated_at)
    SELECT repeat('x', 200), 'c', CASE WHEN n = 7 THEN 'P1' ELSE 'P3' END, 'computed', '{}',
           'low', 'low', CASE WHEN n IN (3, 7) THEN 'open' ELSE 'closed' END,
           CASE WHEN n = 3 THEN 'rare' ELSE 'acme' END, 'checkout', 'manager', now(), now(),
           'monitor', 'r' || n, '{}', 1, now(), now()
    FROM generate_series(1, 120000) AS n
"""
HALTS = """
    INSERT INTO halts (halted_at, reason, message, errors, source, request_id, door, entry,
                       event_bytes, event_sha256, key_id, signature, state)
    SELECT now(), CASE WHEN n = 3 THEN 'worker_lost' ELSE 'user_inactive' END, repeat('x', 200),
           '[]', CASE WHEN n = 5 THEN 'rare' ELSE 'monitor' END, 'r' || n, 'intake', 'e' || n, 1,
           '', 'k', 's', CASE WHEN n = 7 THEN 'open' ELSE 'discarded' END
    FROM generate_series(1, 120000) AS n
"""
RECORDS = """
    INSERT INTO audit_records (chain, sequence, at, action, outcome, source, subject, context,
                               key_id, mac)
    SELECT n % 64, n, date_trunc('month', now()) + n * interval '1 ms', 'execute',
           CASE WHEN n = 5 THEN 'waiting' ELSE 'done' END,
           CASE WHEN n = 7 THEN 'rare' ELSE 'monitor' END, 'incident:' || n, '{}',
           repeat('k', 200), ''
    FROM generate_series(1, 120000) AS n
"""

LISTINGS: dict[str, tuple[Callable[[Connection], Newest], int]] = {
    "incidents": (lambda c: list_incidents(c, limit=50), 50),
    "open incidents": (lambda c: list_incidents(c, status="open", limit=50), 2),
    "incidents in progress": (lambda c: list_incidents(c, status="in_progress", limit=50), 0),
    "closed incidents": (lambda c: list_incidents(c, status="closed", limit=50), 50),
    "P1 incidents": (lambda c: list_incidents(c, severity="P1", limit=50), 1),
    "incidents of a client": (lambda c: list_incidents(c, client="rare", limit=50), 1),
    "incidents of nobody": (lambda c: list_incidents(c, client="nobody", limit=50), 0),
    "halts": (lambda c: list_halts(c, limit=50), 50),
    "open halts": (lambda c: list_halts(c, state="open", limit=50), 1),
    "halts for a reason": (lambda c: list_halts(c, reason="worker_lost", limit=50), 1),
    "halts of a source": (lambda c: list_halts(c, source="rare", limit=50), 1),
    "records": (lambda c: list_audit(c, limit=50), 50),
    "records about one thing": (lambda c: list_audit(c, subject="incident:9", limit=50), 1),
    "records of a source": (lambda c: list_audit(c, source="rare", limit=50), 1),
    "records with an outcome": (lambda c: list_audit(c, outcome="waiting", limit=50), 1),
    "records that are done": (lambda c: list_audit(c, outcome="done", limit=50), 50),
    "records of nobody": (lambda c: list_audit(c, source="nobody", limit=50), 0),
}


def test_no_listing_reads_all_that_is_stored(installation: Installation) -> None:
    """Nor most of it: each filter finds what is rare as quickly as what is common."""
    installation.execute(INCIDENTS, HALTS, RECORDS)
    settle(installation)
    found, read = {}, {}
    with installation.superuser.connect() as connection:
        for name, (listing, _) in LISTINGS.items():
            with statements_of(connection) as statements:
                found[name] = len(listing(connection).lines)
            read[name] = sum(pages_read(connection, *each) for each in statements)
    print(read)
    assert found == {name: shown for name, (_, shown) in LISTINGS.items()}
    assert {name: pages for name, pages in read.items() if pages > FEW} == {}


def settle(installation: Installation) -> None:
    """Leave nothing undone that autovacuum would do within a minute."""
    with installation.superuser.execution_options(isolation_level="AUTOCOMMIT").connect() as owner:
        owner.execute(text("VACUUM ANALYZE"))


@contextmanager
def statements_of(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """The queries that *connection* is asked meanwhile, with their parameters."""
    asked: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "SELECT" in statement:
            asked.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(connection, "before_cursor_execute", note)


def pages_read(connection: Connection, statement: str, parameters: Any) -> int:
    """How many pages PostgreSQL looks at for a query."""
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
    ((said,),) = connection.exec_driver_sql(explained, parameters)
    plan = said[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
