"""What the database roles may not do: deploy/postgresql/rights.sql, on a real server.

docs/rights.md has the same as a table. What each may do, every other test shows.
"""

from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from console.embedded import Postgres, PostgresUrls
from migrations.runner import migrate
from tests.support.installation import AUDIT_KEY

BOTH = {
    "advisory lock": "SELECT pg_advisory_lock(1)",
    "advisory lock, tried": "SELECT pg_try_advisory_lock_shared(1, 2)",
    "advisory lock of the transaction": "SELECT pg_advisory_xact_lock(1)",
    "large object": "SELECT lo_from_bytea(0, 'x')",
    "large object, made": "SELECT lo_create(0)",
    "large object, written": "SELECT lo_put(1, 0, 'x')",
    "large object, read": "SELECT lo_get(1)",
    "message to listeners": "SELECT pg_notify('andon', 'x')",
    "message in the WAL": "SELECT pg_logical_emit_message(false, 'x', 'x')",
    "sleep": "SELECT pg_sleep(0)",
    "block of code": "DO 'BEGIN END'",
    "temporary table": "CREATE TEMPORARY TABLE t (n integer)",
    "table": "CREATE TABLE t (n integer)",
    "schema": "CREATE SCHEMA s",
    "function": "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "database": "CREATE DATABASE d",
    "role": "CREATE ROLE r",
    "own limit": "ALTER ROLE CURRENT_USER CONNECTION LIMIT 90",
    "server's files": "COPY (SELECT 1) TO '/tmp/x'",
    "programs": "COPY (SELECT 1) TO PROGRAM 'true'",
    "server's settings": "ALTER SYSTEM SET fsync = off",
    "changing an audit record": "UPDATE audit_records SET reason = 'x'",
    "deleting audit records": "DELETE FROM audit_records",
    "emptying the audit": "TRUNCATE audit_records",
    "changing the directory": "UPDATE users SET role = 'executive'",
    "tables of the owner": "DROP TABLE incidents",
}
GATEWAY = {
    "requests' hashes": "SELECT body_hash FROM requests",
    "whole ledger": "SELECT * FROM requests",
    "halts": "SELECT message FROM halts",
    "incidents": "SELECT title FROM incidents",
    "users": "SELECT email FROM users",
    "audit": "SELECT actor FROM audit_records",
    "writing": "INSERT INTO requests DEFAULT VALUES",
    "sequence": "SELECT nextval('incidents_incident_id_seq')",
}


CELLS = [
    pytest.param(role, statement, id=f"{role}: {name}")
    for role, statements in (("worker", BOTH), ("gateway", BOTH | GATEWAY))
    for name, statement in statements.items()
]


@pytest.mark.parametrize(("role", "statement"), CELLS)
def test_a_role_may_not(database: PostgresUrls, role: str, statement: str) -> None:
    """What nobody of that role needs is refused for want of a right, or since it only reads."""
    engine = create_engine(
        getattr(database, role), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection, pytest.raises(DBAPIError) as refused:
        connection.execute(text(statement))
    state = getattr(refused.value.orig, "sqlstate", None)
    assert state in ("42501", "25006"), refused.value


@pytest.mark.parametrize(("role", "limit"), [("gateway", 20), ("worker", 70)])
def test_a_role_leaves_connections_to_the_others(tmp_path: Path, role: str, limit: int) -> None:
    """Each has a share of the 100; then it is refused, and the others still come in."""
    server = Postgres(tmp_path / "postgres", durable=False)
    try:
        urls = server.start()
        with ExitStack() as held:

            def come_in(url: str) -> None:
                held.enter_context(create_engine(url, poolclass=NullPool).connect())

            for _ in range(limit):
                come_in(getattr(urls, role))
            with pytest.raises(OperationalError, match="too many connections for role"):
                come_in(getattr(urls, role))
            come_in(urls.owner)
            come_in(urls.gateway if role == "worker" else urls.worker)
    finally:
        server.stop()


def test_the_gateway_s_statements_end(database: PostgresUrls) -> None:
    """By default none runs for more than 5 s, waits for a lock for more than 2 s, or writes."""
    engine = create_engine(database.gateway, poolclass=NullPool)
    with engine.connect() as connection:
        for name, value in (
            ("statement_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "5s"),
            ("lock_timeout", "2s"),
            ("default_transaction_read_only", "on"),
        ):
            assert connection.execute(text(f"SHOW {name}")).scalar_one() == value


def test_an_installation_that_was_made_before_gets_the_rights(tmp_path: Path) -> None:
    """Starting again applies them to what is there, and migrating again changes nothing of them."""
    server = Postgres(tmp_path / "postgres", durable=False)
    try:
        urls = server.start()
        engine = create_engine(urls.superuser, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as superuser:
            superuser.execute(text("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC"))
            superuser.execute(text("GRANT TEMPORARY ON DATABASE andon TO PUBLIC"))
        server.stop()
        urls = server.start()
        migrate(urls.owner, worker_role="andon_worker", audit_key=AUDIT_KEY)
        for statement in (BOTH["advisory lock"], BOTH["temporary table"]):
            with (
                create_engine(urls.worker, poolclass=NullPool).connect() as worker,
                pytest.raises(ProgrammingError, match="permission denied"),
            ):
                worker.execute(text(statement))
    finally:
        server.stop()
