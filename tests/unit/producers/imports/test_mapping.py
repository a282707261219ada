"""The mapping file: whatever is wrong with it is told at once, before a row is read."""

from pathlib import Path

import pytest

from producers.imports.mapping import MappingError, load_mapping
from tests.support.reports import COLUMNS, MAPPING, write_mapping


def faults(directory: Path, text: str) -> list[str]:
    """What is said about a mapping."""
    with pytest.raises(MappingError) as raised:
        load_mapping(write_mapping(directory, text))
    return [line.strip() for line in str(raised.value).splitlines()[1:]]


def test_a_mapping_knows_its_kinds_and_columns(tmp_path: Path) -> None:
    """Each kind's rows have a procedure; all columns that are read can be asked for."""
    mapping = load_mapping(write_mapping(tmp_path))
    assert {name: kind.procedure for name, kind in mapping.kinds.items()} == {
        "report": "report_incident",
        "update": "update_incident",
        "mail": "record_communication",
    }
    assert mapping.columns == set(COLUMNS)
    assert mapping.needs_time == []


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    """Of all sections, each with its place in the file."""
    text = """
[file]
encoding = "ebcdic-of-old"
[kind]
column = "Type"
values = {A = "report", B = "nothing"}
[requests.report]
procedure = "report_incident"
time = {value = "2025-09-25"}
[requests.report.inputs]
titel = "Summary"
category = {value = 1, default = "x"}
impact_level = {value = "extreme"}
urgency_level = {column = "Level", values = "levels"}
client_id = {column = "Customer", format = "%d"}
component_id = {}
reporter_user_id = {column = "By", colour = "red"}
detection_timestamp = {column = "When", zone = "Europe/Atlantis"}
severity_flags = "Flags"
[requests.other]
procedure = "report_accident"
key = ["Id"]
[requests.other.inputs]
"""
    told = faults(tmp_path, text)
    for part in (
        "file.encoding names no encoding",
        "kind.values.B is 'nothing'",
        "requests.other is no row",
        "requests.other.procedure is none of report_incident",
        "requests.report.key is required",
        "requests.report.time needs a column",
        "requests.report.inputs.titel is not an input",
        "requests.report.inputs.title is required",
        "requests.report.inputs.category has a constant value",
        "requests.report.inputs.impact_level 'extreme' is none of low, medium, high, critical",
        "requests.report.inputs.urgency_level names a table 'levels'",
        "requests.report.inputs.client_id is no moment",
        "requests.report.inputs.component_id needs either a column or a value",
        "requests.report.inputs.reporter_user_id.colour is not known here",
        "requests.report.inputs.detection_timestamp names no time zone 'Europe/Atlantis'",
        "requests.report.inputs.severity_flags is an object",
    ):
        assert any(line.startswith(part) for line in told), (part, told)
    assert len(told) == 16, told


def test_a_fault_of_the_outline_hides_none_and_makes_none(tmp_path: Path) -> None:
    """What is right is not called wrong for a misspelt key beside it, and what is wrong is told."""
    text = MAPPING.replace("[kind]", "[kinds]").replace("title =", "titel =")
    text = text.replace("time = {column", "tiem = {column", 1)
    assert sorted(faults(tmp_path, text)) == [
        "kind is required to tell apart report, update, mail",
        "kinds is not known here",
        "requests.report.inputs.titel is not an input of this procedure",
        "requests.report.inputs.title is required",
        "requests.report.tiem is not known here",
    ]


def test_a_key_that_is_faulty_is_not_also_missing(tmp_path: Path) -> None:
    """One fault is told once, whether of a kind's key or of the rule that tells kinds apart."""
    text = MAPPING.replace('key = ["Ticket", "Step"]', "").replace(
        'procedure = "update_incident"', 'procedure = "update_incident"\nkey = []'
    )
    text = text.replace('column = "Type"', "")
    told = faults(tmp_path, text)
    assert "kind.column is required" in told
    assert "requests.report.key is required: the columns that tell the rows apart" in told
    assert len([line for line in told if line.startswith("requests.update.key")]) == 1, told
    assert not [line for line in told if line.startswith("kind ")], told


def test_several_kinds_need_a_rule_that_tells_them_apart(tmp_path: Path) -> None:
    """Without [kind] nobody knows which kind a row is."""
    text = MAPPING.replace("[kind]", "[nothing]")
    told = faults(tmp_path, text)
    assert "nothing is not known here" in told


@pytest.mark.parametrize("text", ["", "key = 1", "[requests]", "requests = 3", "not toml", "\xff"])
def test_nonsense_is_a_fault_and_no_crash(tmp_path: Path, text: str) -> None:
    """Whatever the file holds, the message names it."""
    path = tmp_path / "mapping.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(MappingError, match=r"mapping\.toml"):
        load_mapping(path)


def test_the_mapping_in_the_documentation_can_be_used(tmp_path: Path) -> None:
    """docs/vendor-reports.md shows one that has no fault, with three kinds of rows."""
    page = (Path(__file__).parents[4] / "docs/vendor-reports.md").read_text()
    text = page.partition("```toml\n")[2].partition("```")[0]
    mapping = load_mapping(write_mapping(tmp_path, text))
    assert mapping.kinds.keys() == {"report", "update", "mail"}
    assert mapping.needs_time == []
    assert mapping.options.encoding == "cp1252"
