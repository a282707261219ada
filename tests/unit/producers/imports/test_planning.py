"""What a halt says is wrong with a row, by the vendor's columns."""

from pathlib import Path

import pytest

from producers.imports.mapping import load_mapping
from producers.imports.planning import faults_of
from tests.support.reports import MAPPING, write_mapping


@pytest.mark.parametrize(
    ("path", "message", "told"),
    [
        ("client_id", "names no client", "Customer: client_id names no client"),
        ("title", "is required", "title: is required"),
        ("component_id", "names no component", "component_id names no component"),
        ("reporter_user_id", "The user named as reporter_user_id does not exist.",
         "By: The user named as reporter_user_id does not exist."),
    ],
    ids=["a column", "a column called like it", "no column", "a sentence"],
)  # fmt: skip
def test_a_fault_names_its_input_once(tmp_path: Path, path: str, message: str, told: str) -> None:
    """Besides the column, unless that is called alike, or the sentence of the policy names it."""
    text = MAPPING.replace('title = "Summary"', 'title = "title"')
    text = text.replace(
        '{column = "Part", values = {GW = "gateway", DB = "database"}}', '{value = "gateway"}'
    )
    kind = load_mapping(write_mapping(tmp_path, text)).kinds["report"]
    (fault,) = faults_of(kind, [{"path": f"$.data.{path}", "message": message}])
    assert str(fault) == told
