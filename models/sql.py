"""Set-based SQL on the path of a batch, spoken to the driver itself.

SQLAlchemy owns the connection and its transaction. What every batch runs goes past its statement
layer, which costs more there than the statements: about a tenth of all the time of a request.
A statement marks its parameters ``%(name)s``. A list of any length is one parameter, as JSON,
which is written faster than arrays.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
import psycopg
from psycopg.adapt import Dumper
from psycopg.types.json import set_json_loads
from sqlalchemy import Connection


@lru_cache(maxsize=4096)
def _written(moment: datetime) -> bytes:
    return str(moment).encode()


class _MomentDumper(Dumper):
    """Writes a moment as psycopg does, but each only once: a batch writes few in many places.

    Moments are in UTC: in a zone whose clocks are set back two may be equal and yet differ.
    """

    oid = psycopg.adapters.types["timestamptz"].oid
    dump = staticmethod(_written)


psycopg.adapters.register_dumper(datetime, _MomentDumper)
set_json_loads(orjson.loads)


def as_json(values: object) -> str:
    """A parameter for ``json_to_recordset`` and its like: a list of rows, or of their keys."""
    return orjson.dumps(values).decode()


def in_json(*columns: str) -> str:
    """An item of a FROM list: rows of text, each column of them a parameter of that name."""
    lists = ", ".join(f"json_array_elements_text(%({column})s::json)" for column in columns)
    return f"ROWS FROM ({lists}) AS wanted ({', '.join(columns)})"


def fetch(
    connection: Connection, statement: str, parameters: Mapping[str, object]
) -> list[tuple[Any, ...]]:
    """All rows that *statement* returns, inside the connection's transaction."""
    return _driver(connection).execute(statement, parameters).fetchall()


def fetch_column(
    connection: Connection, statement: str, parameters: Mapping[str, object]
) -> list[Any]:
    """The values of a statement's only column."""
    return [value for (value,) in fetch(connection, statement, parameters)]


def execute(connection: Connection, statement: str, parameters: Mapping[str, object]) -> int:
    """Run *statement* inside the connection's transaction.

    Returns:
        How many rows it changed.
    """
    return _driver(connection).execute(statement, parameters).rowcount


def copy_rows(
    connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Insert *rows* with one COPY, inside the connection's transaction; none, with none at all.

    *table* and *columns* are names from our own metadata, never from outside.
    """
    values = list(rows)
    if not values:
        return
    with (
        _driver(connection).cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy,
    ):
        for row in values:
            copy.write_row(row)


def new_ids(connection: Connection, wanted: Mapping[str, int]) -> dict[str, list[int]]:
    """Draw ids ahead of writing: for each table as many as wanted, in one statement.

    Tables that want none are left out. The ids of rows that are never written are gaps.
    """
    counts = {table: count for table, count in wanted.items() if count}
    if not counts:
        return {}
    statement = " UNION ALL ".join(
        f"SELECT '{table}', array_agg(nextval('{table}_{key_of(table)}_seq'))"
        f" FROM generate_series(1, %({table})s)"
        for table in sorted(counts)
    )
    return dict(fetch(connection, statement, counts))


def key_of(table: str) -> str:
    """The name of a table's key column: ``incidents`` has ``incident_id``."""
    return f"{table.removesuffix('s')}_id"


def _driver(connection: Connection) -> psycopg.Connection[tuple[Any, ...]]:
    if not connection.in_transaction():  # or it would not know that there is one to be ended
        connection.begin()
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver
