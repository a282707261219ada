"""Directory files are read row by row, and everything wrong with one is named."""

import json
from pathlib import Path

import pytest

from models.sheet_files import LARGEST_FILE, NoDirectoryFilesError, find_files, read_rows
from models.sheet_rows import Row
from models.sheets import Fault
from tests.support.sheets import SOUND, csv_text, row, write_all, write_sheet


def read(path: Path) -> tuple[list[Row], list[tuple[int | None, str | None, str]]]:
    """The rows of one file, and its faults without the file's name."""
    (file,), misplaced = find_files(path)
    assert not misplaced
    parts = list(read_rows(file))
    faults = [part for part in parts if isinstance(part, Fault)]
    assert {fault.file for fault in faults} <= {path.name}
    return [part for part in parts if isinstance(part, Row)], [fault[1:] for fault in faults]


def users(folder: Path, *rows: dict[str, str]) -> Path:
    """A file of users."""
    return write_sheet(folder, "users", *rows)


def test_a_sound_csv_file_gives_its_rows_and_no_fault(tmp_path: Path) -> None:
    """Values come out as they stand; what is empty is None."""
    rows, faults = read(users(tmp_path))
    assert faults == []
    values = tuple(value or None for value in SOUND["users"].values())
    assert rows == [Row(2, values)]


def test_csv_may_have_a_byte_order_mark_other_line_ends_quotes_and_columns_in_any_order(
    tmp_path: Path,
) -> None:
    """RFC 4180 and what spreadsheets make of it."""
    path = tmp_path / "vendors.csv"
    path.write_bytes(
        b'\xef\xbb\xbfstatus,vendor_id,contact_email,vendor_type,"name"\n'
        b'active,v1,,,"A ""quoted"", name\nof two lines"\n\nactive,v2,,,B'
    )
    rows, faults = read(path)
    assert faults == []
    assert rows == [
        Row(2, ("v1", 'A "quoted", name\nof two lines', None, None, "active")),
        Row(5, ("v2", "B", None, None, "active")),
    ]


def test_json_gives_the_same_rows_as_csv(tmp_path: Path) -> None:
    """Numbers of ids are read as their digits; null, and a column left out, are empty."""
    path = tmp_path / "users.json"
    user = {**SOUND["users"], "user_id": 17, "client_id": None}
    del user["vendor_id"]
    path.write_text(json.dumps([user]))
    rows, faults = read(path)
    assert faults == []
    expected = row("users", user_id="17", client_id="")
    assert rows == [Row(1, tuple(value or None for value in expected.values()))]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("user_id", "", "is required"),
        ("user_id", " ", "is required"),
        ("user_id", "a b", "'a b' is not an id: 1 to 64 of A-Z a-z 0-9 . _ : -"),
        ("user_id", "x" * 65, None),
        ("first_name", "", "is required"),
        ("last_name", "", "is required"),
        ("first_name", "x" * 1025, "has 1025 characters, at most 1024 are taken"),
        ("timezone", "a\0b", "holds U+0000"),
        (
            "role",
            "manager",
            "'manager' is none of incident_manager, technical_support, account_manager, executive,"
            " vendor_contact, system_administrator, client_contact",
        ),
        ("role", "", "is required"),
        ("status", "Active", "'Active' is none of active, inactive, on_leave"),
        *(
            ("email", value, "is not an e-mail address: one @, with something on both sides")
            for value in ("notanemail", "@example.com", "ada@", "ada@ example.com", "a@b@c")
        ),
        ("client_id", "c/1", "'c/1' is not an id: 1 to 64 of A-Z a-z 0-9 . _ : -"),
    ],
)
def test_a_bad_field_is_named_and_the_rest_of_its_row_is_kept(
    column: str, value: str, message: str | None, tmp_path: Path
) -> None:
    """The fault names line, column and what is wrong; the faulty value does not go on."""
    rows, faults = read(users(tmp_path, row("users"), row("users", **{column: value})))
    assert [(line, where) for line, where, _ in faults] == [(3, column)]
    assert message is None or faults[0][2] == message
    expected = {**row("users"), column: ""}
    assert rows[1] == Row(3, tuple(value or None for value in expected.values()))


