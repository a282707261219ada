"""What became of a report's rows, as a spreadsheet reads it."""

import csv
from pathlib import Path

import pytest

from producers.imports.requests import Fault
from producers.imports.results import Results, RowOutcome, RowResult


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])  # noqa: RUF001
def test_no_cell_is_a_formula(tmp_path: Path, begins: str) -> None:
    """Whatever a vendor calls its columns and its keys, a spreadsheet takes it for text."""
    results = Results()
    text = f'{begins}HYPERLINK("http://evil","look")'
    fault = Fault(text, "is empty")
    results.add(RowResult(2, text, text, RowOutcome.REFUSED, message=text, faults=(fault,)))
    results.write(tmp_path / "results.csv")
    results.close()
    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    told = f"'{text}"
    assert [row[name] for name in ("kind", "request", "message")] == [told, told, told]
    assert row["faults"] == f"{told}: is empty"


def test_truth_is_written_as_in_json(tmp_path: Path) -> None:
    """Not as Python has it, so that whatever reads the file knows it."""
    results = Results()
    for row, earlier in enumerate((True, False), 2):
        results.add(RowResult(row, "report", f"r/{row}", RowOutcome.DONE, earlier=earlier))
    results.write(tmp_path / "results.csv")
    results.close()
    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        assert [row["earlier"] for row in csv.DictReader(file)] == ["true", "false"]
