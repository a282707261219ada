"""Merging new directory rows from their temporary tables, and recording what that changes.

Every row that really changes gets one audit record, which names it and its changed fields and says
nothing of their values. Rows are right by themselves and together: `models.directory_checks` saw
to that.
"""
# tables and columns are names of our own metadata

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from models.audit import AuditEntry, AuditKey, write_audit
from models.clock import database_now
from models.operator import who_acts
from models.sheet_rows import SheetFile
from models.sheets import Sheet
from policy.vocabulary import AuditAction


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """What loading one file came to, in rows."""

    file: str
    table: str
    rows: int
    created: int
    updated: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class _Change:
    """One row that is new, or has other values than before in *fields*."""

    subject: str
    action: AuditAction
    fields: Sequence[str]


def merge_files(
    connection: Connection, files: Sequence[SheetFile], rows: Mapping[str, int], key: AuditKey
) -> tuple[LoadedFile, ...]:
    """Bring every table to what its file says; *rows* are counted by file."""
    loaded, changes = [], []
    for file in files:
        merged = _merge(connection, file.sheet)
        changes += merged
        created = sum(change.action is AuditAction.CREATE for change in merged)
        loaded.append(
            LoadedFile(
                file.name,
                file.sheet.table,
                rows[file.name],
                created=created,
                updated=len(merged) - created,
                unchanged=rows[file.name] - len(merged),
            )
        )
    now, who = database_now(connection), who_acts()
    write_audit(
        connection,
        key,
        (
            AuditEntry(
                now,
                change.action,
                "done",
                subject=change.subject,
                context={"fields": change.fields, **who},
            )
            for change in changes
        ),
    )
    return tuple(loaded)


def _merge(connection: Connection, sheet: Sheet) -> list[_Change]:
    """Write the new and changed rows of one table."""
    table, key, columns = sheet.table, sheet.key, sheet.names
    others = [name for name in columns if name != key]
    differs = (f"CASE WHEN new.{n} IS DISTINCT FROM old.{n} THEN '{n}' END" for n in others)
    connection.execute(
        text(f"""
            CREATE TEMPORARY TABLE changed_{table} ON COMMIT DROP AS
            SELECT * FROM (
                SELECT new.{key}, old.{key} IS NULL AS created,
                       array_remove(ARRAY[{", ".join(differs)}], NULL) AS fields
                FROM new_{table} AS new LEFT JOIN {table} AS old USING ({key})
            ) AS compared WHERE created OR fields <> '{{}}'
        """)
    )
    # Two rows may have exchanged what is unique among them: it is let go before it is taken.
    for name in (field.name for field in sheet.fields if field.unique):
        connection.execute(
            text(f"""
                UPDATE {table} AS old SET {name} = NULL FROM changed_{table} AS changed
                WHERE old.{key} = changed.{key} AND '{name}' = ANY(changed.fields)
            """)
        )
    connection.execute(
        text(f"""
            INSERT INTO {table} ({", ".join(columns)})
            SELECT {", ".join(f"new.{name}" for name in columns)}
            FROM new_{table} AS new JOIN changed_{table} USING ({key})
            ON CONFLICT ({key}) DO UPDATE
            SET {", ".join(f"{name} = excluded.{name}" for name in others)}
        """)
    )
    found = connection.execute(
        text(f"SELECT {key}, created, fields FROM changed_{table} ORDER BY {key}")
    )
    return [
        _Change(
            f"{key.removesuffix('_id')}:{row_id}",
            AuditAction.CREATE if created else AuditAction.UPDATE,
            fields,
        )
        for row_id, created, fields in found
    ]
