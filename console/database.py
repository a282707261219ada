"""Reaching PostgreSQL from a command, and saying plainly when that fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import InsufficientPrivilege, UndefinedColumn, UndefinedTable
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from console.failures import first_line, out_of_reach, wrong_usage
from models.database import connect
from worker.settings import Settings, load_settings
from worker.shown_urls import without_password

_STATEMENT_TIMEOUT_MS = 60_000


@contextmanager
def database(
    url: str, *, statement_timeout_ms: int = _STATEMENT_TIMEOUT_MS, connections: int = 1
) -> Iterator[Engine]:
    """An engine for one command, with as many *connections* as it uses side by side.

    Raises:
        Failure: PostgreSQL does not answer, or the database is not set up.
    """
    engine = connect(
        url,
        statement_timeout_ms=statement_timeout_ms,
        application="andon",
        pool_size=connections,
    )
    try:
        with reached(url):
            yield engine
    finally:
        engine.dispose()


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Whatever keeps a database from being used is said, with where it is and what to do.

    Raises:
        Failure: in place of the driver's error.
    """
    try:
        yield
    except UnicodeEncodeError:  # of a parameter, which came from the command line
        raise wrong_usage("An argument is not UTF-8.") from None
    except DBAPIError as error:
        where = without_password(url)
        match error.orig:
            case UndefinedTable() | UndefinedColumn():
                hint = f"The database at {where} is not at this version's schema: `andon migrate`."
            case InsufficientPrivilege():
                hint = (
                    f"{first_line(error.orig)}, at {where}: `andon migrate` gives the worker its"
                    " rights; migrate and directory load need ANDON_OWNER_DATABASE_URL."
                )
            case fault if getattr(fault, "sqlstate", None) is None and error.connection_invalidated:
                hint = f"PostgreSQL at {where} ended the connection: {first_line(fault)}."
            case fault if getattr(fault, "sqlstate", None) is None:
                hint = (
                    f"PostgreSQL does not answer at {where}: is `andon up` running?"
                    f" ({first_line(fault)})"
                )
            case _:
                raise
        raise out_of_reach(hint) from None


@contextmanager
def reading(settings: Settings | None = None) -> Iterator[Connection]:
    """A transaction that only reads, with the worker's rights."""
    url = (settings or load_settings()).database_url.get_secret_value()
    with database(url) as engine, engine.connect() as connection:
        connection.execution_options(postgresql_readonly=True)
        yield connection
