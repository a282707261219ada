"""What is said of the faults of a file that people write."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from models.file_errors import file_errors
from models.registry import Registry
from producers.imports.mapping import MappingError, load_mapping
from tests.support.reports import write_mapping


def _faults(text: str) -> dict[str, str]:
    """What is said of a registry, by the keys."""
    document = tomllib.loads(text)
    with pytest.raises(ValidationError) as raised:
        Registry.model_validate(document)
    return {fault.path: fault.message for fault in file_errors(raised.value, document)}


def test_a_value_that_may_be_several_things_has_one_fault_that_names_them() -> None:
    """At the key itself, as the file has it."""
    faults = _faults('[sources.a]\nprocedures = 3\nusers = "everybody"')
    assert faults == {
        "$.sources.a.procedures": "must be 'any' or a list",
        "$.sources.a.users": "must be 'any' or a list",
    }


def test_what_is_wrong_within_a_value_is_told_there() -> None:
    """Then nothing is said of the value as a whole, which is a list all right."""
    faults = _faults('[sources.a]\nprocedures = "any"\nusers = ["ok", "a b", 4, 1.5]')
    assert faults == {
        "$.sources.a.users[1]": "must be 1 to 64 of A-Z a-z 0-9 . _ : -",
        "$.sources.a.users[3]": "must be text",
    }


def test_tables_and_keys_are_called_so() -> None:
    """TOML has no objects, and a file no inputs."""
    faults = _faults('colour = 1\n[sources]\na = 3\nb = {users = "any", keys = "x"}')
    assert faults == {
        "$.colour": "is not known here",
        "$.sources.a": "must be a table",
        "$.sources.b.procedures": "is required",
        "$.sources.b.keys": "must be a list",
    }


def test_a_rule_of_an_import_names_all_that_a_value_may_be(tmp_path: Path) -> None:
    """Constants may be of five sorts."""
    text = """
[values.levels]
1 = []
[requests.report]
procedure = "report_incident"
key = [{valu = 3}, 4]
[requests.report.inputs]
"""
    with pytest.raises(MappingError) as raised:
        load_mapping(write_mapping(tmp_path, text))
    told = str(raised.value)
    assert (
        "values.levels['1'] must be text, true or false, a whole number, a number or a moment"
        in told
    )
    assert "requests.report.key[0].value is required" in told
    assert "requests.report.key[0].valu is not known here" in told
    assert "requests.report.key[1] must be text or a table" in told
    assert told.count("requests.report.key") == 3
