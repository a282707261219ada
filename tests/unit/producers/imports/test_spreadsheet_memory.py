"""Spreadsheets that are made to fill the memory, read with the limits as they are."""

import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import openpyxl
import pytest

SHEET, STYLES, BOOK = "xl/worksheets/sheet1.xml", "xl/styles.xml", "xl/workbook.xml"
TEXTS, RELATIONS, TYPES = (
    "xl/sharedStrings.xml",
    "xl/_rels/workbook.xml.rels",
    "[Content_Types].xml",
)
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
ROOM = 300 * 1024 * 1024
"""Bytes of memory beyond what the modules themselves take."""

# The modules are there before the limit is set; what is read then has to do with the room.
READ = """
import resource, sys
from pathlib import Path
from openpyxl.reader.excel import ExcelReader
from producers.imports.files import report_file
from producers.imports.mapping import FileOptions
from producers.imports.rows import FileFault
own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (own + int(sys.argv[2]),) * 2)
try:
    print(sum(1 for _ in report_file(Path(sys.argv[1]), FileOptions()).rows()), "rows")
except FileFault as fault:
    print("refused:", fault)
"""


def sheet(rows: str = "", behind: str = "") -> str:
    """A sheet that names one column."""
    first = "<row><c t='inlineStr'><is><t>Id</t></is></c></row>"
    return f"<worksheet xmlns='{MAIN}'><sheetData>{first}{rows}</sheetData>{behind}</worksheet>"


def styles(inside: str) -> str:
    """The part that holds the styles."""
    return f"<styleSheet xmlns='{MAIN}'>{inside}</styleSheet>"