@pytest.mark.parametrize("field", [field for field in SOUND["users"] if field != "role"])
def test_a_field_may_have_1024_characters_and_any_text(field: str, tmp_path: Path) -> None:
    """Free text is free: only ids and words of a vocabulary are restricted."""
    text = "=<é\t中" + "x" * 1019
    _, faults = read(users(tmp_path, row("users", **{field: text})))
    restricted = field in {"user_id", "client_id", "vendor_id", "status", "email"}
    assert bool(faults) is restricted


@pytest.mark.parametrize(
    ("start", "end", "faults"),
    [
        ("2025-01-01", "2025-01-01", []),
        ("", "2025-01-01", []),
        ("2025-01-02", "2025-01-01", ["end_date"]),
        ("2025-02-30", "2025-01-01", ["start_date"]),
        ("20250101", "2025-1-1", ["start_date", "end_date"]),
        ("0000-01-01", "2025-01-01T00:00", ["start_date", "end_date"]),
    ],
)
def test_dates_must_be_dates_in_their_order(
    start: str, end: str, faults: list[str], tmp_path: Path
) -> None:
    """Dates are ISO dates, and the end is not before the start."""
    changed = row("subscriptions", start_date=start, end_date=end)
    _, found = read(write_sheet(tmp_path, "subscriptions", changed))
    assert [column for _, column, _ in found] == faults


def test_every_fault_of_a_row_is_named(tmp_path: Path) -> None:
    """Not only the first one."""
    _, faults = read(users(tmp_path, row("users", user_id="", role="boss", status="gone")))
    assert [(line, column) for line, column, _ in faults] == [
        (2, "user_id"),
        (2, "role"),
        (2, "status"),
    ]


def test_the_header_must_name_every_column_once_and_no_other(tmp_path: Path) -> None:
    """Columns unknown, twice and missing are all named, and no row is read."""
    path = tmp_path / "vendors.csv"
    path.write_text("vendor_id,name,name,vender_type,status\nv1,a,b,c,active\n")
    rows, faults = read(path)
    assert rows == []
    assert faults == [
        (None, "vender_type", "is not a column of this file"),
        (None, "name", "stands twice"),
        (None, "vendor_type", "is missing"),
        (None, "contact_email", "is missing"),
    ]


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_is_named_instead_of_every_column(
    mark: str, name: str, tmp_path: Path
) -> None:
    """As spreadsheets write CSV in many countries."""
    path = users(tmp_path)
    path.write_text(path.read_text().replace(",", mark))
    assert read(path) == ([], [(None, None, f"has {name} instead of commas in its first line")])


def test_a_row_with_too_many_or_too_few_fields_is_named_and_its_id_kept(tmp_path: Path) -> None:
    """So that what refers to it is not called dangling as well."""
    path = tmp_path / "vendors.csv"
    path.write_text("vendor_id,name,vendor_type,contact_email,status\nv1,a\nv2,a,b,c,active,more\n")
    rows, faults = read(path)
    assert [(row.number, row.values[0]) for row in rows] == [(2, "v1"), (3, "v2")]
    assert faults == [
        (2, None, "has 2 fields, the first line names 5"),
        (3, None, "has 6 fields, the first line names 5"),
    ]


def test_bytes_that_are_no_utf8_are_named_where_they_stand(tmp_path: Path) -> None:
    """Latin-1 in one field spoils that field only."""
    path = tmp_path / "vendors.csv"
    path.write_bytes(csv_text([row("vendors"), row("vendors", name="MÜLLER")]).encode("latin-1"))
    rows, faults = read(path)
    assert faults == [(3, "name", "is not valid UTF-8")]
    assert [row.number for row in rows] == [2, 3]


