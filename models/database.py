"""Connections to PostgreSQL, with limits that keep a stopped process from holding up others."""

import os

import psycopg
from sqlalchemy import Engine, create_engine, event, make_url

_SESSION = {
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "5s",
    # What a process waited for when it died ends soon after it, and lets go of its locks.
    "client_connection_check_interval": "1s",
    "timezone": "UTC",
}
_BY_INDEX = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""Every look-up of a batch has an index. A plan that was made while a table was small, and kept for
the life of a connection, must not read all of it when it has grown."""


# No timeout ends a COMMIT that waits for a synchronous standby, and PostgreSQL does not notice
# meanwhile that its client is gone: each would stay with its connection, until there are no more.
_COMMITS_HANG = """
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND state_change < now() - interval '5 s'
          AND usename = current_user AND datname = current_database())
"""


class CommitsHang(Exception):
    """Commits wait for a synchronous standby that does not answer; nothing new is begun."""

    def __init__(self) -> None:
        super().__init__("commits wait for the synchronous standby of PostgreSQL")


def connect(
    url: str,
    *,
    statement_timeout_ms: int,
    application: str,
    pool_size: int = 1,
    by_index: bool = False,
) -> Engine:
    """An engine for one process; it opens no connection before the first use.

    Args:
        url: ``postgresql://…``.
        statement_timeout_ms: how long one statement may run; below the intake's claim idle time,
            so that no transaction outlives its claim. 0 is no limit.
        application: how the connection is named in ``pg_stat_activity``.
        pool_size: connections that are kept open.
        by_index: plan every look-up by an index, whatever the statistics say.

    A use of it raises :class:`CommitsHang` where it would open a connection that only joins others
    whose commits hang.
    """
    session = _SESSION | {"statement_timeout": str(statement_timeout_ms)}
    if by_index:
        session |= _BY_INDEX
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,  # they are what requests hold, and errors are logged
        connect_args={
            "application_name": application,
            "options": " ".join(f"-c {name}={value}" for name, value in session.items()),
            "connect_timeout": 5,
            "keepalives": 1,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )
    event.listen(engine, "connect", _refuse_while_commits_hang)
    return engine


def _refuse_while_commits_hang(connection: psycopg.Connection, _record: object) -> None:
    """Let a process have no connection while those of others, or its own last one, hang."""
    with connection.cursor() as cursor:
        found = cursor.execute(_COMMITS_HANG).fetchone()
    connection.rollback()
    if found and found[0]:
        connection.close()
        raise CommitsHang


def is_unverified(url: str) -> bool:
    """Whether a connection to another machine would talk to whoever answers there.

    A URL that says ``sslmode=disable`` means it.
    """
    parsed = make_url(url)
    hosts = parsed.query.get("host") or parsed.host or os.environ.get("PGHOST", "")
    host = hosts if isinstance(hosts, str) else hosts[0]
    if not host or host.startswith(("/", "@")) or host in ("localhost", "127.0.0.1", "::1"):
        return False
    mode = parsed.query.get("sslmode") or os.environ.get("PGSSLMODE")
    return mode not in ("verify-full", "disable")
