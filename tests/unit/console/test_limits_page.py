"""docs/limits.md names what bounds each thing that can grow, and the test that shows it."""

import re
from pathlib import Path

import pytest

from worker.settings import Settings

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "limits.md"
COLUMNS = "| what grows | bound | setting | at the bound | test |"


def lines() -> list[list[str]]:
    """The cells of each line of the page's tables."""
    found = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in found]


LINES = [cells for cells in lines() if cells[0] != "what grows"]


@pytest.mark.parametrize("cells", LINES, ids=lambda cells: cells[0])
def test_a_limit_names_its_bound_and_its_test(cells: list[str]) -> None:
    """Each line says what happens at the bound, and links to a test that is there."""
    assert len(cells) == 5, "a line has five cells"
    assert all(cells), "and none of them is empty"
    tests = re.findall(r"\]\(\.\./(tests/[^)#]+\.py)\)", cells[4])
    assert tests, "it links to its test"
    assert [test for test in tests if not (ROOT / test).exists()] == []


@pytest.mark.parametrize("cells", LINES, ids=lambda cells: cells[0])
def test_a_limit_names_settings_that_exist(cells: list[str]) -> None:
    """What moves a bound is a setting of Andon's, or of the service that holds the bound."""
    names = {f"ANDON_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"`(ANDON_\w+)`", cells[2])) <= names


def test_every_table_has_the_same_columns() -> None:
    """All tables of the page are read alike."""
    heads = [line for line in PAGE.read_text().splitlines() if line.startswith("| what grows")]
    assert heads == [COLUMNS] * len(heads)
    assert heads
