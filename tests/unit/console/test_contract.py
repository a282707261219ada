"""The published contract: what is committed, and the command that writes it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from console.contract import contract_files, differing_files
from models.inputs import INPUTS
from models.streams import Lane, StreamNames
from tests.support.command import andon

CONTRACT = Path(__file__).parents[3] / "docs" / "contract"
ASYNCAPI = orjson.loads((CONTRACT / "asyncapi.json").read_bytes())


def references(value: Any) -> Iterator[str]:
    """Every reference in a document."""
    match value:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for each in value.values():
                yield from references(each)
        case list():
            for each in value:
                yield from references(each)


def test_what_is_committed_is_what_the_models_say() -> None:
    """A change of a model changes the published contract with it."""
    assert differing_files(CONTRACT, contract_files()) == [], (
        "run: andon contract --out docs/contract"
    )


def test_check_names_what_differs_and_writes_nothing(tmp_path: Path) -> None:
    """A changed, a missing and a surplus file are named, with what to do; exit code 1."""
    assert andon("contract", "--out", str(tmp_path)).exit_code == 0
    assert andon("contract", "--out", str(tmp_path), "--check").exit_code == 0
    changed = tmp_path / "asyncapi.json"
    changed.write_text("{}")
    (tmp_path / "schemas" / "report_incident.json").unlink()
    (tmp_path / "schemas" / "old.json").write_text("{}")
    result = andon("contract", "--out", str(tmp_path), "--check")
    assert result.exit_code == 1
    for name in ("asyncapi.json", "schemas/report_incident.json", "schemas/old.json"):
        assert name in result.stderr
    assert "gateway.openapi.json" not in result.stderr
    assert "`andon contract --out" in result.stderr
    assert changed.read_text() == "{}"


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    """Within the document, and to the schema files beside it."""
    found = set(references(ASYNCAPI))
    assert {f"./schemas/{name}.json" for name in INPUTS} < found
    for reference in found:
        file, _, pointer = reference.partition("#")
        value = orjson.loads((CONTRACT / file).read_bytes()) if file else ASYNCAPI
        for key in filter(None, pointer.split("/")):
            value = value[key]


@pytest.mark.parametrize("lane", Lane)
def test_the_channels_are_the_streams(lane: Lane) -> None:
    """With the usual namespace filled in, the addresses are those that the client publishes to."""
    channel = ASYNCAPI["channels"][f"intake_{lane}"]
    namespace = channel["parameters"]["namespace"]["default"]
    assert channel["address"].format(namespace=namespace) == StreamNames().intake(lane)
    assert channel["messages"].keys() == INPUTS.keys()
