"""Loading the directory: all rows of all its files in one transaction, or none (DESIGN 7).

Rows are copied into temporary tables first, checked there (`models.directory_checks`), and then
merged table by table (`models.directory_merge`).
"""
# tables are names of our own metadata

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from models.audit import AuditKey
from models.directory_checks import check_rows
from models.directory_merge import LoadedFile, merge_files
from models.sheet_files import read_rows
from models.sheet_rows import Row, SheetFile
from models.sheets import SHEETS, Fault
from models.sql import copy_rows

Progress = Callable[[str, int], None]
"""Called with a file's name and how many of its rows have been read."""

_ROWS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Load:
    """What loading the directory came to: with faults, nothing was changed."""

    files: tuple[LoadedFile, ...]
    faults: tuple[Fault, ...]


def load_directory(
    engine: Engine,
    files: Sequence[SheetFile],
    *,
    key: AuditKey,
    dry_run: bool = False,
    progress: Progress = lambda _file, _rows: None,
) -> Load:
    """Load *files*, at most one a table, with the owner's rights.

    References may point to rows that are stored already. Loads wait for each other.

    Args:
        engine: without a statement timeout, since a load may be long.
        files: what `models.sheet_files.find_files` found.
        key: signs the audit records.
        dry_run: find out everything, and change nothing.
        progress: called now and then.
    """
    with engine.connect() as connection:
        _make_room(connection)
        faults: list[Fault] = []
        rows = {file.name: _stage(connection, file, faults, progress) for file in files}
        connection.execute(_WAIT_FOR_OTHER_LOADS)
        unread = {
            file.sheet.table
            for file in files
            if any(fault.file == file.name and fault.row is None for fault in faults)
        }
        for file in files:
            faults.extend(check_rows(connection, file, unread))
        if faults:
            return Load((), _in_order(faults, files))
        loaded = merge_files(connection, files, rows, key)
        if not dry_run:
            connection.commit()
        return Load(loaded, ())


_WAIT_FOR_OTHER_LOADS = text(f"LOCK TABLE {', '.join(SHEETS)} IN SHARE ROW EXCLUSIVE MODE")
"""The worker reads on; until the commit nobody else writes the directory."""


def _make_room(connection: Connection) -> None:
    """A temporary table beside each of the directory, without its constraints."""
    # Reading a large file takes its time, and holds no lock that anybody waits for.
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10min'"))
    connection.execute(text("SET LOCAL lock_timeout = '1min'"))
    for table in SHEETS:
        connection.execute(
            text(
                f"CREATE TEMPORARY TABLE new_{table} ON COMMIT DROP AS"
                f" SELECT 0 AS number, * FROM {table} WITH NO DATA"  # names of ours
            )
        )


def _stage(connection: Connection, file: SheetFile, faults: list[Fault], progress: Progress) -> int:
    """Copy a file's rows beside its table and collect its faults; how many rows there are."""
    table, count = f"new_{file.sheet.table}", 0
    for rows in _chunks(read_rows(file), faults):
        copy_rows(connection, table, ("number", *file.sheet.names), rows)
        count += len(rows)
        progress(file.name, count)
    connection.execute(text(f"ANALYZE {table}"))
    return count


def _chunks(
    parts: Iterator[Row | Fault], faults: list[Fault]
) -> Iterator[list[tuple[int | str | None, ...]]]:
    """Rows in handy numbers; faults go where the others are."""
    chunk: list[tuple[int | str | None, ...]] = []
    for part in parts:
        if isinstance(part, Fault):
            faults.append(part)
            continue
        chunk.append((part.number, *part.values))
        if len(chunk) == _ROWS_AT_ONCE:
            yield chunk
            chunk = []
    yield chunk


def _in_order(faults: list[Fault], files: Sequence[SheetFile]) -> tuple[Fault, ...]:
    """By file, row and column, as one reads them."""
    columns = {file.name: file.sheet.names for file in files}
    names = list(columns)

    def position(fault: Fault) -> tuple[int, int, int]:
        known = columns.get(fault.file, ())
        return (
            names.index(fault.file) if fault.file in columns else -1,
            fault.row or 0,
            known.index(fault.column) if fault.column in known else -1,
        )

    return tuple(sorted(faults, key=position))
