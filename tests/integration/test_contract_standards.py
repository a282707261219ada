"""The AsyncAPI document against the standard's own schema, which npm has."""

import shutil
from pathlib import Path

import orjson
import pytest
from jsonschema import Draft7Validator

from tests.support.shell import finished

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Draft7Validator:
    """The schema of AsyncAPI 3.0 that the AsyncAPI initiative publishes."""
    if (npm := shutil.which("npm")) is None:
        pytest.skip("npm is not installed")
    directory = tmp_path_factory.mktemp("asyncapi")
    command = [npm, "install", "--no-audit", "--no-fund", "@asyncapi/specs@6"]
    installed = finished(command, settings={}, directory=directory)
    if installed.code and "network" in installed.stderr:
        pytest.skip("npm's registry is out of reach")
    assert installed.code == 0, installed.stderr
    path = directory / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    return Draft7Validator(orjson.loads(path.read_bytes()))


def test_the_document_is_one_of_asyncapi_3(standard: Draft7Validator) -> None:
    """Other tools can read it; one with an unknown action or field they could not."""
    document = orjson.loads((ROOT / "docs" / "contract" / "asyncapi.json").read_bytes())
    assert [error.message for error in standard.iter_errors(document)] == []
    document["operations"]["receive_halts"]["action"] = "listen"
    assert not standard.is_valid(document)
