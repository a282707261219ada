"""Finding directory files and reading their rows.

Nothing that a file may hold raises: whatever is wrong comes out as a `Fault`, between the rows.
"""

from collections.abc import Iterator
from pathlib import Path

from models.sheet_csv import csv_rows
from models.sheet_json import json_rows
from models.sheet_rows import Row, SheetFile
from models.sheets import SHEETS, Fault

LARGEST_FILE = 64 * 1024 * 1024
"""Bytes."""

_READERS = {".csv": csv_rows, ".json": json_rows}


class NoDirectoryFilesError(Exception):
    """There is nothing to load at a path; the message says what was expected."""


def find_files(path: Path) -> tuple[list[SheetFile], list[Fault]]:
    """The directory files at *path*, a folder or one file, in the order in which they are loaded.

    At most one a table: what stands beside it, or has no table's name, is a fault.

    Raises:
        NoDirectoryFilesError: there is none.
    """
    if not path.exists():
        raise NoDirectoryFilesError(f"{path} does not exist")
    candidates = [path] if path.is_file() else sorted(each for each in path.iterdir())
    data = [each for each in candidates if each.suffix in _READERS and each.name[0] != "."]
    known = [SheetFile(each, SHEETS[each.stem]) for each in data if each.stem in SHEETS]
    if not known:
        names = ", ".join(SHEETS)
        raise NoDirectoryFilesError(
            f"{path} holds no directory file: they are named {names}, with .csv or .json"
        )
    order = list(SHEETS)
    known.sort(key=lambda file: order.index(file.sheet.table))
    faults = [
        Fault(each.name, None, None, f"is none of {', '.join(order)}")
        for each in data
        if each.stem not in SHEETS
    ]
    files: list[SheetFile] = []
    for file in known:
        if files and files[-1].sheet is file.sheet:
            first, table = files[-1].name, file.sheet.table
            message = f"stands beside {first}: both hold {table}; keep one of them"
            faults.append(Fault(file.name, None, None, message))
        else:
            files.append(file)
    return files, faults


def read_rows(file: SheetFile) -> Iterator[Row | Fault]:
    """The rows of a file, each after its faults; a fault without a row is the whole file's."""
    try:
        if file.path.stat().st_size > LARGEST_FILE:
            limit = LARGEST_FILE // 1024**2
            yield Fault(file.name, None, None, f"is larger than {limit} MiB")
        else:
            yield from _READERS[file.path.suffix](file)
    except OSError as error:
        yield Fault(file.name, None, None, f"cannot be read: {error.strerror}")
