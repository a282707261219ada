"""Reading a directory file in CSV (RFC 4180; UTF-8, with or without a byte order mark)."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.sheet_rows import Row, SheetFile, checked_row
from models.sheets import Fault

LONGEST_RECORD = 1024 * 1024
"""Characters, over all of its lines."""


def csv_rows(file: SheetFile) -> Iterator[Row | Fault]:
    """The rows, each after its faults; a row is numbered by the line it begins on."""
    with file.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        records = csv_records(stream)
        header = next(records, None)
        if header is None:
            yield Fault(file.name, None, None, "is empty: its first line must name the columns")
        elif header.fault is not None:
            yield Fault(file.name, None, None, f"its first line {header.fault}")
        elif separator := _other_separator(header.fields):
            message = f"has {separator} instead of commas in its first line"
            yield Fault(file.name, None, None, message)
        elif faults := file.sheet.header_faults(header.fields):
            yield from (Fault(file.name, None, *fault) for fault in faults)
        else:
            for record in records:
                yield from _row(file, header.fields, record)


def _other_separator(header: Sequence[str]) -> str | None:
    """What a header that is all one field seems to be separated by."""
    if len(header) > 1:
        return None
    found = {";": "semicolons", "\t": "tabs"}
    return next((name for mark, name in found.items() if mark in header[0]), None)


class CsvRecord(NamedTuple):
    """One record, with the line it begins on, and why it is none."""

    line: int
    fields: list[str]
    fault: str | None


@dataclass(slots=True)
class _Lines:
    """The lines of a file, no more of them for one record than can be kept."""

    lines: Iterator[str]
    of_record: int = 0
    """Characters of the record that is read."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.of_record += len(line)
        if self.of_record > max(LONGEST_RECORD, len(line)):
            raise csv.Error(f"a record of more than {LONGEST_RECORD:,} characters")
        return line


def csv_records(lines: Iterable[str], *, delimiter: str = ",") -> Iterator[CsvRecord]:
    """Every record with the line it begins on, whatever is wrong with those before it.

    One that goes on over many lines, as an open quotation mark makes it, ends where it is too long.
    """
    bounded = _Lines(iter(lines))
    reader = csv.reader(bounded, strict=True, delimiter=delimiter)
    while True:
        line = reader.line_num + 1
        bounded.of_record = 0
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield CsvRecord(line, [], f"is not CSV: {error}")
        else:
            if fields:
                yield CsvRecord(line, fields, None)


def _row(file: SheetFile, names: Sequence[str], record: CsvRecord) -> Iterator[Row | Fault]:
    if record.fault is not None:
        yield Fault(file.name, record.line, None, record.fault)
        return
    given = dict(zip(names, record.fields, strict=False))
    if len(record.fields) == len(names):
        yield from checked_row(file, record.line, given)
    else:
        message = f"has {len(record.fields)} fields, the first line names {len(names)}"
        yield Fault(file.name, record.line, None, message)
        # Its id is kept, so that what refers to it is not called dangling as well.
        key = {file.sheet.key: given.get(file.sheet.key)}
        yield from checked_row(file, record.line, key, known=names)
