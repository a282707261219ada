"""Reading a vendor's spreadsheet (XLSX), a row at a time."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from models.json_lines import LONGEST_LINE
from models.sheets import shown
from producers.imports.rows import Cell, FileFault, Row, check_header, text_or_nothing
from producers.imports.xlsx_parts import MOST_ROWS, ArchiveFile, Parts, too_large


@dataclass(frozen=True, slots=True)
class XlsxFile:
    """Implements ``ReportFile``.

    Attributes:
        sheet: which one is read; the first if None.
    """

    path: Path
    sheet: str | None

    def columns(self) -> tuple[str, ...]:
        """The columns that its first row which is not blank names."""
        with self._values() as values:
            return _header(values)[1]

    def rows(self) -> Iterator[Row]:
        """The rows after the first."""
        with self._values() as values:
            number, names = _header(values)
            for number, row in enumerate(values, number + 1):  # noqa: B020  # goes on from there
                cells = tuple(map(_cell, row))
                if any(cell is not None for cell in cells):
                    yield Row(number, dict(zip(names, cells, strict=False)))

    @contextmanager
    def _values(self) -> Iterator[Iterator[tuple[object, ...]]]:
        """The values of the sheet's rows; formulas as their results were when it was saved."""
        try:
            with closing(_book(self.path)) as book:
                sheet = self._choose(book)
                sheet.reset_dimensions()  # what programs write there is often wrong
                yield _limited(sheet.iter_rows(values_only=True))
        except (FileFault, MemoryError):
            raise
        except Exception as error:  # of what is none, anything may be raised
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise FileFault(f"is not a spreadsheet (XLSX) that can be read: {error}") from None

    def _choose(self, book: Any) -> Any:  # noqa: ANN401  # openpyxl has no types
        sheets = {sheet.title: sheet for sheet in book.worksheets}
        if not sheets:
            raise FileFault("holds no sheet")
        if self.sheet is None:
            return next(iter(sheets.values()))
        if self.sheet not in sheets:
            raise FileFault(f"has no sheet {self.sheet!r}, only {', '.join(map(shown, sheets))}")
        return sheets[self.sheet]


def _book(path: Path) -> Any:  # noqa: ANN401  # openpyxl has no types
    # Here, since openpyxl takes a while and few commands read spreadsheets.
    from openpyxl.reader.excel import ExcelReader
    from openpyxl.xml.constants import SHARED_STRINGS

    file = ArchiveFile(path)
    try:
        reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
        reader.archive = Parts(file)
        reader.read_manifest()
        texts = reader.package.find(SHARED_STRINGS)
        reader.archive.texts = None if texts is None else texts.PartName.removeprefix("/")
        reader.read()
    except BaseException:
        file.close()
        raise
    return reader.wb


def _limited(values: Iterator[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    """As many rows as a spreadsheet may have: one that is numbered later follows blank ones.

    None has more text than a line of a CSV file. Many cells may refer to one text.
    """
    for number, row in enumerate(values, 1):
        if number > MOST_ROWS:
            raise too_large()
        if sum(len(value) for value in row if isinstance(value, str)) > LONGEST_LINE:
            raise too_large()
        yield row


def _header(values: Iterator[tuple[object, ...]]) -> tuple[int, tuple[str, ...]]:
    """The number and the names of the first row that is not blank."""
    for number, row in enumerate(values, 1):
        names = tuple(str(_cell(value) or "") for value in row)
        if any(names):
            check_header(names)
            return number, names
    raise FileFault("is empty: its first row must name the columns")


def _cell(value: object) -> Cell:
    match value:
        case None:
            return None
        case str():
            return text_or_nothing(value)
        case bool():
            return "true" if value else "false"
        case datetime():
            return value
        case date():
            return datetime.combine(value, time())
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)
