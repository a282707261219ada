"""Reading vendors' files: each format gives the same rows, and bad ones do not end the reading."""

import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from models.json_lines import LONGEST_LINE
from producers.imports.files import report_file
from producers.imports.mapping import FileOptions
from producers.imports.rows import BrokenRow, FileFault, Row


def rows(path: Path, **options: Any) -> list[Row | BrokenRow]:
    """All rows of a file."""
    return list(report_file(path, FileOptions(**options)).rows())


def spreadsheet(path: Path, *values: list[Any], title: str = "Data") -> Path:
    """A spreadsheet with these rows."""
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.title = title
    for row in values:
        sheet.append(row)
    book.save(path)
    return path


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    """Text without the spaces around it; what is blank holds nothing; blank rows are left out."""
    comma, tab, lines = tmp_path / "a.csv", tmp_path / "a.tsv", tmp_path / "a.jsonl"
    comma.write_text("Id,Text\n1, one \n,\n3,\n")
    tab.write_text("Id\tText\n1\t one \n\t\n3\t\n")
    lines.write_text('\n{"Id": 1, "Text": " one "}\n\n{"Id": "3", "Text": null}\n')
    book = spreadsheet(tmp_path / "a.xlsx", ["Id", "Text"], [1, " one "], [None, " "], [3.0, None])
    for path in (comma, tab, lines, book):
        first, last = rows(path)
        assert first == Row(2, {"Id": "1", "Text": "one"})
        assert isinstance(last, Row)
        assert (last.number, last.cells["Id"], last.cells.get("Text")) == (4, "3", None)


def test_a_csv_row_is_numbered_by_its_line_and_named_when_it_is_broken(tmp_path: Path) -> None:
    """A field may span lines; one too few, a loose quote or a foreign byte is told."""
    path = tmp_path / "a.csv"
    path.write_bytes(b'Id,Text\n1,"a\nb"\n2\n3,"x"y\n4,\xe4\n5,fine\n')
    assert rows(path) == [
        Row(2, {"Id": "1", "Text": "a\nb"}),
        BrokenRow(4, "has 1 fields, the first line names 2"),
        BrokenRow(5, "is not CSV: ',' expected after '\"'"),
        BrokenRow(6, "is not utf-8-sig", "Text"),
        Row(7, {"Id": "5", "Text": "fine"}),
    ]
    assert rows(path, encoding="latin-1")[3] == Row(6, {"Id": "4", "Text": "ä"})


def test_a_line_that_is_no_json_object_is_told(tmp_path: Path) -> None:
    """With what it is; a column holds one value, so nested ones are told as well."""
    path = tmp_path / "a.ndjson"
    path.write_text('[1]\n{"a": {}}\n{"a": tru}\n{"a": true, "b": 1.5}\n')
    told = rows(path)
    assert [type(row) for row in told] == [BrokenRow, BrokenRow, BrokenRow, Row]
    assert told[0] == BrokenRow(1, "is a list, not a JSON object")
    assert told[1] == BrokenRow(2, "a is an object, and a column holds one value")
    assert told[3] == Row(4, {"a": "true", "b": "1.5"})


def test_a_spreadsheet_keeps_moments_and_finds_its_sheet(tmp_path: Path) -> None:
    """Dates come out as dates; the first row that is not blank names the columns."""
    moment = datetime(2025, 9, 25, 14, 30)  # noqa: DTZ001  # spreadsheets have no zones
    path = spreadsheet(
        tmp_path / "a.xlsx",
        [],
        ["When", "Day", "Sure"],
        [moment, date(2025, 9, 25), True],
        title="June",
    )
    midnight = datetime(2025, 9, 25)  # noqa: DTZ001
    expected = [Row(3, {"When": moment, "Day": midnight, "Sure": "true"})]
    assert rows(path) == rows(path, sheet="June") == expected
    with pytest.raises(FileFault, match="no sheet 'July', only June"):
        rows(path, sheet="July")


def test_a_file_that_is_none_of_its_format_is_told(tmp_path: Path) -> None:
    """No traceback, whatever the bytes; and no format is guessed."""
    for name, content in (
        ("a.xlsx", b"PK not really"),
        ("b.xlsx", b""),
        ("c.csv", b""),
        ("d.csv", b'"open'),
        ("e.csv", b"a,a\n1,2\n"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FileFault):
            rows(path)
    path = tmp_path / "other.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(FileFault):
        rows(path)
    for encoding in ("utf-16", "base64"):
        with pytest.raises(FileFault, match=f"is not {encoding}"):
            rows(tmp_path / "e.csv", encoding=encoding)
    with pytest.raises(FileFault, match=r"a report is \.csv"):
        report_file(Path(__file__), FileOptions())
    with pytest.raises(FileFault, match="is no file"):
        report_file(tmp_path / "missing.csv", FileOptions())


def test_a_first_line_of_another_encoding_is_told(tmp_path: Path) -> None:
    """Its names could be printed nowhere; the mapping says which encoding it is."""
    path = tmp_path / "a.csv"
    path.write_bytes("Nummer,Größe\n1,2\n".encode("latin-1"))
    with pytest.raises(FileFault, match="first line is not utf-8-sig"):
        rows(path)
    assert rows(path, encoding="latin-1") == [Row(2, {"Nummer": "1", "Größe": "2"})]


def test_a_line_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Nor are its fields, of which none would be too long by itself."""
    path = tmp_path / "a.csv"
    path.write_text("Id\n" + "1," * LONGEST_LINE)
    with pytest.raises(FileFault, match="a line of more than"):
        rows(path)


def test_very_many_columns_are_told_apart(tmp_path: Path) -> None:
    """In no more time than it takes to read them, and what is said of them is printable."""
    path = tmp_path / "a.csv"
    names = [str(number) for number in range(100_000)]
    path.write_text(",".join(names))
    assert report_file(path, FileOptions()).columns() == tuple(names)
    path.write_text("\x1b[2J,\x1b[2J\n1,2\n")
    with pytest.raises(FileFault, match=r"names twice: \\x1b\[2J"):
        rows(path)
