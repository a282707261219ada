"""Connections to PostgreSQL, with limits that keep a stopped process from holding up others."""

from sqlalchemy import Engine, create_engine

_SESSION = {
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "5s",
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
    """
    session = _SESSION | {"statement_timeout": str(statement_timeout_ms)}
    if by_index:
        session |= _BY_INDEX
    return create_engine(
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
