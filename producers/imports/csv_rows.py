"""Reading a vendor's CSV file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from models.json_lines import LONGEST_LINE
from models.sheet_csv import CsvRecord, csv_records
from models.sheets import SURROGATE
from producers.imports.rows import BrokenRow, FileFault, Row, check_header, text_or_nothing


@dataclass(frozen=True, slots=True)
class CsvFile:
    """Implements ``ReportFile``.

    Attributes:
        encoding: bytes that are no characters in it come out as surrogates, which no request takes.
    """

    path: Path
    encoding: str
    delimiter: str

    def columns(self) -> tuple[str, ...]:
        """The columns that its first line names."""
        with self._records() as records:
            return self._header(records)

    def rows(self) -> Iterator[Row | BrokenRow]:
        """The rows after the first line."""
        with self._records() as records:
            names = self._header(records)
            for line, fields, fault in records:
                if fault is not None:
                    yield BrokenRow(line, fault)
                elif len(fields) != len(names):
                    count = f"has {len(fields)} fields, the first line names {len(names)}"
                    yield BrokenRow(line, count)
                elif (column := _badly_encoded(names, fields)) is not None:
                    yield BrokenRow(line, f"is not {self.encoding}", column)
                elif any(fields):
                    yield Row(line, dict(zip(names, map(text_or_nothing, fields), strict=True)))

    @contextmanager
    def _records(self) -> Iterator[Iterator[CsvRecord]]:
        try:
            with self.path.open(
                encoding=self.encoding, errors="surrogateescape", newline=""
            ) as stream:
                yield csv_records(_lines(stream), delimiter=self.delimiter)
        except (UnicodeError, LookupError) as error:
            raise FileFault(f"is not {self.encoding}: {error}") from None

    def _header(self, records: Iterator[CsvRecord]) -> tuple[str, ...]:
        first = next(records, None)
        if first is None:
            raise FileFault("is empty: its first line must name the columns")
        if first.fault is not None:
            raise FileFault(f"its first line {first.fault}")
        names = tuple(name.strip() for name in first.fields)
        if SURROGATE.search("".join(names)):
            raise FileFault(f"its first line is not {self.encoding}: say in the mapping what it is")
        check_header(names)
        return names


def _lines(stream: TextIO) -> Iterator[str]:
    """The lines, none of them longer than is bearable."""
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise FileFault(f"has a line of more than {LONGEST_LINE:,} characters")
        yield line


def _badly_encoded(names: tuple[str, ...], fields: list[str]) -> str | None:
    """The first column that holds bytes which are no characters."""
    if "".join(fields).isascii():
        return None
    return next((n for n, text in zip(names, fields, strict=True) if SURROGATE.search(text)), None)
