"""docs/policy-coverage.md is true: its tests exist, and no paragraph of section 6 is left out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COVERAGE = (ROOT / "docs" / "policy-coverage.md").read_text()
FILES = {file.name: file.read_text() for file in (ROOT / "tests").rglob("test_*.py")}
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", COVERAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids="::".join)
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    """A renamed or deleted test must be followed by the table."""
    assert f"\ndef {test}(" in FILES.get(file, "")


def test_every_row_names_a_test_or_says_that_it_is_not_built() -> None:
    """No sentence stands there without an answer."""
    rows = re.findall(r"^\| (?!sentence)([^|]+) \| ([^|]+) \|$", COVERAGE, re.MULTILINE)
    assert len(rows) > 100
    assert [row for row in rows if "::test_" not in row[1] and row[1] != "not built yet"] == []


def test_every_heading_of_what_the_policy_leaves_open_is_covered() -> None:
    """Each paragraph of the design's section 6 has its table."""
    design = (ROOT / "docs" / "design.md").read_text()
    section = design.partition("## 6. ")[2].partition("## 7. ")[0]
    heads = re.findall(r"\*\*([^*]+?)\.?\*\*", section)
    assert len(heads) > 15
    tables = re.findall(r"^### (.+)$", COVERAGE, re.MULTILINE)
    assert [head for head in heads if head not in tables] == []
