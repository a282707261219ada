"""Reports in text that are made to fill the memory: what is too much is told, and the rest read."""

from itertools import islice, repeat
from pathlib import Path

import pytest

from models.json_lines import LONGEST_LINE
from models.sheet_csv import LONGEST_RECORD
from producers.imports.files import report_file
from producers.imports.mapping import FileOptions
from producers.imports.rows import MOST_COLUMNS, BrokenRow, FileFault, Row, row_chunks


def read(path: Path, text: str) -> list[Row | BrokenRow]:
    """The rows of a file with this text."""
    path.write_text(text)
    return list(report_file(path, FileOptions()).rows())


def test_a_record_over_very_many_lines_is_given_up(tmp_path: Path) -> None:
    """Fields that go on and on, none of them long: the record is broken, and reading goes on."""
    line = 'x",' + 1_000 * '"x",' + '"\n'
    lines = 2 * LONGEST_RECORD // len(line)
    found = read(tmp_path / "a.csv", f'Id\n1\n"{lines * line}\n\nlast\n')
    assert found[0] == Row(2, {"Id": "1"})
    broken = [row for row in found if isinstance(row, BrokenRow)]
    assert f"more than {LONGEST_RECORD:,} characters" in broken[0].message


def test_a_line_of_very_many_columns_is_refused(tmp_path: Path) -> None:
    """Each would be kept for every row."""
    with pytest.raises(FileFault, match=f"{MOST_COLUMNS:,} are read"):
        read(tmp_path / "a.csv", ",".join(map(str, range(MOST_COLUMNS + 1))))


def test_columns_that_are_all_alike_are_told_in_a_short_message(tmp_path: Path) -> None:
    """Some are named, and the others counted."""
    names = [f"c{number}" for number in range(1_000)]
    with pytest.raises(FileFault, match="and 990 more") as refused:
        read(tmp_path / "a.csv", ",".join(names + names))
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "{" + ",".join(f'"{n}":1' for n in range(MOST_COLUMNS + 1)) + "}",
        '{"a":"' + "x" * LONGEST_LINE + '"}',
    ],
    ids=["deep", "objects in objects", "many members", "long"],
)
def test_a_line_of_json_that_is_too_much_is_broken(tmp_path: Path, line: str) -> None:
    """And the next one is read."""
    first, second = read(tmp_path / "a.jsonl", f'{line}\n{{"a": "b"}}\n')
    assert isinstance(first, BrokenRow)
    assert second == Row(2, {"a": "b"})


def test_large_rows_are_worked_on_a_few_at_a_time() -> None:
    """A file of the longest lines there may be is not held in lists of hundreds."""
    large = Row(1, {"a": "x" * LONGEST_LINE})
    most = max(len(chunk) for chunk in row_chunks(islice(repeat(large), 100)))
    assert most < 10
    wide = Row(1, dict.fromkeys(map(str, range(MOST_COLUMNS))))
    assert max(len(chunk) for chunk in row_chunks(repeat(wide, 10))) < 5
    small = [Row(number, {"a": "x"}) for number in range(1_200)]
    assert [len(chunk) for chunk in row_chunks(small)] == [500, 500, 200]
