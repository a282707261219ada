"""The rows of a vendor's file, whatever its format: read one at a time, however many there are."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from models.sheets import shown

MOST_COLUMNS = 100_000
_AT_ONCE, _BYTES_AT_ONCE = 500, 8 * 1024 * 1024
_BYTES_OF_CELL = 50
"""That a cell takes besides its text."""
_NAMED = 10

Cell = str | datetime | None
"""What stands in a column: text as it is, a spreadsheet's moment without its zone, or nothing."""


class Row(NamedTuple):
    """One row.

    Attributes:
        number: the line in a CSV file (the first of a row that spans several) and in one of JSON
            lines, the row of a spreadsheet.
        cells: by column; a column may be left out where it holds nothing.
    """

    number: int
    cells: Mapping[str, Cell]


class BrokenRow(NamedTuple):
    """A row that cannot be read, and why: the end of a sentence about it, or about one column."""

    number: int
    message: str
    column: str | None = None


class FileFault(Exception):
    """The whole file cannot be used; the message says why, and names all reasons."""


class ReportFile(Protocol):
    """A file that can be read as often as one likes."""

    def columns(self) -> tuple[str, ...] | None:
        """The columns that its first row names; None where each row names its own.

        Raises:
            FileFault: it has no first row, or a faulty one.
        """

    def rows(self) -> Iterator[Row | BrokenRow]:
        """The rows in order, those that are blank left out.

        Raises:
            FileFault: it cannot be read, or not on from there.
        """


def text_or_nothing(text: str) -> str | None:
    """A cell's text without the spaces around it; one that is blank holds nothing."""
    return text.strip() or None


def check_header(names: tuple[str, ...]) -> None:
    """See that the columns can be told apart.

    Raises:
        FileFault: a name stands twice, or there are too many.
    """
    if len(names) > MOST_COLUMNS:
        raise FileFault(f"its first row names {len(names):,} columns; {MOST_COLUMNS:,} are read")
    if twice := sorted(name for name, count in Counter(names).items() if name and count > 1):
        raise FileFault(f"its first row names twice: {first_of(list(map(shown, twice)))}")


def first_of(texts: Sequence[str]) -> str:
    """Some of *texts*, for a message, and how many more there are."""
    told = ", ".join(texts[:_NAMED])
    return told if len(texts) <= _NAMED else f"{told} and {len(texts) - _NAMED:,} more"


def row_chunks(rows: Iterable[Row | BrokenRow]) -> Iterator[list[Row | BrokenRow]]:
    """*rows* in lists that can be kept; taken only as they are needed."""
    chunk: list[Row | BrokenRow] = []
    size = 0
    for row in rows:
        chunk.append(row)
        if isinstance(row, Row):
            size += _BYTES_OF_CELL * len(row.cells)
            size += sum(len(cell) for cell in row.cells.values() if isinstance(cell, str))
        if len(chunk) == _AT_ONCE or size > _BYTES_AT_ONCE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