def test_a_stray_quote_is_named_and_later_rows_are_read(tmp_path: Path) -> None:
    """One bad line does not hide the faults of the others."""
    path = tmp_path / "vendors.csv"
    path.write_text(
        'vendor_id,name,vendor_type,contact_email,status\nv1,"a"b,,,active\nv2,b,,,gone\nv3,"c\n'
    )
    _, faults = read(path)
    assert [(line, column) for line, column, _ in faults] == [(2, None), (3, "status"), (4, None)]
    assert faults[0][2].startswith("is not CSV: ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("users.csv", b"", "is empty: its first line must name the columns"),
        ("users.json", b"", "is not JSON: Expecting value, at line 1, column 1"),
        ("users.json", b"[" * 100_000, "is nested too deeply"),
        ("users.json", b'{"user_id": 1}', "must hold a JSON array of objects"),
        ("users.json", b"17", "must hold a JSON array of objects"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    """The fault is the whole file's, without a row."""
    path = tmp_path / name
    path.write_bytes(content)
    assert read(path) == ([], [(None, None, message)])


def test_a_json_row_at_fault_is_named_by_its_position(tmp_path: Path) -> None:
    """Columns unknown or given twice, values that are no text, and rows that are no objects."""
    path = tmp_path / "vendors.json"
    path.write_text(
        '[{"vendor_id": 1, "name": "a", "name": "b", "status": "active"}, 17, [],'
        ' {"vendor_id": 1.5, "name": 2, "nmae": "c", "status": true, "vendor_type": NaN},'
        ' {"vendor_id": ["v"], "name": {"a": 1}, "status": "\\ud800"}]'
    )
    _, faults = read(path)
    assert [(position, column) for position, column, _ in faults] == [
        (1, "name"),
        (2, None),
        (3, None),
        (4, "vendor_id"),
        (4, "name"),
        (4, "nmae"),
        (4, "status"),
        (4, "vendor_type"),
        (5, "vendor_id"),
        (5, "name"),
        (5, "status"),
    ]


def test_a_file_larger_than_64_mib_is_refused_unread(tmp_path: Path) -> None:
    """The limit is named."""
    path = tmp_path / "users.csv"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    assert read(path) == ([], [(None, None, "is larger than 64 MiB")])


def test_files_come_in_the_order_in_which_they_refer_to_each_other(tmp_path: Path) -> None:
    """Each after those that its rows refer to; other files are no concern."""
    write_all(tmp_path)
    (tmp_path / "README.md").write_text("notes")
    (tmp_path / ".~users.csv").write_text("a lock")
    files, faults = find_files(tmp_path)
    names = ["clients", "vendors", "users", "products", "components", "subscriptions"]
    assert [file.name for file in files] == [f"{name}.csv" for name in names]
    assert faults == []


def test_misnamed_and_doubled_files_are_named(tmp_path: Path) -> None:
    """A slip in a file's name must not leave a table unloaded in silence."""
    write_sheet(tmp_path, "users")
    (tmp_path / "users.json").write_text("[]")
    (tmp_path / "user.csv").write_text("")
    files, faults = find_files(tmp_path)
    assert [file.name for file in files] == ["users.csv"]
    assert [(fault.file, fault.message.partition(":")[0]) for fault in faults] == [
        (
            "user.csv",
            "is none of clients, vendors, users, products, components, subscriptions",
        ),
        ("users.json", "stands beside users.csv"),
    ]


def test_a_path_without_directory_files_is_refused(tmp_path: Path) -> None:
    """Missing, empty, or another file: the names that were expected are given."""
    other = tmp_path / "people.csv"
    for path in (tmp_path / "missing", tmp_path, other):
        with pytest.raises(NoDirectoryFilesError):
            find_files(path)
        other.touch()
