"""What is wrong with directory rows only in view of each other and of what is stored.

The rows stand in temporary tables, ``new_users`` beside ``users``; each check is one statement a
column. A value that was at fault by itself is NULL there and takes no part.
"""
# tables and columns are names of our own metadata

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, text

from models.sheet_rows import SheetFile
from models.sheets import Fault, Field, place


def check_rows(connection: Connection, file: SheetFile, unread: Collection[str]) -> Iterator[Fault]:
    """The faults of one file's rows; nothing refers wrongly to the tables *unread*.

    Those are the ones whose files could not be read: nothing is known of their new rows.
    """
    for field in file.sheet.fields:
        if field.unique or field.is_key:
            yield from _repeated(connection, file, field)
        if field.unique:
            yield from _taken(connection, file, field)
        if field.refers_to is not None and field.refers_to not in unread:
            yield from _dangling(connection, file, field, field.refers_to)


def _repeated(connection: Connection, file: SheetFile, field: Field) -> Iterator[Fault]:
    """Values that stand in an earlier row of the same file."""
    found = connection.execute(
        text(f"""
            SELECT number, first FROM (
                SELECT number, min(number) OVER (PARTITION BY {_compared(field)}) AS first
                FROM new_{file.sheet.table} WHERE {field.name} IS NOT NULL
            ) AS numbered WHERE number > first
        """)
    )
    for number, first in found:
        yield Fault(file.name, number, field.name, f"stands in {place(file.name, first)} already")


def _taken(connection: Connection, file: SheetFile, field: Field) -> Iterator[Fault]:
    """Values that a stored row has, which no file gives another one."""
    table, key, column = file.sheet.table, file.sheet.key, field.name
    found = connection.execute(
        text(f"""
            SELECT new.number, old.{key}
            FROM new_{table} AS new
            JOIN {table} AS old ON {_compared(field, "old.")} = {_compared(field, "new.")}
            WHERE old.{key} IS DISTINCT FROM new.{key}
              AND NOT EXISTS (SELECT FROM new_{table} AS other WHERE other.{key} = old.{key})
        """)
    )
    for number, owner in found:
        yield Fault(file.name, number, column, f"belongs to {key} '{owner}', which is stored")


def _compared(field: Field, row: str = "") -> str:
    """The column as an expression whose values are the same where the field's are."""
    return f"lower({row}{field.name})" if field.is_email else f"{row}{field.name}"


def _dangling(
    connection: Connection, file: SheetFile, field: Field, referred: str
) -> Iterator[Fault]:
    """References to rows that are neither stored nor about to be."""
    key = f"{referred.removesuffix('s')}_id"
    found = connection.execute(
        text(f"""
            SELECT new.number, new.{field.name} FROM new_{file.sheet.table} AS new
            WHERE new.{field.name} IS NOT NULL
              AND NOT EXISTS (SELECT FROM {referred} AS old WHERE old.{key} = new.{field.name})
              AND NOT EXISTS (
                  SELECT FROM new_{referred} AS other WHERE other.{key} = new.{field.name}
              )
        """)
    )
    for number, missing in found:
        yield Fault(
            file.name, number, field.name, f"'{missing}' is neither in {referred} nor stored"
        )