def written(path: Path, change: Callable[[dict[str, bytes]], dict[str, str]]) -> Path:
    """A spreadsheet of one cell, some parts of which are replaced."""
    book = openpyxl.Workbook()
    book.worksheets[0]["A1"] = "Id"
    own = path.with_suffix(".own.xlsx")
    book.save(own)
    with zipfile.ZipFile(own) as read:
        parts: dict[str, bytes] = {name: read.read(name) for name in read.namelist()}
    changed = {name: text.encode() for name, text in change(parts).items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in (parts | changed).items():
            archive.writestr(name, content)
    return path


def texts(parts: dict[str, bytes], inside: str) -> dict[str, str]:
    """A part that holds the texts, and its mention."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    mention = f'<Override PartName="/{TEXTS}" ContentType="{kind}"/></Types>'
    types = parts[TYPES].decode().replace("</Types>", mention)
    return {TYPES: types, TEXTS: f"<sst xmlns='{MAIN}'>{inside}</sst>"}


def many_sheets(parts: dict[str, bytes], count: int) -> dict[str, str]:
    """A book with so many sheets, all of them one part."""
    one = f"<sheet xmlns:r='{OFFICE}' name='s' sheetId='1' r:id='rId1'/>"
    book = parts[BOOK].decode()
    begin, end = book.index("<sheets>") + 8, book.index("</sheets>")
    return {BOOK: book[:begin] + count * one + book[end:]}


def bombs() -> Iterator[tuple[str, Callable[[dict[str, bytes]], dict[str, str]]]]:
    """What each is called, and how it is made."""
    million = 1_000_000
    yield "empty styles", lambda _: {STYLES: styles(f"<cellXfs>{3 * million * '<xf/>'}</cellXfs>")}
    yield "empty fonts", lambda _: {STYLES: styles(f"<fonts>{2 * million * '<font/>'}</fonts>")}
    yield (
        "attributes of one style",
        lambda _: {STYLES: styles("<x " + " ".join(f"a{n}=''" for n in range(300_000)) + "/>")},
    )
    yield (
        "entities in the styles",
        lambda _: {
            STYLES: f"<!DOCTYPE x [<!ENTITY e '{100 * '<xf/>'}'>]>"
            + styles(f"<cellXfs>{100_000 * '&e;'}</cellXfs>")
        },
    )
    yield (
        "entities in a text",
        lambda parts: {
            name: (f"<!DOCTYPE x [<!ENTITY e '{100_000 * 'x'}'>]>" if name == TEXTS else "") + text
            for name, text in texts(parts, f"<si><t>{10_000 * '&e;'}</t></si>").items()
        },
    )
    yield "one text of runs", lambda parts: texts(parts, f"<si>{2 * million * '<r/>'}</si>")
    yield "empty texts", lambda parts: texts(parts, 2 * million * "<si/>")
    yield (
        "relations",
        lambda parts: {
            RELATIONS: parts[RELATIONS]
            .decode()
            .replace("</Relationships>", million * "<Relationship/>" + "</Relationships>")
        },
    )
    yield (
        "names",
        lambda parts: {
            BOOK: parts[BOOK]
            .decode()
            .replace("<calcPr", million // 2 * "<definedName name='a'>1</definedName>" + "<calcPr")
        },
    )
    yield "sheets", lambda parts: many_sheets(parts, 100_000)
    yield (
        "types",
        lambda parts: {
            TYPES: parts[TYPES].decode().replace("</Types>", million * "<Default/>" + "</Types>")
        },
    )
    yield "cells of a row", lambda _: {SHEET: sheet(f"<row>{3 * million * '<c/>'}</row>")}
    merged = million * "<mergeCell ref='A1:XFD1048576'/>"
    yield "merged cells", lambda _: {SHEET: sheet(behind=f"<mergeCells>{merged}</mergeCells>")}
    validation = f"<dataValidation sqref='{million * 'A1 '}'/>"
    yield (
        "cells of a validation",
        lambda _: {SHEET: sheet(behind=f"<dataValidations>{validation}</dataValidations>")},
    )
    yield (
        "a large dimension",
        lambda _: {
            SHEET: sheet().replace("<sheetData>", "<dimension ref='A1:XFD1048576'/><sheetData>")
        },
    )
    refers = "".join(f"<c t='s'><v>{0}</v></c>" for _ in range(16_384))
    yield (
        "one long text in every cell",
        lambda parts: {
            SHEET: sheet(f"<row>{refers}</row>"),
            **texts(parts, f"<si><t xml:space='preserve'> {30 * million * 'x'}</t></si>"),
        },
    )


BOMBS = dict(bombs())


def read(path: Path, room: int = ROOM) -> str:
    """What reading says, with so many bytes of memory to do it in."""
    finished = subprocess.run(
        [sys.executable, "-c", READ, path, str(room)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-2_000:]
    return finished.stdout.strip()


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_spreadsheet_never_fills_the_memory(tmp_path: Path, name: str) -> None:
    """Read or refused, it takes no more than the room there is."""
    path = written(tmp_path / "a.xlsx", BOMBS[name])
    assert path.stat().st_size < 2_000_000
    said = read(path)
    assert said == "0 rows" or said.startswith("refused:"), said


def test_an_archive_of_very_many_parts_is_refused(tmp_path: Path) -> None:
    """Its list of parts alone would be kept as an object for each."""
    path = written(tmp_path / "a.xlsx", lambda _: {})
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack("<HLL", content[end + 10 : end + 20])
    directory = content[start : start + size]
    entry = directory[: directory.index(b"PK\x01\x02", 4)]
    more = 1_000_000 * entry
    whole = struct.pack("<LL", size + len(more), start)
    path.write_bytes(
        content[:start] + directory + more + content[end : end + 12] + whole + content[end + 20 :]
    )
    assert count > 5
    assert read(path).startswith("refused:")


def test_a_large_report_is_read_in_that_room(tmp_path: Path) -> None:
    """What a vendor really sends has room: ten thousand rows of twenty columns."""
    book = openpyxl.Workbook(write_only=True)
    own = book.create_sheet()
    own.append([f"Column {number}" for number in range(20)])
    for row in range(10_000):
        own.append([f"text {row} {number % 7}" for number in range(20)])
    path = tmp_path / "a.xlsx"
    book.save(path)
    assert read(path) == "10000 rows"
