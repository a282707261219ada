"""Spreadsheets that are made to do harm: small files that unpack to more than memory holds."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import openpyxl
import pytest

from producers.imports import xlsx_parts, xlsx_rows
from producers.imports.files import report_file
from producers.imports.mapping import FileOptions
from producers.imports.rows import FileFault, Row

SHEET, TYPES = "xl/worksheets/sheet1.xml", "[Content_Types].xml"
KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
BEGIN = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    '<row><c t="inlineStr"><is><t>Id</t></is></c></row>'
)
END = "</sheetData></worksheet>"
ROW = "<row><c><v>1</v></c></row>"


def spreadsheet(path: Path, parts: Mapping[str, str]) -> Path:
    """A spreadsheet with one cell, in which these parts are put in the place of its own."""
    book = openpyxl.Workbook()
    book.worksheets[0]["A1"] = "Id"
    own = path.with_suffix(".own.xlsx")
    book.save(own)
    with zipfile.ZipFile(own) as read, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        content = {name: read.read(name) for name in read.namelist()}
        for name, text in (content | {name: text.encode() for name, text in parts.items()}).items():
            written.writestr(name, text)
    return path


def rows(path: Path) -> list[object]:
    """All rows."""
    return list(report_file(path, FileOptions()).rows())


@pytest.fixture(autouse=True)
def _low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_parts, "LARGEST_TEXTS", 200_000)
    monkeypatch.setattr(xlsx_parts, "LARGEST_KEPT", 100_000)
    monkeypatch.setattr(xlsx_parts, "LARGEST_CONTENT", 5_000_000)
    for module in (xlsx_parts, xlsx_rows):
        monkeypatch.setattr(module, "MOST_ROWS", 20_000)


def test_a_sheet_of_any_size_is_read_if_each_of_its_rows_can_be_kept(tmp_path: Path) -> None:
    """Only what is in memory at once counts."""
    path = spreadsheet(tmp_path / "a.xlsx", {SHEET: BEGIN + 10_000 * ROW + END})
    found = rows(path)
    assert len(found) == 10_000
    assert found[-1] == Row(10_001, {"Id": "1"})


@pytest.mark.parametrize(
    "sheet",
    [
        BEGIN + "<row>" + 100_000 * "<c/>" + "</row>" + END,
        BEGIN + f"<row><c t='str'><v>{'x' * 500_000}</v></c></row>" + END,
        BEGIN + 100 * (1_000 * "<c/>" + "<row/>") + END,
        BEGIN + "<row>" + 100_000 * "<row/>" + "</row>" + END,
        BEGIN + 100_000 * "<x:row xmlns:x='y'/>" + END,
        BEGIN + 30_000 * "<row r='2'/>" + END,
        BEGIN + "<row r='2000000000'><c><v>1</v></c></row>" + END,
        BEGIN + "</sheetData>" + 100_000 * "<x/>" + "</worksheet>",
        BEGIN + 200_000 * " " + END,
        BEGIN + 10_000_000 * " " + END,
    ],
    ids=[
        "one row of cells",
        "one text",
        "cells between rows",
        "rows within a row",
        "rows of another kind",
        "one row again and again",
        "a gap",
        "after the rows",
        "blanks",
        "more than may be read at all",
    ],
)
def test_a_sheet_that_could_not_be_kept_is_not_read(tmp_path: Path, sheet: str) -> None:
    """It is given up where it becomes too much, whatever it consists of."""
    with pytest.raises(FileFault, match="save it as CSV"):
        rows(spreadsheet(tmp_path / "a.xlsx", {SHEET: sheet}))


@pytest.mark.parametrize("name", ["xl/sharedStrings.xml", "xl/worksheets/sheet2.xml"])
def test_texts_that_are_too_large_are_not_read_whatever_they_are_called(
    tmp_path: Path, name: str
) -> None:
    """All texts are kept; which part they are is for the file itself to say."""
    with zipfile.ZipFile(spreadsheet(tmp_path / "plain.xlsx", {})) as archive:
        types = archive.read(TYPES).decode()
    assert f"{KIND}.sharedStrings+xml" not in types
    texts = f'<Override PartName="/{name}" ContentType="{KIND}.sharedStrings+xml"/></Types>'
    parts = {TYPES: types.replace("</Types>", texts), name: BEGIN + 10_000 * ROW + END}
    with pytest.raises(FileFault, match="save it as CSV"):
        rows(spreadsheet(tmp_path / "a.xlsx", parts))


def test_entities_that_multiply_are_not_resolved(tmp_path: Path) -> None:
    """A billion laughs: no spreadsheet declares entities, and this one is told to be none."""
    entities = "".join(f"<!ENTITY e{n} '{10 * f'&e{n - 1};'}'>" for n in range(1, 10))
    laughs = f"<!DOCTYPE x [<!ENTITY e0 '{'ha' * 50}'>{entities}]>"
    row = "<row><c t='inlineStr'><is><t>&e9;</t></is></c></row>"
    with pytest.raises(FileFault, match="can be read"):
        rows(spreadsheet(tmp_path / "a.xlsx", {SHEET: laughs + BEGIN + row + END}))


@pytest.mark.parametrize(
    "row", ["<row><c t='s'><v>99</v></c></row>", "<row r='x'/>", "<row><c t='d'><v>x</v></c></row>"]
)
def test_a_sheet_that_contradicts_itself_is_told_to_be_none(tmp_path: Path, row: str) -> None:
    """No traceback: a text that is not there, a row without number, a date that is none."""
    with pytest.raises(FileFault, match="can be read"):
        rows(spreadsheet(tmp_path / "a.xlsx", {SHEET: BEGIN + row + END}))
